"use strict";
const { openChannel } = require("open-channel");

const options = { name: "bench", app: "bench" };
exports.serve = (onMessage) =>
  new Promise((resolve, reject) => {
    const channel = openChannel(options, (socket) =>
      socket.on("data", (data) => onMessage(data, socket)),
    );
    channel.join().then(resolve, reject);
  });
exports.connect = (onMessage) => openChannel(options).connect().on("data", onMessage);
