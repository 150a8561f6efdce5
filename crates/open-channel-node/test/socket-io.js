// Socket.IO servers in members of a group, and clients in this process.
"use strict";
const { until } = require("./harness.js");
const { members } = require("./members.js");
const { afterEach } = require("node:test");
const { io } = require("socket.io-client");

/** Starts a Socket.IO server in a member. WebSocket only: no sticky sessions are needed. */
const serve = async (one, options = {}, adapter = {}) => {
  one.port = await one.run(
    async ({ group, require, kept }, options, adapter) => {
      const { createServer } = require("node:http");
      const { Server } = require("socket.io");
      const { createAdapter } = require("open-channel/socket.io");
      const server = createServer();
      kept.io = new Server(server, {
        transports: ["websocket"],
        ...options,
        adapter: createAdapter(group, adapter),
      });
      kept.io.on("connection", (socket) => {
        socket.data.port ??= server.address().port;
        socket.on("join", (room, done) => done(void socket.join(room)));
      });
      await kept.io.of("/").adapter.ready;
      server.listen(0, "127.0.0.1");
      await require("node:events").once(server, "listening");
      return server.address().port;
    },
    options,
    adapter,
  );
  return one;
};

/** So many members with a server each. */
async function servers(count, options, adapter, group) {
  const all = await members(count, group);
  for (const one of all) await serve(one, options, adapter);
  return all;
}

const clients = new Set();
afterEach(() => {
  for (const client of clients) client.disconnect();
  clients.clear();
});

/** A client that keeps all events that it gets, in `got`. */
async function connect(port, rooms = [], options = {}) {
  const client = io(`http://127.0.0.1:${port}`, {
    transports: ["websocket"],
    forceNew: true,
    reconnectionDelay: 10,
    reconnectionDelayMax: 50,
    ...options,
  });
  clients.add(client);
  client.got = [];
  client.onAny((...event) => client.got.push(event));
  await until(() => client.connected, "a connection");
  for (const room of rooms) await client.timeout(10_000).emitWithAck("join", room);
  return client;
}

/** Emits to all clients. */
const emit = (one, ...args) => one.run(({ kept }, ...args) => kept.io.emit(...args), ...args);

module.exports = { serve, servers, connect, emit };
