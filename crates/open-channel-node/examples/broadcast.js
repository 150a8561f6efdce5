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
const { EventEmitter } = require("node:events");
const { openChannel } = require("open-channel");

/**
 * An emitter of `message` events, with `send(value)` to every process that opened the same name.
 */
function openBroadcast(name = "broadcast") {
  const listeners = new Set();
  // Runs in whichever worker hosts: it hands on what it gets. A relay that is killed is replaced,
  // and what it had not handled goes through the next one.
  const channel = openChannel(name, (socket) => {
    listeners.add(socket);
    socket.on("data", (message) => {
      for (const listener of listeners) listener.write(message);
    });
    socket.on("close", () => listeners.delete(socket));
  });
  const socket = channel.connect();
  const broadcast = new EventEmitter();
  socket.on("data", (message) => broadcast.emit("message", JSON.parse(message)));
  socket.on("error", (error) => broadcast.emit("error", error));
  broadcast.send = (value) => socket.write(JSON.stringify(value));
  broadcast.close = () => channel.close();
  return broadcast;
}

module.exports = { openBroadcast };

if (require.main === module) {
  const me = process.env.NODE_APP_INSTANCE ?? process.pid;
  const broadcast = openBroadcast();
  broadcast.on("message", (text) => console.log(`worker ${me}: ${text}`));
  broadcast.send(`hello from ${me}`);
  for (const signal of ["SIGINT", "SIGTERM"])
    process.once(signal, () => broadcast.close().then(() => process.exit()));
}
