// A broadcast between PM2 workers: what one says, all hear (the one that said it too).
//
//     pm2 start examples/broadcast.js -i 4 && pm2 logs broadcast
//
// Works the same for processes started by hand: `node examples/broadcast.js` in several terminals.
//
//     worker 0: hello from 0
//     worker 0: hello from 1
//     worker 1: hello from 1
"use strict";
const { Group } = require("open-channel/group");

const me = process.env.NODE_APP_INSTANCE ?? process.pid;

(async () => {
  const group = await Group.join("broadcast");
  for (const signal of ["SIGINT", "SIGTERM"])
    process.once(signal, () => group.close().then(() => process.exit()));

  const hello = group.subscribe("hello", ({ value }) => console.log(`worker ${me}: ${value}`));
  await hello.ready;
  await group.publish("hello", `hello from ${me}`); // all have handled it
})();
