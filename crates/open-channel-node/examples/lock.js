// A lock that several processes share: one at a time is inside, whoever dies inside lets go.
//
//     $ node examples/lock.js
//     4 processes were inside 100 times, never two at once
//
// The kernel holds the lock, so there are never two holders. A resource on another machine may
// still hear from a holder that comes late: it checks the token, which only grows.
"use strict";
const { fork } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { Group } = require("open-channel/group");

const isChild = process.send !== undefined;
const file = process.argv[2] ?? path.join(fs.mkdtempSync(`${os.tmpdir()}/lock-`), "inside");

(async () => {
  const group = await Group.join("locking");
  const others = isChild ? [] : [1, 2, 3].map(() => fork(__filename, [file]));
  for (let i = 0; i < 25; i++) {
    const guard = await group.lock("file");
    fs.writeFileSync(file, String(guard.token), { flag: "wx" }); // throws if somebody is inside
    await new Promise(setImmediate);
    fs.unlinkSync(file);
    guard.release();
  }
  await Promise.all(others.map((other) => once(other, "exit")));
  await group.close();
  if (isChild) return process.disconnect();
  fs.rmdirSync(path.dirname(file));
  console.log("4 processes were inside 100 times, never two at once");
})();
