// The real PM2: members come and go, and one is killed.
"use strict";
const { test, until, unique, fixture, Ledger } = require("./harness.js");
const { pm2, pids } = require("./pm2.js");
const assert = require("node:assert/strict");

for (const [mode, flags] of [["cluster", ["-i", "4"]], ["fork", ["-i", "4", "-x"]]]) {
  test(`pm2 in ${mode} mode: reload, scale and kill -9 under numbered traffic lose nothing`, { timeout: 120_000 }, async (t) => {
    t.after(() => pm2("kill"));
    const ledger = new Ledger();
    const app = `app-${mode}`;
    await pm2("start", fixture("member.js"), "--name", app, "--kill-timeout", "10000", ...flags, { LEDGER: ledger.file, CHANNEL: unique(), EVERY: "2" });
    const live = () => new Set(ledger.entries().filter((entry) => entry.connected).map((entry) => entry.connected));
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

    const host = Number(ledger.entries().filter((entry) => entry.handled).at(-1).by.split(".")[0]);
    assert.ok((await pids()).includes(host), "the host is a worker, not PM2 itself");
    process.kill(host, "SIGKILL");
    before = ledger.handled;
    await until(() => ledger.handled > before + 400, "traffic after the kill");

    const running = await pids();
    await pm2("stop", app);
    const figures = ledger.audit();
    const handOvers = new Set(ledger.entries().filter((entry) => entry.host).map((entry) => entry.generation)).size;
    t.diagnostic(`${mode}: ${JSON.stringify({ ...figures, hosts: handOvers })}`);
    assert.ok(figures.writers >= 4 + running.length - 1, `${figures.writers} writers finished`);
    assert.equal(figures.lost, 0, "lost");
    assert.equal(figures.duplicatesUnmarked, 0, "duplicates without the mark");
    assert.equal(figures.disordered, 0, "out of order");
    await pm2("delete", app);
  });
}
