// The real PM2, with a home of its own.
"use strict";
const { scratch, start, within } = require("./harness.js");
const assert = require("node:assert/strict");
const path = require("node:path");

const pm2Home = path.join(scratch, "pm2");
const binary = path.join(path.dirname(require.resolve("pm2/package.json")), "bin", "pm2");
const env = {
  PM2_HOME: pm2Home,
  PM2_DISABLE_VERSION_CHECK: "1",
  PM2_DISCRETE_MODE: "true",
  NO_COLOR: "1",
};

async function pm2(...args) {
  const extra = typeof args.at(-1) === "object" ? args.pop() : {};
  const run = start(process.execPath, [binary, ...args], { env: { ...env, ...extra } });
  const { code } = await within(run.ended, `pm2 ${args.join(" ")}`, 60_000);
  assert.equal(code, 0, `pm2 ${args.join(" ")}: ${run.lines.join("\n")}`);
  return run.lines.join("\n");
}

const pids = async () =>
  JSON.parse((await pm2("jlist")).split("\n").find((line) => line.startsWith("[")))
    .map((app) => app.pid)
    .filter(Boolean);

module.exports = { pm2, pids };
