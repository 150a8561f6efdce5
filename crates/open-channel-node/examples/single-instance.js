// A program that runs once: started again, it hands its arguments to the one that runs.
//
//     $ node examples/single-instance.js a.txt
//     this is the only one
//     open a.txt
//     open b.txt c.txt
//
//     $ node examples/single-instance.js b.txt c.txt
//     handed over to process 4711
//
// If the only one is killed, its lock is free at once, and the next one that is started is it.
"use strict";
const { setTimeout: pause } = require("node:timers/promises");
const { Group } = require("open-channel/group");

const files = process.argv.slice(2);
const open = (files) => console.log(`open ${files.join(" ")}`);

async function main() {
  const group = await Group.join("example-single-instance");
  let only;
  while ((only = await group.lock("instance", { ifAvailable: true })) === null) {
    try {
      const process = await group.call("open", files);
      console.log(`handed over to process ${process}`);
      return group.close();
    } catch ({ code }) {
      // The other one has just begun, or is just gone.
      const again = ["ERR_OPEN_CHANNEL_NO_SUCH_SERVICE", "ERR_OPEN_CHANNEL_DIED"];
      if (!again.includes(code)) throw new Error(`not handed over: ${code}`);
      await pause(20);
    }
  }
  await group.serve("open", (files) => {
    open(files);
    return process.pid;
  });
  const stop = () => {
    only.release();
    return group.close();
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);
  console.log("this is the only one");
  open(files);
}

main();
