// The real PM2: workers of a group are reloaded, scaled and killed under traffic.
"use strict";
const { test, until, within, fixture, Ledger } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const { pm2, pids } = require("./pm2.js");
const assert = require("node:assert/strict");
const { setTimeout: pause } = require("node:timers/promises");

test(
  "pm2 with its own kill timeout: reload, scale and kill -9 lose no job, call or count",
  { timeout: 150_000 },
  async (t) => {
    t.after(() => pm2("kill"));
    const { name, join } = meeting(t);
    const ledger = new Ledger();
    await pm2("start", fixture("group-worker.js"), "--name", "workers", "-i", "3", {
      LEDGER: ledger.file,
      GROUP: name,
    });
    const count = (what) => ledger.entries().filter((entry) => entry[what] !== undefined).length;
    await until(() => count("joined") === 3, "three workers", 30_000);
    const group = await join();

    const traffic = { jobs: [], calls: [], counts: [] };
    const died = [];
    let number = 0;
    const sending = setInterval(() => {
      const n = ++number;
      traffic.jobs.push(group.queue("jobs").push(n));
      traffic.counts.push(group.map("m").increment("n"));
      const call = group.call("echo", n).then(
        (value) => assert.equal(value, n),
        (error) => {
          // Nobody may repeat a call of a process that was killed.
          if (error.code !== "ERR_OPEN_CHANNEL_DIED") throw error;
          died.push(n);
        },
      );
      traffic.calls.push(call);
      group.publish("news", n).catch((error) => assert.fail(error));
    }, 50);
    t.after(() => clearInterval(sending));

    await pm2("reload", "workers");
    await until(() => count("joined") === 6, "three new workers", 30_000);
    await until(() => count("left") === 3, "the old ones have left", 30_000);
    assert.deepEqual(died, [], "no call died of the reload");
    await pm2("scale", "workers", "5");
    await until(() => count("joined") === 8, "two more workers", 30_000);
    await pm2("scale", "workers", "3");
    const [victim] = (await pids()).filter((pid) => group.members.some((one) => one.pid === pid));
    process.kill(victim, "SIGKILL");
    await until(() => count("joined") === 9, "one for the one that was killed", 30_000);
    await pause(300);
    clearInterval(sending);
    await within(Promise.all(traffic.jobs), "the jobs", 60_000);
    await within(Promise.all(traffic.calls), "the calls");
    const sums = await within(Promise.all(traffic.counts), "the counts");
    t.diagnostic(JSON.stringify({ sent: number, died: died.length }));
    assert.ok(died.length <= 2, "calls that died with the worker that was killed");

    const entries = ledger.entries();
    const done = new Set(entries.filter(({ done }) => done).map(({ done }) => done));
    assert.equal(done.size, number, "jobs that were done");
    const attempts = new Map();
    for (const { started, attempt } of entries.filter(({ started }) => started)) {
      const before = attempts.get(started) ?? 0;
      assert.ok(attempt > before, `attempt ${attempt} of job ${started}, after ${before}`);
      attempts.set(started, attempt);
    }
    assert.deepEqual(sums.sort((a, b) => a - b), Array.from({ length: number }, (_, n) => n + 1));
    for (const pid of new Set(entries.map(({ pid }) => pid))) {
      const heard = entries.filter((entry) => entry.heard && entry.pid === pid);
      const numbers = heard.map((entry) => entry.heard);
      const [first] = numbers;
      assert.deepEqual(
        numbers,
        numbers.map((_, index) => first + index),
        "each member has heard everything in order while it was one",
      );
    }
    const tokens = entries.filter(({ leads }) => leads).map(({ leads }) => BigInt(leads));
    assert.ok(tokens.length >= 2, "the role has moved");
    assert.deepEqual(tokens, [...tokens].sort((a, b) => (a < b ? -1 : 1)));
    await pm2("delete", "workers");
  },
);
