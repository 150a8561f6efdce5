// Messages are glued together on arrival: sizes are counted.
"use strict";
const { openChannel } = require("open-channel-original");
const { counted } = require("../counted.js");

const open = (listener) => openChannel("bench", listener);
exports.stream = true;
exports.serve = (onMessage, size) =>
  new Promise((resolve) => {
    const channel = open((socket) =>
      socket.on(
        "data",
        counted(size, (data) => onMessage(data, socket)),
      ),
    );
    channel.connect().once("connect", resolve);
  });
exports.connect = (onMessage, size) =>
  open(() => {})
    .connect()
    .on("data", counted(size, onMessage));
