// The real PM2, with a home of its own.
"use strict";
const { test, scratch, until, within, unique, start, fixture, Ledger } = require("./harness.js");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

const pm2Home = path.join(scratch, "pm2");
const binary = path.join(path.dirname(require.resolve("pm2/package.json")), "bin", "pm2");
const env = { PM2_HOME: pm2Home, PM2_DISABLE_VERSION_CHECK: "1", PM2_DISCRETE_MODE: "true", NO_COLOR: "1" };

async function pm2(...args) {
  const extra = typeof args.at(-1) === "object" ? args.pop() : {};
  const run = start(process.execPath, [binary, ...args], { env: { ...env, ...extra } });
  const { code } = await within(run.ended, `pm2 ${args.join(" ")}`, 60_000);
  assert.equal(code, 0, `pm2 ${args.join(" ")}: ${run.lines.join("\n")}`);
  return run.lines.join("\n");
}

const pids = async () => JSON.parse((await pm2("jlist")).split("\n").find((line) => line.startsWith("["))).map((app) => app.pid).filter(Boolean);

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

// In the last one, the link leads out of its own folder: PM2 starts workers by the link all the same.
for (const [mode, flags, releases] of [["cluster", [], "releases"], ["fork", ["-x"], "releases"], ["cluster", [], "../builds"]]) {
  test(`pm2 in ${mode} mode: a rolling deploy by a link to ${releases} splits nothing and loses nothing`, { timeout: 120_000 }, async (t) => {
    t.after(() => pm2("kill"));
    const folder = fs.mkdtempSync(path.join(scratch, "deployed-"));
    const site = path.join(folder, "site");
    const link = path.join(site, "current");
    const deploy = (release) => {
      const made = path.join(site, releases, release);
      for (const needed of [site, made]) fs.mkdirSync(needed, { recursive: true });
      fs.writeFileSync(path.join(made, "app.js"), `process.env.RELEASE = "${release}"; require(${JSON.stringify(fixture("member.js"))});`);
      fs.symlinkSync(path.join(releases, release), `${link}.new`);
      fs.renameSync(`${link}.new`, link);
    };
    const ledger = new Ledger();
    const app = path.join(link, "app.js");
    const name = `deployed-${path.basename(folder)}`;
    const workers = (release) => ledger.entries().filter((entry) => entry.connected && entry.release === release);
    deploy("1");
    await pm2("start", app, "--name", name, "-i", "3", "--kill-timeout", "10000", ...flags, { LEDGER: ledger.file, CHANNEL: unique(), EVERY: "2" });
    await until(() => workers("1").length === 3, "three workers of the first release", 30_000);
    await until(() => ledger.handled > 300, "traffic");

    deploy("2");
    await pm2("reload", name);
    await until(() => workers("2").length === 3, "three workers of the second release", 30_000);
    const before = ledger.handled;
    await until(() => ledger.handled > before + 300, "traffic after the deploy");
    await pm2("stop", name);

    const figures = ledger.audit();
    const hosts = ledger.entries().filter((entry) => entry.host);
    t.diagnostic(`${mode}: ${JSON.stringify({ ...figures, hosts: hosts.length })}`);
    assert.equal(new Set(hosts.map((entry) => entry.generation)).size, hosts.length, "two hosts of one generation never met");
    assert.deepEqual(new Set(ledger.entries().filter((entry) => entry.connected).map((entry) => entry.app)), new Set([app]));
    assert.equal(figures.writers, 6, "all six finished");
    assert.equal(figures.lost, 0, "lost");
    assert.equal(figures.duplicatesUnmarked, 0, "duplicates without the mark");
    assert.equal(figures.disordered, 0, "out of order");
    await pm2("delete", name);
  });
}
