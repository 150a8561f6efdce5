// A lock that several processes share: one at a time is inside, whoever dies inside lets go.
//
//     $ node examples/lock.js
//     4 processes were inside 100 times, never two at once
//
// The queue lives in the host. When the host dies, every process reports to the next one what it
// waits for, and the one that is inside says so. Before the new host lets anyone in, it gives that
// one a moment to do so. A lock can never be safer than that by itself: what must not happen twice
// checks the token, which only grows, where it happens.
"use strict";
const { openChannel } = require("open-channel");

/** Time for the process that is inside to report to a new host; reconnecting takes milliseconds. */
const GRACE = 500;

function openLock(name = "lock") {
  // ---- in the host ----
  const waiting = [];
  let inside = null;
  let tokens = 0;
  let open = true;
  const admit = () => {
    if (!open || inside !== null || waiting.length === 0) return;
    inside = waiting.shift();
    inside.socket.write(
      JSON.stringify({ enter: inside.request, token: channel.generation * 2 ** 32 + ++tokens }),
    );
  };
  const leave = (socket, request) => {
    if (inside?.socket === socket && (request === undefined || inside.request === request))
      inside = null;
    admit();
  };
  const channel = openChannel(name, (socket) => {
    socket.on("data", (message) => {
      const { want, hold, done } = JSON.parse(message);
      if (want !== undefined) waiting.push({ socket, request: want });
      if (hold !== undefined) inside = { socket, request: hold };
      if (done !== undefined) leave(socket, done);
      admit();
    });
    socket.on("close", () => {
      for (let i = waiting.length; i-- > 0; )
        if (waiting[i].socket === socket) waiting.splice(i, 1);
      leave(socket);
    });
  });
  channel.on("host", (generation) => {
    if (generation === 1) return;
    open = false;
    setTimeout(() => ((open = true), admit()), GRACE);
  });

  // ---- in everyone ----
  const socket = channel.connect();
  const requests = new Map();
  let counter = 0;
  let held;
  socket.on("reconnect", () => {
    if (held !== undefined) socket.write(JSON.stringify({ hold: held }));
    for (const request of requests.keys()) socket.write(JSON.stringify({ want: request }));
  });
  socket.on("data", (message) => {
    const { enter, token } = JSON.parse(message);
    const run = requests.get(enter);
    // Asked twice, around a failover.
    if (run === undefined) return void socket.write(JSON.stringify({ done: enter }));
    requests.delete(enter);
    held = enter;
    run(token);
  });

  return {
    /** Runs `task(token)` while no other process is inside. */
    async run(task) {
      const request = `${process.pid}.${++counter}`;
      const token = await new Promise((resolve) => {
        requests.set(request, resolve);
        socket.write(JSON.stringify({ want: request }));
      });
      try {
        return await task(token);
      } finally {
        held = undefined;
        socket.write(JSON.stringify({ done: request }));
      }
    },
    close: () => channel.close(),
  };
}

module.exports = { openLock };

if (require.main === module) {
  const fs = require("node:fs");
  const { fork } = require("node:child_process");
  const { once } = require("node:events");
  const file =
    process.argv[2] ?? fs.mkdtempSync(`${require("node:os").tmpdir()}/lock-`) + "/inside";
  const lock = openLock(process.argv[3] ?? `lock-${process.pid}`);
  const child = process.send !== undefined;
  (async () => {
    const others = child
      ? []
      : [1, 2, 3].map(() => fork(__filename, [file, `lock-${process.pid}`]));
    for (let i = 0; i < 25; i++) {
      await lock.run(async () => {
        fs.writeFileSync(file, "", { flag: "wx" }); // throws if somebody is inside
        await new Promise(setImmediate);
        fs.unlinkSync(file);
      });
    }
    await Promise.all(others.map((other) => once(other, "exit")));
    await lock.close();
    if (child) return process.disconnect();
    fs.rmdirSync(require("node:path").dirname(file));
    console.log("4 processes were inside 100 times, never two at once");
  })();
}
