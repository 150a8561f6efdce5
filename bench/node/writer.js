// One of the processes of the failover measurement: writes a numbered line every millisecond, and
// notes what it handles.
"use strict";
const fs = require("node:fs");
const original = process.argv[2] === "original";
const { openChannel } = require(original ? "open-channel-original" : "open-channel");

const log = fs.openSync(process.env.LOG, "a");
const note = (entry) => fs.writeSync(log, `${JSON.stringify(entry)}\n`);
const nowUs = () => Number(process.hrtime.bigint() / 1000n);

const channel = openChannel("failover", (socket) => {
  let rest = "";
  socket.on("data", (data) => {
    const lines = (rest + data).split("\n");
    rest = lines.pop();
    for (const line of lines)
      note({ at: nowUs(), by: process.pid, line, again: socket.message?.redelivered ?? false });
  });
});
const socket = channel.connect();
socket.on("error", () => {});
let sent = 0;
const timer = setInterval(() => socket.write(`${process.pid}:${++sent}\n`), 1);
process.on("SIGTERM", async () => {
  clearInterval(timer);
  if (original) await new Promise((resolve) => setTimeout(resolve, 500));
  else
    await Promise.race([
      socket.flush().catch(() => {}),
      new Promise((resolve) => setTimeout(resolve, 2000)),
    ]);
  note({ done: process.pid, sent });
  process.send("done");
});
process.on("disconnect", () => process.exit());
