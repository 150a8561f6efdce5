"use strict";
const loaded = import("node-ipc");

const configured = async (id) => {
  const { IPCModule } = await loaded;
  const ipc = new IPCModule();
  Object.assign(ipc.config, {
    id,
    silent: true,
    socketRoot: `${process.env.BENCH_DIR}/`,
    appspace: "ipc.",
  });
  return ipc;
};
// Its messages are JSON: bytes travel as base64.
exports.serve = async (onMessage) => {
  const ipc = await configured("bench");
  await new Promise((resolve) => {
    ipc.serve(resolve);
    ipc.server.start();
    ipc.server.on("m", (data, socket) =>
      onMessage(Buffer.from(data, "base64"), {
        write: (reply) => ipc.server.emit(socket, "m", reply.toString("base64")),
      }),
    );
  });
};
exports.connect = async (onMessage) => {
  const ipc = await configured(`client-${process.pid}`);
  return new Promise((resolve) =>
    ipc.connectTo("bench", () => {
      const server = ipc.of.bench;
      server.on("m", (data) => onMessage(Buffer.from(data, "base64")));
      server.on("connect", () => {
        let outstanding = 0;
        resolve({
          write(data) {
            server.emit("m", data.toString("base64"));
            return ++outstanding % 256 !== 0;
          },
          once: (_, listener) => setImmediate(listener),
        });
      });
    }),
  );
};
