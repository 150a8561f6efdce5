// Joining, members, events, and the end of a group.
"use strict";
const { test, until, within, next, node, fixture, unique } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const { Group } = require("../dist/group.js");
const assert = require("node:assert/strict");
const { once } = require("node:events");
const { Worker } = require("node:worker_threads");

const stay = async (group, { say, asked }) => {
  say("here", group.id);
  await asked("leave");
  await group.close();
};

test("members see each other, with labels, in the same order", async (t) => {
  const { join, member, name } = meeting(t);
  const group = await join({ labels: { role: "web", ["__proto__"]: "odd" } });
  assert.equal(group.name, name);
  assert.equal(group.isHost, true);
  const other = member(
    async (group, { say, asked }) => {
      say(JSON.stringify(group.members.map(({ id }) => id)));
      await asked("leave");
    },
    { labels: { role: "job" } },
  );
  const joined = next(group, "join");
  const ids = JSON.parse(await other.line(/^\[/));
  const [newcomer] = await joined;
  assert.deepEqual(ids, [group.id, newcomer.id]);
  assert.deepEqual(
    group.members.map(({ id }) => id),
    ids,
  );
  assert.equal(newcomer.pid, other.pid);
  assert.equal(newcomer.language, "node");
  assert.equal(newcomer.program, "group-member.js");
  assert.deepEqual(newcomer.labels, { role: "job" });
  const labels = Object.entries(group.members[0].labels);
  assert.deepEqual(labels, [["role", "web"], ["__proto__", "odd"]]);
  assert.match(newcomer.id, /^[0-9a-f]{16}$/);
});

test("a death and a departure are told at once, with their reasons", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const [one, two] = [member(stay), member(stay)];
  await Promise.all([one.line(/^here/), two.line(/^here/)]);
  await until(() => group.members.length === 3);
  const left = [];
  group.on("leave", ({ pid }, reason) => left.push([pid, reason]));
  const before = Date.now();
  one.kill("SIGKILL");
  await until(() => left.length === 1);
  assert.ok(Date.now() - before < 2000, "a death is no timeout");
  two.ask("leave");
  await until(() => left.length === 2);
  assert.deepEqual(left, [[one.pid, "died"], [two.pid, "left"]]);
  assert.deepEqual(await within(two.ended, "its end"), { code: 0, signal: null });
  assert.equal(group.members.length, 1);
});

test("when the host is killed, another member hosts, and says so", async (t) => {
  const { join, member } = meeting(t);
  const host = member(stay);
  await host.line(/^here/);
  const group = await join();
  assert.equal(group.isHost, false);
  const served = once(group, "host");
  host.kill("SIGKILL");
  const [generation] = await within(served, "the next host");
  assert.ok(generation > 1);
  assert.equal(group.isHost, true);
  await until(() => group.members.length === 1);
});

test("a member that was stopped is put out, and comes back by itself", async (t) => {
  const { join, member } = meeting(t, { stallTimeout: 400, window: 4096 });
  const group = await join();
  const other = member(async (group, { say }) => {
    group.on("putOut", (reason) => say("put out", reason));
    group.on("back", (id) => say("back", id));
    await group.subscribe("a", ({ interrupted }) => interrupted && say("interrupted")).ready;
    say("ready", group.id);
  });
  const [, id] = (await other.line(/^ready/)).split(" ");
  const left = next(group, "leave");
  other.kill("SIGSTOP");
  const published = Array.from({ length: 20 }, () => group.publish("a", Buffer.alloc(1000)));
  const [gone, reason] = await left;
  assert.deepEqual([gone.id, reason], [id, "stalled"]);
  await within(Promise.all(published), "the publications");
  const back = next(group, "join");
  other.kill("SIGCONT");
  await other.line("put out stalled");
  const [{ id: another }] = await back;
  await other.line(`back ${another}`);
  assert.notEqual(another, id);
  const publishing = setInterval(() => group.publish("a", 1), 20);
  await other.line("interrupted");
  clearInterval(publishing);
});

test("a group is left once, and says that it is over", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  const closed = next(group, "close");
  await Promise.all([group.close(), group.close()]);
  await closed;
  await group.close();
  const over = { code: "ERR_OPEN_CHANNEL_CLOSED", name: "GroupError" };
  await assert.rejects(group.publish("a", 1), over);
  assert.throws(() => group.subscribe("a"), over);
  await assert.rejects(group.lock("a"), over);
  assert.equal(group.isHost, false);
});

test("a member keeps its process alive until it is closed or unreferenced", async () => {
  for (const [code, lives] of [
    ["say('in')", true],
    ["group.unref(); say('in')", false],
    ["group.unref(); group.ref(); say('in')", true],
    ["await group.close(); say('in')", false],
    ["group.unref(); group.subscribe('a', () => {}); say('in')", false],
  ]) {
    const name = unique();
    const options = JSON.stringify({ scope: "user" });
    const child = node(fixture("group-member.js"), [name, code, options]);
    await child.line("in");
    if (lives) {
      const witness = await Group.join(name, { scope: "user" });
      assert.equal(witness.members.length, 2, code);
      await witness.close();
      assert.equal(child.exitCode, null, code);
      child.kill("SIGKILL");
    } else assert.deepEqual(await within(child.ended, code), { code: 0, signal: null }, code);
  }
});

test("joining is given up by a signal, and by wrong options", async () => {
  const reason = new Error("no more");
  await assert.rejects(
    Group.join(unique(), { scope: "user", signal: AbortSignal.abort(reason) }),
    reason,
  );
  const abort = new AbortController();
  const joining = Group.join(unique(), { scope: "user", signal: abort.signal });
  abort.abort(reason);
  await assert.rejects(joining, reason);
  await assert.rejects(Group.join("x".repeat(300), { scope: "user" }), { code: "ENAMETOOLONG" });
  await assert.rejects(Group.join(5), { code: "ERR_INVALID_ARG_TYPE" });
  await assert.rejects(Group.join("a", null), { code: "ERR_INVALID_ARG_TYPE" });
  await assert.rejects(Group.join("a", { link: "carrier pigeon" }), { code: "EINVAL" });
  await assert.rejects(Group.join("a", { labels: { a: 5 } }), /labels\.a must be a string/);
  await assert.rejects(Group.join("a", { scope: "user", maxPayload: 0 }), {
    code: "EINVAL",
    message: /^the option maxPayload is zero/,
  });
  await assert.rejects(
    Group.join("a", { scope: "user", labels: { a: "x".repeat(70_000) } }),
    /^GroupError: the option labels is too long/,
  );
});

test("a worker thread is a member, and gone at once when it is terminated", async (t) => {
  const { join, name } = meeting(t);
  const worker = new Worker(
    `const { Group } = require(${JSON.stringify(require.resolve("../dist/group.js"))});
     Group.join(${JSON.stringify(name)}, { scope: "user" }).then(async (group) => {
       await group.lock("held");
       require("node:worker_threads").parentPort.postMessage(group.isHost);
     });`,
    { eval: true },
  );
  const [hosts] = await within(once(worker, "message"), "the thread");
  assert.equal(hosts, true);
  const group = await join();
  const left = next(group, "leave");
  const before = Date.now();
  await worker.terminate();
  await left;
  const guard = await within(group.lock("held"), "the lock of the thread");
  assert.ok(Date.now() - before < 2500, "this is no timeout");
  guard.release();
});
