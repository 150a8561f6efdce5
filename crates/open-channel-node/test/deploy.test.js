// The real PM2 and a rolling deploy: a link that leads to the next release, and a reload.
"use strict";
const { test, scratch, until, within, unique, start, fixture, Ledger } = require("./harness.js");
const { pm2 } = require("./pm2.js");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

// In the last one, the link leads out of its own folder: PM2 starts workers by the link all the
// same.
for (const [mode, flags, releases] of [
  ["cluster", [], "releases"],
  ["fork", ["-x"], "releases"],
  ["cluster", [], "../builds"],
]) {
  test(
    `pm2 in ${mode} mode: a rolling deploy by a link to ${releases} splits nothing and loses nothing`,
    { timeout: 120_000 },
    async (t) => {
      t.after(() => pm2("kill"));
      const folder = fs.mkdtempSync(path.join(scratch, "deployed-"));
      const site = path.join(folder, "site");
      const link = path.join(site, "current");
      const deploy = (release) => {
        const made = path.join(site, releases, release);
        for (const needed of [site, made]) fs.mkdirSync(needed, { recursive: true });
        fs.writeFileSync(
          path.join(made, "app.js"),
          `process.env.RELEASE = "${release}"; require(${JSON.stringify(fixture("member.js"))});`,
        );
        fs.symlinkSync(path.join(releases, release), `${link}.new`);
        fs.renameSync(`${link}.new`, link);
      };
      const ledger = new Ledger();
      const app = path.join(link, "app.js");
      const name = `deployed-${path.basename(folder)}`;
      const workers = (release) =>
        ledger.entries().filter((entry) => entry.connected && entry.release === release);
      deploy("1");
      const traffic = { LEDGER: ledger.file, CHANNEL: unique(), EVERY: "2" };
      await pm2(
        "start",
        app,
        "--name",
        name,
        "-i",
        "3",
        "--kill-timeout",
        "10000",
        ...flags,
        traffic,
      );
      await until(() => workers("1").length === 3, "three workers of the first release", 30_000);
      await until(() => ledger.handled > 300, "traffic");

      deploy("2");
      await pm2("reload", name);
      await until(() => workers("2").length === 3, "three workers of the second release", 30_000);
      const before = ledger.handled;
      await until(() => ledger.handled > before + 300, "traffic after the deploy");
      const byHand =
        releases === "releases" ? [start(process.execPath, [app], { env: traffic })] : [];
      for (const member of byHand) {
        await until(
          () => workers("2").some((entry) => entry.connected === member.pid),
          "a connection",
        );
        member.kill("SIGTERM");
        await within(member.ended, "its end");
      }
      await pm2("stop", name);

      const figures = ledger.audit();
      const hosts = ledger.entries().filter((entry) => entry.host);
      t.diagnostic(`${mode}: ${JSON.stringify({ ...figures, hosts: hosts.length })}`);
      assert.equal(
        new Set(hosts.map((entry) => entry.generation)).size,
        hosts.length,
        "two hosts of one generation never met",
      );
      assert.deepEqual(
        new Set(
          ledger
            .entries()
            .filter((entry) => entry.connected)
            .map((entry) => entry.app),
        ),
        new Set([app]),
      );
      assert.equal(figures.writers, 6 + byHand.length, "all finished");
      assert.equal(figures.lost, 0, "lost");
      assert.equal(figures.duplicatesUnmarked, 0, "duplicates without the mark");
      assert.equal(figures.disordered, 0, "out of order");
      await pm2("delete", name);
    },
  );
}
