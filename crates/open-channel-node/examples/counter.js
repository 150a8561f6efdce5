// A counter that several processes share, and that outlives any of them.
//
//     $ node examples/counter.js
//     4 processes counted to 4000
//
// It is there for as long as one process is. An increment is counted once, also when the process
// that hosts the group is killed under it.
"use strict";
const { fork } = require("node:child_process");
const { Group } = require("open-channel/group");

(async () => {
  const child = process.send !== undefined;
  const group = await Group.join("example-counter");
  const counters = group.map("counters");
  const changes = counters.watch("visits");
  if (!child) for (let i = 0; i < 3; i++) fork(__filename);
  await Promise.all(Array.from({ length: 1000 }, () => counters.increment("visits")));
  for await (const _ of changes) if (counters.get("visits") === 4000) break;
  if (!child) console.log(`4 processes counted to ${counters.get("visits")}`);
  await group.close();
  if (child) process.disconnect();
})();
