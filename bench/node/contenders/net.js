// Nothing but a Unix socket: no boundaries, no acknowledgement. Sizes are counted.
"use strict";
const net = require("node:net");
const { counted } = require("../counted.js");

const path = () => `${process.env.BENCH_DIR}/net.sock`;
exports.stream = true;
exports.serve = (onMessage, size) =>
  new Promise((resolve) =>
    net
      .createServer((socket) =>
        socket.on(
          "data",
          counted(size, (data) => onMessage(data, socket)),
        ),
      )
      .listen(path(), resolve),
  );
exports.connect = (onMessage, size) => net.connect(path()).on("data", counted(size, onMessage));
