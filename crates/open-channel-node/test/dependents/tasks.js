// Ten tasks on a queue that several processes share.
"use strict";
const fs = require("node:fs");
const queue = require("ipqueue").connect("tasks", 5000);

const note = (text) => fs.appendFileSync(process.env.LOG, `${text}\n`);
let done = 0;
for (let i = 0; i < 10; i++) {
  queue.push((next) => {
    note(`begin ${process.pid} ${i}`);
    setImmediate(() => {
      note(`end ${process.pid} ${i}`);
      next();
      if (++done === 10) leave();
    });
  });
}

// The process that hosts the queue stays until the others are done.
function leave() {
  const timer = setInterval(() => {
    if (fs.readFileSync(process.env.LOG, "utf8").split("\n").length > 80) {
      clearInterval(timer);
      queue.disconnect();
    }
  }, 5);
}
