// Packages from npm that depend on the original, unmodified, on ours (by npm's `overrides`).
"use strict";
const { test, scratch, until, within, start, fixture, install } = require("./harness.js");
const { before } = require("node:test");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

const folder = path.join(__dirname, "dependents");
const limit = { timeout: 90_000 };
const inside = (...names) => path.join(folder, "node_modules", ...names);

before(() => {
  install(folder);
  assert.equal(
    fs.realpathSync(inside("open-channel")),
    fs.realpathSync(path.join(__dirname, "..")),
  );
});

const run = (args, options) => start(process.execPath, args, { cwd: scratch, ...options });

test("ipchannel passes its own tests, in a cluster", limit, async () => {
  // All but the one that expects that connecting takes longer than mocha needs to reach its first
  // test.
  const mocha = [
    inside("mocha", "bin", "_mocha"),
    "--timeout",
    "30000",
    "--invert",
    "--grep",
    "should not connected at first",
  ];
  const child = run([
    "--require",
    fixture("timer-at-signal.js"),
    ...mocha,
    inside("ipchannel", "test.js"),
  ]);
  // It would end its workers after two seconds, done or not.
  const passed = () => child.lines.filter((line) => line.includes("6 passing")).length;
  await until(() => passed() === 2, "both workers' tests", 60_000);
  child.kill("SIGUSR2");
  const { code } = await within(child.ended, "its end", 60_000);
  assert.equal(code, 0, child.lines.join("\n"));
});

test("ipqueue runs the tasks of several processes one after the other", limit, async () => {
  const log = path.join(scratch, "tasks");
  const members = Array.from({ length: 4 }, () =>
    run([path.join(folder, "tasks.js")], { env: { LOG: log } }),
  );
  const ends = await Promise.all(
    members.map((member) => within(member.ended, "its tasks", 60_000)),
  );
  ends.forEach(({ code }) => assert.equal(code, 0));
  const lines = fs.readFileSync(log, "utf8").trim().split("\n");
  assert.equal(lines.length, 4 * 10 * 2);
  for (let i = 0; i < lines.length; i += 2)
    assert.equal(lines[i + 1], lines[i].replace("begin", "end"));
});

test("sfn-logger writes the lines of several processes into one file", limit, async () => {
  const log = path.join(scratch, "logs", "all.log");
  const members = Array.from({ length: 4 }, () =>
    run([path.join(folder, "logging.js")], { env: { LOG: log } }),
  );
  await until(
    () => fs.existsSync(log) && fs.readFileSync(log, "utf8").split("\n").length > 4 * 50,
    "all lines",
    30_000,
  );
  const lines = fs
    .readFileSync(log, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.replace(/^.* - /, ""));
  for (const { pid } of members) {
    assert.deepEqual(
      lines.filter((line) => line.startsWith(`${pid} `)),
      Array.from({ length: 50 }, (_, i) => `${pid} ${i}`),
    );
  }
  members.forEach((member) => member.kill());
});

test("sfn-logger passes its own tests", limit, async () => {
  const files = [
    "index",
    "new-logger",
    "logger-log",
    "logger-info",
    "logger-warn",
    "logger-error",
  ].map((name) => inside("sfn-logger", "test", `${name}.js`));
  const child = run([
    "--require",
    fixture("still.js"),
    inside("mocha", "bin", "_mocha"),
    "--exit",
    ...files,
  ]);
  const { code } = await within(child.ended, "its tests", 60_000);
  assert.equal(code, 0, child.lines.join("\n"));
});
