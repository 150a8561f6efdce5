// Bun and Deno beside Node: both load the addon, and neither has a libuv that it could use.
"use strict";
const {
  test,
  scratch,
  fixture,
  until,
  within,
  start,
  node,
  install,
  unique,
  Ledger,
} = require("./harness.js");
const readme = require("./readme.js");
const { before } = require("node:test");
const assert = require("node:assert/strict");
const path = require("node:path");

const folder = path.join(__dirname, "runtimes");
const inside = (...names) => path.join(folder, "node_modules", ...names);
const { arch } = process;

const quiet = {
  BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0",
  DENO_DIR: path.join(scratch, "deno"),
  DENO_NO_UPDATE_CHECK: "1",
};
const bun = inside("@oven", `bun-linux-${arch === "arm64" ? "aarch64" : arch}`, "bin", "bun");
const deno = inside("@deno", `linux-${arch}-glibc`, "deno");
const withQuiet = (env) => ({ env: { ...quiet, ...env } });
const runtimes = {
  Bun: (script, env) => start(bun, [script], withQuiet(env)),
  Deno: (script, env) => start(deno, ["run", "--allow-all", script], withQuiet(env)),
};

before(() => install(folder));

for (const [name, run] of Object.entries(runtimes)) {
  for (const snippet of readme.snippets) {
    test(`${snippet.name} prints the same in ${name}`, async () => {
      const child = run(readme.place(snippet));
      for (const promise of snippet.promises) await child.line(promise);
      if (snippet.ends)
        assert.deepEqual(await within(child.ended, "its end"), { code: 0, signal: null });
      assert.deepEqual(child.lines, snippet.promises);
    });
  }

  test(`the host goes from Node to ${name} to Node, killed each time, and nothing is lost`, async (t) => {
    const ledger = new Ledger();
    const env = { LEDGER: ledger.file, CHANNEL: unique() };
    const members = {
      Node: () => node(fixture("member.js"), [], { env }),
      [name]: () => run(fixture("member.js"), env),
    };
    const written = (member) =>
      ledger.entries().filter((entry) => entry.writer?.startsWith(`${member.pid}.`)).length;
    const hostNow = () =>
      ledger
        .entries()
        .filter((entry) => entry.handled)
        .at(-1)
        ?.by.split(".")[0];
    const hosts = (member) => until(() => hostNow() === String(member.pid), "messages at the host");
    const join = async (kind) => {
      const member = members[kind]();
      await until(
        () => ledger.entries().some((entry) => entry.connected === member.pid),
        `a connection of ${kind}`,
      );
      return member;
    };

    let host = await join("Node");
    for (const kind of [name, "Node"]) {
      await hosts(host);
      // One at a time, so that it is known which one hosts next.
      const successor = await join(kind);
      await until(() => written(successor) > 50, "messages of both");
      host.kill("SIGKILL");
      await host.ended;
      host = successor;
    }
    const last = await join(name);
    await hosts(host);
    await until(() => written(last) > 50, `messages of ${name} at a host that took over`);
    for (const member of [last, host]) {
      member.kill("SIGTERM");
      assert.deepEqual(await within(member.ended, "its end"), { code: 0, signal: null });
    }
    const figures = ledger.audit();
    t.diagnostic(JSON.stringify(figures));
    assert.equal(figures.writers, 2);
    assert.equal(figures.lost, 0, "lost");
    assert.equal(figures.duplicatesUnmarked, 0, "duplicates without the mark");
    assert.ok(
      ledger.entries().some((entry) => entry.answered > 0),
      "answers went back",
    );
  });
}
