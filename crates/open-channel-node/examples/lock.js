// A lock that several processes share: one at a time is inside, whoever dies inside lets go.
//
//     $ node examples/lock.js
//     4 processes were inside 100 times, never two at once
//
// The kernel holds the lock, so there are never two, whoever hosts the group and whoever is killed.
// A resource that must refuse a holder that comes late compares `lock.token`, which only grows.
"use strict";
const { fork } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { Group } = require("open-channel/group");

(async () => {
  const child = process.send !== undefined;
  const file = process.argv[2] ?? path.join(fs.mkdtempSync(`${os.tmpdir()}/lock-`), "inside");
  const group = await Group.join("example-lock");
  const others = child ? [] : [1, 2, 3].map(() => fork(__filename, [file]));
  for (let i = 0; i < 25; i++) {
    await group.locks.request(file, async () => {
      fs.writeFileSync(file, "", { flag: "wx" }); // throws if somebody is inside
      await new Promise(setImmediate);
      fs.unlinkSync(file);
    });
  }
  await Promise.all(others.map((other) => once(other, "exit")));
  await group.close();
  if (child) return process.disconnect();
  fs.rmdirSync(path.dirname(file));
  console.log("4 processes were inside 100 times, never two at once");
})();
