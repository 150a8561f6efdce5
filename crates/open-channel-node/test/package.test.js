// The files that are published.
"use strict";
const { test, scratch } = require("./harness.js");
const { root, platform, addon, packMain, unpack, installed } = require("./packed.js");
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const limit = { timeout: 90_000 };
const read = (file) => JSON.parse(fs.readFileSync(file, "utf8"));

test("loading it reads one script and one addon", limit, () => {
  const list = "require('.'); console.log(JSON.stringify(Object.keys(require.cache)))";
  const loaded = JSON.parse(
    execFileSync(process.execPath, ["-e", list], { cwd: root, encoding: "utf8" }),
  );
  assert.deepEqual(loaded.map((file) => path.relative(root, file)).sort(), [
    "dist/index.js",
    addon,
  ]);
});

test("npm pack holds what is needed and nothing else", limit, () => {
  const before = fs.readFileSync(path.join(root, "package.json"), "utf8");
  const main = packMain();
  assert.equal(
    fs.readFileSync(path.join(root, "package.json"), "utf8"),
    before,
    "packing leaves the working copy as it was",
  );
  const files = main.files.map((file) => file.path).sort();
  for (const needed of [
    "LICENSE",
    "README.md",
    "dist/index.d.ts",
    "dist/index.js",
    "dist/group.d.ts",
    "dist/group.js",
    "group.d.mts",
    "group.mjs",
    "index.d.mts",
    "index.mjs",
    "package.json",
  ])
    assert.ok(files.includes(needed), needed);
  for (const file of files)
    assert.match(
      file,
      /^(LICENSE|README\.md|package\.json|(index|group)\.(mjs|d\.mts)|dist\/((group\/)?[a-z-]+\.d\.ts|(index|group|triple)\.js|adapters\/.*))$/,
    );
});

test(
  "the packed package names its platform packages and runs no script at installation",
  limit,
  () => {
    const folder = path.join(scratch, "unpacked");
    unpack(packMain().path, folder);
    const manifest = read(path.join(folder, "package.json"));
    const { targets } = read(path.join(root, "package.json")).napi;
    assert.equal(Object.keys(manifest.optionalDependencies).length, targets.length);
    for (const [name, version] of Object.entries(manifest.optionalDependencies)) {
      assert.match(name, /^open-channel-(linux|darwin|win32)-(x64|arm64)(-(gnu|musl|msvc))?$/);
      assert.equal(version, manifest.version);
    }
    for (const script of ["preinstall", "install", "postinstall", "prepare"])
      assert.equal(manifest.scripts?.[script], undefined, script);
    assert.equal(manifest.dependencies, undefined);
    assert.equal(manifest.devDependencies, undefined);
    assert.equal(manifest.engines.node, ">=18");
  },
);

test(
  "installed from the packed files, it works as CommonJS, as an ES module and with types",
  limit,
  () => {
    const app = installed(path.join(scratch, "app"));
    const folder = path.join(app, "node_modules", platform);
    assert.deepEqual(
      fs.readdirSync(folder).sort(),
      ["LICENSE", "README.md", addon, "package.json"].sort(),
    );
    const manifest = read(path.join(folder, "package.json"));
    assert.deepEqual(manifest.os, [process.platform]);
    assert.deepEqual(manifest.cpu, [process.arch]);

    const say =
      "const s = openChannel('packed', (s) => s.end('hello')).connect(); " +
      "s.on('data', (d) => console.log(String(d)));";
    fs.writeFileSync(
      path.join(app, "a.cjs"),
      `const { openChannel } = require("open-channel"); ${say}`,
    );
    fs.writeFileSync(
      path.join(app, "b.mjs"),
      `import openChannel, { ProcessChannel } from "open-channel"; ${say}`,
    );
    for (const script of ["a.cjs", "b.mjs"])
      assert.equal(
        execFileSync(process.execPath, [script], { cwd: app, encoding: "utf8" }),
        "hello\n",
      );
    const join =
      "Group.join('packed').then(async (group) => { " +
      "await group.subscribe('a', ({ value }) => console.log(value)).ready; " +
      "await group.publish('a', 'hello'); await group.close(); });";
    fs.writeFileSync(
      path.join(app, "group-a.cjs"),
      `const { Group } = require("open-channel/group"); ${join}`,
    );
    fs.writeFileSync(
      path.join(app, "group-b.mjs"),
      `import { Group } from "open-channel/group"; ${join}`,
    );
    for (const script of ["group-a.cjs", "group-b.mjs"])
      assert.equal(
        execFileSync(process.execPath, [script], { cwd: app, encoding: "utf8" }),
        "hello\n",
      );

    const types = `
    import openChannel, { openChannel as named, ProcessChannel, type ChannelOptions } from "open-channel";
    import { Group, type TopicMessage } from "open-channel/group";
    import * as net from "node:net";
    const channel: ProcessChannel = openChannel((socket: net.Socket) => { socket.write("x"); });
    const socket: net.Socket = channel.connect(100);
    const state: "initiated" | "connecting" | "connected" | "closed" = channel.state;
    const options: ChannelOptions = { name: "n", scope: "user", acknowledge: "manual" };
    named(options, (socket) => { socket.on("message", (message) => message.ack()); });
    channel.on("failover", ({ from, to }) => from + to);
    export const flushed: Promise<void> = channel.connect().flush();
    void socket; void state;
    export async function grouped(): Promise<bigint> {
      const group: Group = await Group.join("n", { labels: { role: "web" }, scope: "user" });
      group.on("leave", (member, reason) => member.pid > 0 && reason === "died");
      for await (const message of group.subscribe("a.*")) return message.missed > 0 ? 1n : 2n;
      group.subscribe("a", (message: TopicMessage<{ n: number }>) => message.value.n);
      await group.serve("double", (value: number) => value * 2);
      const doubled: number = await group.call<number>("double", 21);
      group.queue<string>("q").process(2, async (job) => job.value.length + job.attempt);
      const map = group.map<number>("m");
      map.on("change", ({ key, value }) => key !== undefined && value === doubled);
      const led: string = await group.lead("cron", (signal, token) => String(token));
      const guard = await group.lock("l", { mode: "shared" });
      return map.get(led) === 1 ? guard.token : 0n;
    }
  `;
    for (const [file, module] of [
      ["types.mts", "Node16"],
      ["types.cts", "Node16"],
    ]) {
      // To an ES module, the default of the original is all of its exports.
      fs.writeFileSync(
        path.join(app, file),
        file.endsWith(".mts") ? `${types} openChannel.openChannel("n", null);` : types,
      );
      const tsc = require.resolve("typescript/bin/tsc");
      const roots = path.join(root, "node_modules", "@types");
      try {
        execFileSync(
          process.execPath,
          [
            tsc,
            "--noEmit",
            "--strict",
            "--target",
            "es2022",
            "--module",
            module,
            "--moduleResolution",
            module,
            "--typeRoots",
            roots,
            "--types",
            "node",
            file,
          ],
          { cwd: app, encoding: "utf8" },
        );
      } catch (error) {
        assert.fail(`${file}: ${error.stdout}`);
      }
    }
  },
);
