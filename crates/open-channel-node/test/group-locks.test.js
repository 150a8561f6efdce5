// Locks.
"use strict";
const { test, until, within, Ledger } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");

const holder = async (group, { say, asked }) => {
  const guard = await group.lock("invoices");
  say("held", guard.token);
  guard.lost.then(() => say("lost", guard.signal.reason.code));
  await asked("release");
  guard.release();
  say("released");
};

test("a lock is held by one at a time, in order, and its token grows", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const other = member(holder);
  const before = BigInt((await other.line(/^held/)).split(" ")[1]);
  assert.equal(await group.lock("invoices", { ifAvailable: true }), null);
  const order = [];
  const waiting = [1, 2].map(async (n) => {
    const guard = await group.lock("invoices");
    order.push(n);
    assert.ok(guard.token > before);
    guard.release();
  });
  other.ask("release");
  await within(Promise.all(waiting), "the locks");
  assert.deepEqual(order, [1, 2]);
});

test("the death of a holder frees its lock at once", async (t) => {
  const { join, member } = meeting(t);
  const other = member(holder); // and host
  await other.line(/^held/);
  const group = await join();
  const waiting = group.lock("invoices");
  other.kill("SIGKILL");
  const guard = await within(waiting, "the lock");
  assert.equal(guard.signal.aborted, false);
  guard.release();
});

test("a lock that is stolen is known to be lost", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const other = member(holder);
  await other.line(/^held/);
  const guard = await within(group.lock("invoices", { steal: true }), "the stolen lock");
  await other.line("lost ERR_OPEN_CHANNEL_LOST");
  guard.release();
  await assert.rejects(group.lock("a", { steal: true, mode: "shared" }), {
    code: "ERR_INVALID_ARG_TYPE",
  });
});

test("shared locks are shared, and keep others out", async (t) => {
  const { join } = meeting(t);
  const [one, two] = [await join(), await join()];
  const guards = await Promise.all(
    [one, two].map((group) => group.lock("a", { mode: "shared" })),
  );
  assert.equal(await one.lock("a", { ifAvailable: true }), null);
  const alone = two.lock("a");
  for (const guard of guards) guard.release();
  (await within(alone, "the exclusive lock")).release();
});

test("a signal leaves the line, and the next one has the lock", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  const guard = await group.lock("a");
  const abort = new AbortController();
  const first = group.lock("a", { signal: abort.signal });
  const second = group.lock("a");
  const reason = new Error("too long");
  abort.abort(reason);
  await assert.rejects(first, reason);
  guard.release();
  (await within(second, "the lock")).release();
  await assert.rejects(group.lock("a", { signal: AbortSignal.abort(reason) }), reason);
  await assert.rejects(group.lock("a", { signal: 5 }), { code: "ERR_INVALID_ARG_TYPE" });
  await assert.rejects(group.lock(""), { code: "ERR_OPEN_CHANNEL_INVALID_NAME" });
});

test("a lock that is held when its group has been left is lost", async (t) => {
  const { join } = meeting(t, { hostTimeout: 300 });
  const [one, two] = [await join(), await join()];
  const guard = await two.lock("a");
  const closed = two.close();
  assert.equal(guard.signal.aborted, false, "its holder may finish");
  await assert.rejects(closed, { code: "ERR_OPEN_CHANNEL_UNFINISHED" });
  await within(guard.lost, "the loss");
  (await within(one.lock("a"), "the lock")).release();
});

test("who waits for a lock when its group is left learns so", async (t) => {
  const { join } = meeting(t);
  const [one, two] = [await join(), await join()];
  const guard = await one.lock("a");
  const waiting = two.lock("a");
  await Promise.all([
    assert.rejects(waiting, { code: "ERR_OPEN_CHANNEL_CLOSED" }),
    two.close(),
  ]);
  guard.release();
  await until(() => one.members.length === 1);
});

test("a lock never has two holders while hosts and holders are killed", async (t) => {
  const ledger = new Ledger();
  process.env.LEDGER = ledger.file;
  const { member } = meeting(t);
  const members = [];
  const start = async () => {
    const other = member(async (group, { say, require }) => {
      const fs = require("node:fs");
      const { pid, env } = process;
      const note = (entry) =>
        fs.appendFileSync(env.LEDGER, `${JSON.stringify({ ...entry, pid })}\n`);
      say("ready");
      for (;;) {
        const guard = await group.lock("file");
        note({ enters: String(guard.token) });
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
        note({ leaves: String(guard.token) });
        guard.release();
      }
    });
    await other.line("ready");
    members.push(other);
  };
  for (let n = 0; n < 4; n++) await start();
  const killed = new Set();
  const count = () => ledger.entries().filter(({ enters }) => enters).length;
  for (let round = 0; round < 6; round++) {
    const before = count();
    await until(() => count() > before + 20, "holders");
    // The oldest one hosts; the other one is any.
    const [victim] = members.splice(round % 2 === 0 ? 0 : 1, 1);
    victim.kill("SIGKILL");
    killed.add(victim.pid);
    await victim.ended;
    await start();
  }
  const before = count();
  await until(() => count() > before + 20, "holders after the last kill");
  let inside;
  let last = 0n;
  for (const { enters, leaves, pid } of ledger.entries()) {
    if (enters !== undefined) {
      assert.ok(inside === undefined || killed.has(inside), `${pid} came while ${inside} held it`);
      assert.ok(BigInt(enters) > last, `token ${enters} after ${last}`);
      [inside, last] = [pid, BigInt(enters)];
    } else {
      assert.equal(inside, pid);
      assert.equal(BigInt(leaves), last);
      inside = undefined;
    }
  }
});
