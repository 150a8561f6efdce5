// A configuration that all workers load again when its file changes, all of them the same one.
//
//     pm2 start examples/config.js -i 4 -- config.json && pm2 logs config
//
//     worker 0: {"colour":"blue"}
//     worker 1: {"colour":"blue"}
//     worker 0: this is no configuration: Unexpected token …
//
// One worker watches the file, and the next one when that is gone. What it cannot read changes
// nothing. A worker that comes later has the present one at once.
"use strict";
const fs = require("node:fs/promises");
const path = require("node:path");
const { Group } = require("open-channel/group");

const file = path.resolve(process.argv[2] ?? "config.json");
const me = process.env.NODE_APP_INSTANCE ?? process.pid;

async function main() {
  const group = await Group.join("example-config");
  const shared = group.map("config");
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stop.abort());

  let config;
  const apply = () => {
    const text = shared.get("text");
    if (text === undefined || text === config) return;
    config = text;
    console.log(`worker ${me}: ${text}`);
  };
  shared.on("change", apply);
  apply();

  const load = async () => {
    try {
      await shared.set("text", JSON.stringify(JSON.parse(await fs.readFile(file, "utf8"))));
    } catch (error) {
      console.log(`worker ${me}: this is no configuration: ${error.message}`);
    }
  };
  const watch = async (signal) => {
    const changes = fs.watch(path.dirname(file), { signal });
    await load();
    for await (const { filename } of changes) if (filename === path.basename(file)) await load();
  };
  await group.lead("config", watch, { signal: stop.signal }).catch((error) => {
    if (!stop.signal.aborted) throw error;
  });
  await group.close();
  process.exit(); // PM2's own connection would keep it alive
}

main();
