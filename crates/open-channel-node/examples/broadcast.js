// A broadcast between PM2 workers: what one says, all others hear.
//
//     pm2 start examples/broadcast.js -i 4 && pm2 logs broadcast
//
// Works the same for processes started by hand: `node examples/broadcast.js` in several terminals.
//
//     worker 0 listens
//     worker 1 listens
//     worker 0: hello from 1
"use strict";
const { Group } = require("open-channel/group");

const me = process.env.NODE_APP_INSTANCE ?? process.pid;

(async () => {
  const group = await Group.join("example-broadcast");
  const channel = group.broadcastChannel("hello");
  channel.onmessage = ({ data }) => console.log(`worker ${me}: ${data}`);
  await channel.ready;
  console.log(`worker ${me} listens`);
  channel.postMessage(`hello from ${me}`);
  for (const signal of ["SIGINT", "SIGTERM"])
    process.once(signal, () => group.close().then(() => process.exit()));
})();
