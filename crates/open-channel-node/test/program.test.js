// The program that comes with the package: `npx open-channel`.
"use strict";
const { openChannel } = require("..");
const { test, scratch, adopt } = require("./harness.js");
const { installed } = require("./packed.js");
const assert = require("node:assert/strict");
const { spawn, spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const limit = { timeout: 90_000 };
let app;
/** As npm links it: .bin/open-channel leads to the script. */
function program() {
  app ??= installed(path.join(scratch, "program"));
  return path.join(app, "node_modules", "open-channel", "bin", "open-channel.js");
}

function run(...args) {
  const env = { ...process.env, OPEN_CHANNEL_DIR: path.join(scratch, "run") };
  return spawnSync(process.execPath, [program(), ...args], { encoding: "utf8", env });
}

test("it is the program, with its words and its exit status", limit, () => {
  const version = run("--version");
  const { version: own } = JSON.parse(fs.readFileSync(path.join(__dirname, "../package.json")));
  assert.deepEqual([version.stdout, version.status], [`open-channel ${own}\n`, 0]);
  assert.equal(run("no-such-command").status, 2);
  assert.match(run("ls").stderr, /no channels in/);
});

test("it is executable as it is published", limit, () => {
  assert.equal(fs.statSync(program()).mode & 0o111, 0o111);
  const bin = JSON.parse(fs.readFileSync(path.join(app, "node_modules/open-channel/package.json")));
  assert.deepEqual(bin.bin, { "open-channel": "bin/open-channel.js" });
});

test("a signal reaches the program, which ends in an orderly way", limit, async () => {
  const env = { ...process.env, OPEN_CHANNEL_DIR: path.join(scratch, "signal") };
  const child = adopt(
    spawn(process.execPath, [program(), "-v", "join", "room", "--stay"], { env }),
  );
  const hosts = new Promise((resolve) =>
    child.stderr.on("data", (text) => /this process hosts/.test(text) && resolve()),
  );
  await hosts;
  const ended = new Promise((resolve) => child.on("exit", (code) => resolve(code)));
  child.kill("SIGTERM");
  assert.equal(await ended, 143);
});

test("it lists a channel that Node hosts, and taps it where the option says so", limit, async () => {
  for (const [tap, words] of [
    [true, /tapping/],
    [false, /does not allow taps/],
  ]) {
    const name = `tap ${tap}`;
    const channel = openChannel({ name, scope: "user", tap }, (socket) => socket.resume());
    const socket = channel.connect();
    await new Promise((resolve) => socket.once("connect", resolve));
    const listed = spawnSync(process.execPath, [program(), "ls", "--json"], { encoding: "utf8" });
    const { channels } = JSON.parse(listed.stdout);
    assert.equal(channels.find((one) => one.name === name).pid, process.pid);
    const args = ["-v", "tap", name, "--json", "--direction", "to-host", "--count", "1"];
    const child = adopt(spawn(process.execPath, [program(), ...args]));
    const ended = new Promise((resolve) => child.on("close", resolve));
    let output = "";
    child.stdout.on("data", (text) => (output += text));
    await new Promise((resolve) =>
      child.stderr.on("data", (text) => words.test(String(text)) && resolve()),
    );
    socket.write("hello");
    assert.equal(await ended, tap ? 0 : 1);
    if (tap) assert.equal(JSON.parse(output).message, "hello");
    await channel.close();
  }
});

test("without the platform's package it says what is missing", limit, () => {
  const lone = path.join(scratch, "lone");
  const from = path.join(path.dirname(program()), "..");
  fs.cpSync(from, lone, { recursive: true });
  const script = path.join(lone, "bin", "open-channel.js");
  const { status, stderr } = spawnSync(process.execPath, [script, "ls"], { encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, /there is no program for .*neither open-channel-/);
});
