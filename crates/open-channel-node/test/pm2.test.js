// The real PM2: members come and go, and one is killed.
"use strict";
const { test, until, within, unique, fixture, Ledger } = require("./harness.js");
const { pm2, pids } = require("./pm2.js");
const assert = require("node:assert/strict");
const { setTimeout: pause } = require("node:timers/promises");
const { openChannel } = require("..");

for (const [mode, flags] of [
  ["cluster", ["-i", "4"]],
  ["fork", ["-i", "4", "-x"]],
]) {
  test(
    `pm2 in ${mode} mode: reload, scale and kill -9 under numbered traffic lose nothing`,
    { timeout: 120_000 },
    async (t) => {
      t.after(() => pm2("kill"));
      const ledger = new Ledger();
      const app = `app-${mode}`;
      await pm2("start", fixture("member.js"), "--name", app, "--kill-timeout", "10000", ...flags, {
        LEDGER: ledger.file,
        CHANNEL: unique(),
        EVERY: "2",
      });
      const live = () =>
        new Set(
          ledger
            .entries()
            .filter((entry) => entry.connected)
            .map((entry) => entry.connected),
        );
      await until(() => live().size === 4, "four workers", 30_000);
      await until(() => ledger.handled > 400, "traffic");

      await pm2("reload", app);
      await until(() => live().size === 8, "four new workers", 30_000);
      let before = ledger.handled;
      await until(() => ledger.handled > before + 400, "traffic after the reload");

      if (mode === "cluster") {
        await pm2("scale", app, "6");
        await until(() => live().size === 10, "two more workers", 30_000);
        await pm2("scale", app, "3");
        before = ledger.handled;
        await until(() => ledger.handled > before + 400, "traffic after the scaling");
      }

      const host = Number(
        ledger
          .entries()
          .filter((entry) => entry.handled)
          .at(-1)
          .by.split(".")[0],
      );
      assert.ok((await pids()).includes(host), "the host is a worker, not PM2 itself");
      process.kill(host, "SIGKILL");
      before = ledger.handled;
      await until(() => ledger.handled > before + 400, "traffic after the kill");

      const running = await pids();
      await pm2("stop", app);
      const figures = ledger.audit();
      const handOvers = new Set(
        ledger
          .entries()
          .filter((entry) => entry.host)
          .map((entry) => entry.generation),
      ).size;
      t.diagnostic(`${mode}: ${JSON.stringify({ ...figures, hosts: handOvers })}`);
      assert.ok(figures.writers >= 4 + running.length - 1, `${figures.writers} writers finished`);
      assert.equal(figures.lost, 0, "lost");
      assert.equal(figures.duplicatesUnmarked, 0, "duplicates without the mark");
      assert.equal(figures.disordered, 0, "out of order");
      await pm2("delete", app);
    },
  );
}

test(
  "pm2 with its kill timeout of 1.6 seconds: reloads in the middle of jobs of two seconds lose none of them",
  { timeout: 120_000 },
  async (t) => {
    t.after(() => pm2("kill"));
    const ledger = new Ledger();
    const CHANNEL = unique();
    await pm2("start", fixture("jobs.js"), "--name", "jobs", "-i", "4", {
      LEDGER: ledger.file,
      CHANNEL,
    });
    const joined = () => ledger.entries().filter((entry) => entry.joined).length;
    await until(() => joined() === 4, "four workers", 30_000);
    const socket = openChannel({ name: CHANNEL, app: "jobs" }).connect();
    let sent = 0;
    const sending = setInterval(() => socket.write(JSON.stringify({ n: ++sent })), 100);
    for (let round = 1; round <= 2; round++) {
      await pause(1000); // so that jobs of every age are under way
      await pm2("reload", "jobs");
      await until(() => joined() === 4 * (round + 1), "four new workers", 30_000);
    }
    clearInterval(sending);
    await within(socket.flush(), "flush");
    const entries = ledger.entries();
    const done = new Set(entries.filter((entry) => entry.done).map((entry) => entry.done));
    const started = new Set();
    const unmarked = [];
    for (const entry of entries.filter((entry) => entry.started)) {
      if (started.has(entry.started) && !entry.redelivered) unmarked.push(entry.started);
      started.add(entry.started);
    }
    const repeated = entries.filter((entry) => entry.started).length - started.size;
    t.diagnostic(
      JSON.stringify({
        sent,
        done: done.size,
        repeated,
        left: entries.filter((entry) => entry.left).length,
      }),
    );
    assert.equal(done.size, sent, "jobs that were done");
    assert.deepEqual(unmarked, [], "jobs that came again without the mark");
    // Those that PM2 had to kill left theirs to the next host.
    for (const { pid } of entries.filter((entry) => entry.left)) {
      const jobs = (what) =>
        entries.filter((entry) => entry.pid === pid && entry[what]).map((entry) => entry[what]);
      assert.deepEqual(
        jobs("done"),
        jobs("started"),
        "a worker that left by itself has done its jobs",
      );
    }
    socket.destroy();
    await pm2("delete", "jobs");
  },
);
