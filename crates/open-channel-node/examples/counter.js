// A counter that several processes share, and that outlives any of them.
//
//     $ node examples/counter.js
//     4 processes counted to 4000
//
// Every process keeps what each of them has added so far, and only its own number ever changes
// there. Merging two such tables is taking the larger number for each process: so a message that
// comes twice, or a new host that starts from nothing, does no harm.
"use strict";
const { openChannel } = require("open-channel");

function openCounter(name = "counter") {
  const table = new Map();
  const sockets = new Set();
  const merge = (entries) => {
    for (const [id, added] of entries) table.set(id, Math.max(added, table.get(id) ?? 0));
  };
  const channel = openChannel(name, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (message) => {
      merge(JSON.parse(message));
      const all = JSON.stringify([...table]);
      for (const other of sockets) other.write(all);
    });
  });
  const socket = channel.connect();
  const me = `${process.pid}-${socket.id}`;
  const watchers = new Set();
  socket.on("data", (message) => {
    merge(JSON.parse(message));
    for (const watcher of watchers) watcher();
  });
  // Each host gets everything this process knows.
  for (const event of ["connect", "reconnect"])
    socket.on(event, () => socket.write(JSON.stringify([...table])));
  const counter = {
    get value() {
      return [...table.values()].reduce((sum, added) => sum + added, 0);
    },
    add(amount = 1) {
      table.set(me, (table.get(me) ?? 0) + amount);
      socket.write(JSON.stringify([[me, table.get(me)]]));
    },
    /** Resolves when the value has reached `target`. */
    reached: (target) =>
      new Promise((resolve) => {
        const watcher = () => {
          if (counter.value < target) return;
          watchers.delete(watcher);
          resolve();
        };
        watchers.add(watcher);
        watcher();
      }),
    close: () => channel.close(),
  };
  return counter;
}

module.exports = { openCounter };

if (require.main === module) {
  const { fork } = require("node:child_process");
  const counter = openCounter();
  if (process.send === undefined) for (let i = 0; i < 3; i++) fork(__filename);
  for (let i = 0; i < 1000; i++) counter.add();
  counter.reached(4000).then(async () => {
    if (process.send === undefined) console.log(`4 processes counted to ${counter.value}`);
    await counter.close();
    if (process.connected) process.disconnect();
  });
}
