// A cache in each process, none of which ever serves an old value after a change.
//
//     $ node examples/cache.js
//     > get prices
//     prices is nothing (loaded)
//     > set prices 1 2 3
//     prices is saved, and nobody has the old ones
//     > get prices
//     prices is 1 2 3 (loaded)
//     > get prices
//     prices is 1 2 3 (cached)
//
// Start it in several terminals with one file: `node examples/cache.js prices.json`. A change in
// one of them is a change in all.
"use strict";
const fs = require("node:fs/promises");
const { createInterface } = require("node:readline");
const { Group } = require("open-channel/group");

const file = process.argv[2] ?? "prices.json";

/** The database. */
const read = async () => JSON.parse(await fs.readFile(file, "utf8").catch(() => "{}"));
const load = async (key) => (await read())[key] ?? "nothing";
const save = async (key, value) =>
  fs.writeFile(file, JSON.stringify({ ...(await read()), [key]: value }));

async function main() {
  const group = await Group.join("example-cache");
  const cache = new Map();
  const changes = group.subscribe("cache.>", ({ topic }) => cache.delete(topic.slice(6)));
  await changes.ready;

  // The promise is what is cached: if a change comes while it is loaded, it is forgotten, too.
  const get = (key) => {
    if (!cache.has(key)) cache.set(key, load(key));
    return cache.get(key);
  };
  const set = async (key, value) => {
    await group.locks.request("database", () => save(key, value));
    await group.publish(`cache.${key}`); // fulfilled when every process has forgotten it
  };

  for await (const line of createInterface({ input: process.stdin })) {
    const [command, key, ...value] = line.split(" ");
    if (command === "set") {
      await set(key, value.join(" "));
      console.log(`${key} is saved, and nobody has the old ones`);
    } else {
      const how = cache.has(key) ? "cached" : "loaded";
      console.log(`${key} is ${await get(key)} (${how})`);
    }
  }
  await group.close();
}

main();
