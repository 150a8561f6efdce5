// The store for Keyv, with the real package: Keyv's own tests, and several processes.
"use strict";
const { test, fixture, until, within, start, install } = require("./harness.js");
const { members, member, hostOf } = require("./members.js");
const assert = require("node:assert/strict");
const path = require("node:path");

const suite = {
  timeout: 150_000,
  skip: Number(process.versions.node.split(".")[0]) < 20 && "vitest needs Node 20",
};

test("it passes the tests that Keyv has for its stores", suite, async () => {
  // Keyv declares a database and a runner beside its tests, which they do not load.
  install(path.join(__dirname, "keyv"));
  const vitest = path.join(path.dirname(require.resolve("vitest/package.json")), "vitest.mjs");
  const args = [vitest, "run", "--root", path.dirname(fixture("keyv.spec.mjs")), "--reporter=json"];
  const child = start(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
  const { code } = await within(child.ended, "its end", 90_000);
  const report = JSON.parse(child.lines.find((line) => line.startsWith("{")) ?? "{}");
  const failures = report.testResults?.flatMap((file) => [
    file.message,
    ...file.assertionResults.flatMap((result) => result.failureMessages),
  ]);
  assert.equal(code, 0, `${failures?.join("\n")}\n${errors}`);
  assert.ok(report.numPassedTests >= 42, `${report.numPassedTests} tests`);
});

/** A Keyv in each process. */
const open = (one, options = {}) =>
  one.run(({ group, require, kept }, { map, raw, ...options }) => {
    const Keyv = require("keyv").default;
    const { KeyvGroup } = require("open-channel/keyv");
    const store = new KeyvGroup(group, { map });
    if (raw) Object.assign(options, { serialize: undefined, deserialize: undefined });
    kept.keyv = new Keyv({ store, throwOnErrors: true, ...options });
    kept.keyv.on("error", () => {});
  }, options);

const call = (one, method, ...args) =>
  one.run(({ kept }, method, ...args) => kept.keyv[method](...args), method, ...args);

test("what one process sets, all have, until one of them deletes it", async () => {
  const all = await members(3);
  const [one, two, three] = all;
  for (const each of all) await open(each);
  await call(one, "set", "colour", { name: "blue" });
  for (const each of all) assert.deepEqual(await call(each, "get", "colour"), { name: "blue" });
  await call(two, "setMany", [
    { key: "a", value: 1 },
    { key: "b", value: 2 },
  ]);
  assert.deepEqual(await call(three, "getMany", ["a", "colour", "b"]), [1, { name: "blue" }, 2]);
  assert.deepEqual(await call(three, "hasMany", ["a", "c"]), [true, false]);
  assert.equal(await call(three, "delete", ["a", "b"]), true);
  assert.equal(await call(two, "delete", "a"), false);
  assert.equal(await call(one, "has", "b"), false);
});

test("a namespace is cleared alone, and another map is another store", async () => {
  const [one, two] = await members(2);
  await open(one, { namespace: "users" });
  await open(two, { namespace: "pages" });
  await call(one, "set", "x", 1);
  await call(two, "set", "x", 2);
  await call(one, "clear");
  assert.equal(await call(one, "get", "x"), undefined);
  assert.equal(await call(two, "get", "x"), 2);
  await open(one, { namespace: "pages", map: "other" });
  assert.equal(await call(one, "get", "x"), undefined);
});

test("what was set outlives the process that set it, and the host", async () => {
  const all = await members(3);
  for (const each of all) await open(each);
  const { host, others } = await hostOf(all);
  await call(host, "set", "x", "kept");
  host.kill("SIGKILL");
  await within(host.ended, "its end");
  for (const each of others) assert.equal(await call(each, "get", "x"), "kept");
  const late = await member(await others[0].run(({ group }) => group.name));
  await open(late);
  assert.equal(await call(late, "get", "x"), "kept");
});

test("a value expires in every process, and its memory is free", async () => {
  const [one, two] = await members(2);
  await open(one);
  await open(two);
  await call(one, "set", "x", 1, 150);
  assert.equal(await call(two, "get", "x"), 1);
  const keys = ({ group }) => [...group.map("keyv").keys()];
  await until(async () => (await two.run(keys)).length === 0, "its end");
  assert.equal(await call(one, "get", "x"), undefined);
});

test("without serialization values are cloned", async () => {
  const [one, two] = await members(2);
  await open(one, { raw: true });
  await open(two, { raw: true });
  await one.run(({ kept }) => kept.keyv.set("x", new Map([["when", new Date(0)]])));
  const when = await two.run(async ({ kept }) => (await kept.keyv.get("x")).get("when").getTime());
  assert.equal(when, 0);
});

test("a key that is too long is an error that says so, and Keyv goes on", async () => {
  const [one] = await members(1);
  await open(one);
  await assert.rejects(call(one, "set", "x".repeat(2000), 1), /name|key/);
  await call(one, "set", "x", 1);
  assert.equal(await call(one, "get", "x"), 1);
});
