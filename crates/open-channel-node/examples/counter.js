// A counter that several processes share, and that outlives any of them.
//
//     $ node examples/counter.js
//     4 processes counted to 4000
//
// Every process has the whole map in its memory. An increment counts once, also if the process that
// hosts dies meanwhile.
"use strict";
const { fork } = require("node:child_process");
const { once } = require("node:events");
const { Group } = require("open-channel/group");

const isChild = process.send !== undefined;

(async () => {
  const group = await Group.join("counting");
  const others = isChild ? [] : [1, 2, 3].map(() => fork(__filename));
  const counts = group.map("counts");
  const added = [];
  for (let i = 0; i < 1000; i++) added.push(counts.increment("all"));
  await Promise.all(added);
  await Promise.all(others.map((other) => once(other, "exit")));
  if (!isChild) console.log(`4 processes counted to ${counts.get("all")}`);
  await group.close();
  if (isChild) process.disconnect();
})();
