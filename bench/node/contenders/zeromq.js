"use strict";
const zmq = require("zeromq");

const address = () => `ipc://${process.env.BENCH_DIR}/zeromq.sock`;
const adapt = (socket, prefix) => {
  // zeromq sends one message at a time.
  const queue = [];
  let sending = false;
  let drain;
  const pump = async () => {
    sending = true;
    while (queue.length > 0) await socket.send(queue.shift());
    sending = false;
    drain?.();
  };
  return {
    write(data) {
      queue.push(prefix === undefined ? data : [prefix, data]);
      if (!sending) pump();
      return queue.length < 256;
    },
    once: (_, listener) => (drain = () => ((drain = undefined), listener())),
  };
};
exports.serve = async (onMessage) => {
  const router = new zmq.Router();
  await router.bind(address());
  const clients = new Map();
  (async () => {
    for await (const [id, data] of router) {
      const key = id.toString("hex");
      if (!clients.has(key)) clients.set(key, adapt(router, id));
      onMessage(data, clients.get(key));
    }
  })();
};
exports.connect = (onMessage) => {
  const dealer = new zmq.Dealer();
  dealer.connect(address());
  (async () => {
    for await (const [data] of dealer) onMessage(data);
  })();
  return adapt(dealer);
};
