// The programs of docs/ADAPTERS.md say what their comments promise, and its adapters can be
// imported.
"use strict";
const { test, scratch, within, node } = require("./harness.js");
const { installed, root } = require("./packed.js");
const { snippetsOf } = require("./readme.js");
const { before } = require("node:test");
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const page = path.join(root, "..", "..", "docs", "ADAPTERS.md");
const peers = ["express", "express-rate-limit", "keyv", "prom-client", "socket.io"];
const app = path.join(scratch, "adapters");
const limit = { timeout: 90_000 };

before(() => {
  installed(app);
  for (const name of [...peers, "socket.io-adapter", "@types"])
    fs.symlinkSync(path.join(root, "node_modules", name), path.join(app, "node_modules", name));
});

for (const snippet of snippetsOf(page)) {
  test(`${snippet.name} prints what its comments say`, limit, async () => {
    const script = path.join(app, snippet.file);
    fs.writeFileSync(script, snippet.code);
    const run = node(script, [], { cwd: app });
    assert.deepEqual(await within(run.ended, "its end", 30_000), { code: 0, signal: null });
    assert.deepEqual(run.lines, snippet.promises);
  });
}

test("the tests that the page names are there", () => {
  const text = fs.readFileSync(page, "utf8");
  const named = [...text.matchAll(/`(adapters-[\w-]+\.test\.js)::([^`]+)`/g)];
  assert.ok(named.length > 15);
  for (const [, file, name] of named) {
    const source = fs.readFileSync(path.join(__dirname, file), "utf8");
    assert.ok(source.includes(`test("${name}"`), `${file} has no test "${name}"`);
  }
});

test("the adapters can be imported, required, and have types", limit, () => {
  const imports = `
    import { Group } from "open-channel/group";
    import { createAdapter } from "open-channel/socket.io";
    import { GroupStore } from "open-channel/express-rate-limit";
    import { workerMetrics } from "open-channel/prom-client";
    import { KeyvGroup } from "open-channel/keyv";`;
  fs.writeFileSync(
    path.join(app, "types.mts"),
    `${imports}
    import { rateLimit } from "express-rate-limit";
    import { Keyv } from "keyv";
    import { Registry } from "prom-client";
    import { Server } from "socket.io";
    export async function all(group: Group): Promise<string[]> {
      const adapter = createAdapter(group, { name: "n", maxPackets: 10 });
      new Server(1, { adapter });
      rateLimit({ store: new GroupStore(group, { prefix: "p" }) });
      new Keyv({ store: new KeyvGroup(group, { map: "m" }) });
      const metrics = await workerMetrics(group, { registry: [new Registry()] });
      const { text, failed, timedOut } = await metrics.collect({ timeout: 1 });
      return [text, ...failed.keys(), ...timedOut];
    }`,
  );
  const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc");
  const flags = ["--module", "Node16", "--target", "ES2022", "--strict", "--skipLibCheck"];
  const types = ["--types", "node", "--noEmit", "types.mts"];
  execFileSync(process.execPath, [tsc, ...flags, ...types], { cwd: app, stdio: "inherit" });

  const names = "createAdapter, GroupStore, workerMetrics, KeyvGroup";
  const show = `console.log([${names}].map((one) => typeof one).join());`;
  fs.writeFileSync(path.join(app, "all.mjs"), `${imports}\n${show}`);
  const required = imports.replace(/import (.*) from (.*);/g, "const $1 = require($2);");
  fs.writeFileSync(path.join(app, "all.cjs"), `${required}\n${show}`);
  for (const script of ["all.mjs", "all.cjs"]) {
    const said = execFileSync(process.execPath, [script], { cwd: app, encoding: "utf8" });
    assert.equal(said, "function,function,function,function\n");
  }
});

test("without a group, an adapter says what it needs", limit, async () => {
  const { createAdapter } = require("open-channel/socket.io");
  const { GroupStore } = require("open-channel/express-rate-limit");
  const { workerMetrics } = require("open-channel/prom-client");
  const { KeyvGroup } = require("open-channel/keyv");
  for (const [given, found] of [
    [undefined, "undefined"],
    [null, "null"],
    ["shop", "string"],
    [Promise.resolve(), "a promise: await it"],
  ]) {
    const refused = (name) => ({
      code: "ERR_INVALID_ARG_TYPE",
      message: `${name} takes a group, from Group.join(), and not ${found}`,
    });
    assert.throws(() => createAdapter(given), refused("createAdapter"));
    assert.throws(() => new GroupStore(given), refused("GroupStore"));
    assert.throws(() => new KeyvGroup(given), refused("KeyvGroup"));
    await assert.rejects(workerMetrics(given), refused("workerMetrics"));
  }
});

test("without the package that it is for, an adapter says which one that is", limit, () => {
  const bare = installed(path.join(scratch, "bare"));
  for (const [name, wanted] of [
    ["socket.io", /Cannot find module 'socket\.io-adapter'/],
    ["prom-client", /Cannot find module 'prom-client'/],
  ])
    assert.throws(
      () => execFileSync(process.execPath, ["-e", `require("open-channel/${name}")`], {
        cwd: bare,
        stdio: "pipe",
      }),
      wanted,
    );
});
