// Job queues.
"use strict";
const { test, until, within, Ledger } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");

const worker = async (group, { say, asked, require }) => {
  const fs = require("node:fs");
  const ledger = process.env.LEDGER;
  const note = (entry) => fs.appendFileSync(ledger, `${JSON.stringify(entry)}\n`);
  const worker = group.queue("jobs").process(4, async (job) => {
    note({ started: job.value.n, attempt: job.attempt, pid: process.pid });
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
    note({ done: job.value.n });
  });
  say("ready");
  await asked("leave");
  await worker.close();
  await group.close();
};

test("a job is done by a worker in another process, and its push waits for that", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const other = member(async (group, { say, asked }) => {
    group.queue("mails").process(async (job) => {
      say("job", JSON.stringify(job.value), job.attempt, job.from);
      await asked("done");
    });
    say("ready");
  });
  await other.line("ready");
  let done = false;
  const pushed = group.queue("mails").push({ to: "ada" }).then(() => (done = true));
  await other.line(`job {"to":"ada"} 1 ${group.id}`);
  assert.equal(done, false);
  other.ask("done");
  await within(pushed, "the push");
});

test("a job that fails is tried again, and comes back after its last attempt", async (t) => {
  const { join } = meeting(t);
  const [one, two] = [await join(), await join()];
  const attempts = [];
  const failed = [];
  const worker = two.queue("q").process(2, (job) => {
    attempts.push(job.attempt);
    if (job.value === "term") return job.term("no such address");
    if (job.value === "nak" && job.attempt === 1) return job.nak(20);
    if (job.value === "twice" && job.attempt === 2) return;
    if (job.value !== "nak") throw new Error(`attempt ${job.attempt}`);
  });
  worker.on("failed", (job, error) => failed.push(error.message));
  const queue = one.queue("q");
  await within(queue.push("twice"), "the second attempt");
  assert.deepEqual(attempts.splice(0), [1, 2]);
  assert.deepEqual(failed.splice(0), ["attempt 1"]);
  await within(queue.push("nak"), "the second attempt");
  assert.deepEqual(attempts.splice(0), [1, 2]);
  await assert.rejects(queue.push({ n: [1] }, { maxAttempts: 3 }), (error) => {
    assert.equal(error.code, "ERR_OPEN_CHANNEL_EXHAUSTED");
    assert.deepEqual(error.value, { n: [1] });
    return true;
  });
  assert.deepEqual(attempts.splice(0), [1, 2, 3]);
  await assert.rejects(queue.push("term"), {
    code: "ERR_OPEN_CHANNEL_TERMINATED",
    reason: "no such address",
    value: "term",
  });
  await assert.rejects(queue.push("x", { maxAttempts: 0 }), { code: "ERR_OUT_OF_RANGE" });
  await assert.rejects(queue.push(() => {}), { name: "DataCloneError" });
  assert.throws(() => queue.process(0, () => {}), { code: "ERR_OUT_OF_RANGE" });
  assert.throws(() => queue.process(1), { code: "ERR_INVALID_ARG_TYPE" });
  assert.throws(() => one.queue("").process(() => {}), { code: "ERR_OPEN_CHANNEL_INVALID_NAME" });
});

test("a worker has no more jobs at a time than it has room for", async (t) => {
  const { join } = meeting(t);
  const [one, two] = [await join(), await join()];
  let [now, most] = [0, 0];
  two.queue("q").process(3, async () => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setImmediate(resolve));
    now--;
  });
  await within(
    Promise.all(Array.from({ length: 50 }, (_, n) => one.queue("q").push(n))),
    "the jobs",
  );
  assert.equal(most, 3);
});

test("a dead worker gives its job to the next one, with its attempt", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const dying = member(async (group, { say }) => {
    group.queue("q").process(() => {
      say("has it");
      return new Promise(() => {});
    });
    say("ready");
  });
  await dying.line("ready");
  const pushed = group.queue("q").push("job");
  await dying.line("has it");
  const attempts = [];
  const next = await join();
  next.queue("q").process((job) => void attempts.push(job.attempt));
  dying.kill("SIGKILL");
  await within(pushed, "the job");
  assert.deepEqual(attempts, [2]);
});

test("a job whose pusher is gone is cancelled", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const pusher = member(async (group) => group.queue("q").push("job"));
  let cancelled;
  const taken = new Promise((resolve) => {
    group.queue("q").process((job) => {
      cancelled = new Promise((done) => job.signal.addEventListener("abort", done));
      resolve();
      return cancelled;
    });
  });
  await within(taken, "the job");
  pusher.kill("SIGKILL");
  await within(cancelled, "its end");
});

test("jobs are done while hosts and workers are killed, and none is lost or done twice unmarked", {
  timeout: 90_000,
}, async (t) => {
  const ledger = new Ledger();
  process.env.LEDGER = ledger.file;
  const { join, member } = meeting(t);
  const workers = [];
  const start = async () => {
    const other = member(worker);
    await other.line("ready");
    workers.push(other);
  };
  await start(); // and host
  const group = await join();
  await start();
  const queue = group.queue("jobs");
  let n = 0;
  for (let round = 0; round < 4; round++) {
    const pushed = Array.from({ length: 150 }, () => queue.push({ n: n++ }));
    await until(() => ledger.entries().length > n - 100, "jobs under way");
    if (round % 2 === 0) workers.shift().kill("SIGKILL");
    else workers.shift().ask("leave");
    await start();
    await within(Promise.all(pushed), "the jobs", 30_000);
  }
  const entries = ledger.entries();
  const done = new Set(entries.filter((entry) => entry.done !== undefined).map(({ done }) => done));
  assert.equal(done.size, n);
  const attempts = new Map();
  for (const { started, attempt } of entries.filter((entry) => entry.started !== undefined)) {
    // A worker may have died between the two: then an attempt is counted that nobody began.
    const before = attempts.get(started) ?? 0;
    assert.ok(attempt > before, `attempt ${attempt} of ${started}, after ${before}`);
    attempts.set(started, attempt);
  }
});
