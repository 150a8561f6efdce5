// Shared maps.
"use strict";
const { test, until, within } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");

test("what is set is there at every member, of every type", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const map = group.map("settings");
  const other = member(async (group, { say, asked }) => {
    say("ready");
    await asked("look");
    say(JSON.stringify([...group.map("settings")]));
  });
  await other.line("ready");
  assert.equal(map.get("colour"), undefined);
  const revision = await map.set("colour", { name: "blue" });
  assert.deepEqual(map.entry("colour"), { value: { name: "blue" }, revision });
  await map.set("count", 17);
  await map.set("list", [1, 2]);
  other.ask("look");
  await other.line(JSON.stringify([["colour", { name: "blue" }], ["count", 17], ["list", [1, 2]]]));
  assert.deepEqual([...map.keys()], ["colour", "count", "list"]);
  assert.deepEqual([...map.values()][2], [1, 2]);
  assert.equal(map.size, 3);
  assert.equal(await map.delete("list"), true);
  assert.equal(await map.delete("list"), false);
  assert.equal(map.has("list"), false);
  assert.equal(group.map("other").size, 0);
});

test("numbers stay numbers, and bytes that look like one stay bytes", async (t) => {
  const { join } = meeting(t);
  const map = (await join()).map("m");
  const values = [0, -1, 5, 2 ** 53 - 1, -0, 1.5, 2 ** 60, NaN, 10n, "17", null];
  for (const value of values) {
    await map.set("k", value);
    assert.ok(Object.is(map.get("k"), value), `${String(value)} ${String(map.get("k"))}`);
  }
  for (const text of ["17", "-3", "x", "", "007", "\u00ff\u0000"]) {
    await map.set("k", Buffer.from(text, "latin1"));
    const value = map.get("k");
    assert.ok(Buffer.isBuffer(value), text);
    assert.equal(value.toString("latin1"), text);
  }
});

test("numbers are incremented by all, also while the host is killed", async (t) => {
  const { join, member } = meeting(t);
  const hosts = [member("say('here')")];
  await hosts[0].line("here");
  const [one, two] = [await join(), await join()];
  const adding = Array.from({ length: 100 }, (_, n) => {
    return (n % 2 ? one : two).map("m").increment("n", 3);
  });
  hosts[0].kill("SIGKILL");
  const sums = await within(Promise.all(adding), "the increments");
  assert.equal(new Set(sums).size, 100);
  assert.equal(Math.max(...sums), 300);
  assert.equal(one.map("m").get("n"), 300);
  assert.equal(two.map("m").get("n"), 300);
  assert.equal(await one.map("m").increment("n", -300), 0);
  assert.equal(await one.map("m").increment("new"), 1);
  await one.map("m").set("text", "x");
  await assert.rejects(one.map("m").increment("text"), { code: "ERR_OPEN_CHANNEL_NOT_A_NUMBER" });
  await assert.rejects(one.map("m").increment("n", 1.5), { code: "ERR_INVALID_ARG_TYPE" });
});

test("a key is compared by its revision, and expires", async (t) => {
  const { join } = meeting(t);
  const [one, two] = [await join(), await join()];
  const [here, there] = [one.map("m"), two.map("m")];
  assert.equal(await here.compareAndSet("first", null, "me"), true);
  assert.equal(await there.compareAndSet("first", null, "you"), false);
  const { revision } = there.entry("first");
  assert.equal(await there.compareAndSet("first", revision, "you"), true);
  assert.equal(await here.compareAndSet("first", revision, "me"), false);
  assert.equal(here.get("first"), "you");
  assert.equal(await here.compareAndDelete("first", revision), false);
  assert.equal(await here.compareAndDelete("first", here.entry("first").revision), true);
  assert.equal(there.has("first"), false);
  await here.set("short", 1, { ttl: 50 });
  await there.increment("count", 1, { ttl: 50 });
  await until(() => !there.has("short") && !here.has("short") && !here.has("count"));
  await assert.rejects(here.set("x".repeat(2000), 1), { code: "ERR_OPEN_CHANNEL_INVALID_NAME" });
  await assert.rejects(here.set("k", () => {}), { name: "DataCloneError" });
  await assert.rejects(here.set("k", 1, { ttl: -1 }), { code: "EINVAL" });
  assert.throws(() => one.map(""), { code: "ERR_OPEN_CHANNEL_INVALID_NAME" });
});

test("writes are in the order of the calls", async (t) => {
  const { join } = meeting(t, { window: 8192 });
  const map = (await join()).map("m");
  const writes = [];
  for (let n = 0; n < 200; n++) writes.push(map.set("k", Buffer.alloc(n % 2 ? 6000 : 1, n)));
  await within(Promise.all(writes), "the writes");
  assert.equal(map.get("k")[0], 199);
});

test("changes are told, to loops and listeners", async (t) => {
  const { join } = meeting(t);
  const [one, two] = [await join(), await join()];
  const [here, there] = [one.map("m"), two.map("m")];
  const changes = [];
  const listener = ({ key, value }) => void changes.push([key, value]);
  there.on("change", listener);
  const watch = there.watch("a");
  const seen = [];
  const loop = (async () => {
    for await (const { key, value } of watch) seen.push([key, value]);
  })();
  await one.map("other").set("a", 0);
  await here.set("a", 1);
  await until(() => changes.length === 1 && seen.length === 1);
  await here.set("b", 2);
  await until(() => changes.length === 2);
  await here.delete("a");
  await until(() => changes.length === 3 && seen.length === 2);
  assert.deepEqual(changes, [["a", 1], ["b", 2], ["a", undefined]]);
  assert.deepEqual(seen, [["a", 1], ["a", undefined]]);
  there.off("change", listener);
  await here.set("c", 1);
  watch.close();
  await within(loop, "the loop");
  assert.equal(changes.length, 3);
});

test("the map goes on with the next host, and dies with its last member", async (t) => {
  const { join, member, name } = meeting(t);
  const host = member("await group.map('m').set('k', 'v'); say('set')");
  await host.line("set");
  const group = await join();
  assert.equal(group.map("m").get("k"), "v");
  host.kill("SIGKILL");
  await until(() => group.isHost && group.members.length === 1);
  assert.equal(group.map("m").get("k"), "v");
  await group.close();
  assert.throws(() => group.map("m"), { code: "ERR_OPEN_CHANNEL_CLOSED" });
  assert.equal((await join()).map("m").get("k"), undefined, name);
});
