// Both sides of every measurement: `party.js server|client <contender> <what> <size> <count>`.
"use strict";
const [, , side, name, what, sizeText, countText] = process.argv;
const size = Number(sizeText);
const count = Number(countText);
const contender = require(`./contenders/${name}.js`);

/** Every message carries its number and a pattern; both are checked on arrival. */
function message(n) {
  const data = Buffer.alloc(size, 0xa5);
  data.writeDoubleLE(n, 0);
  return data;
}
function check(data, n) {
  if (data.length !== size || data.readDoubleLE(0) !== n || data[size - 1] !== 0xa5)
    throw new Error(
      `${name}: message ${n} arrived as ${data.length} bytes, number ${data.readDoubleLE(0)}`,
    );
}

async function server() {
  let seen = 0;
  const last = message(0);
  await contender.serve((data, socket) => {
    if (what === "one-way") {
      check(data, seen++);
      if (seen === count) {
        seen = 0;
        socket.write(last);
      }
    } else {
      socket.write(Buffer.from(data));
    }
  }, size);
  process.send("ready");
}

const nowUs = () => Number(process.hrtime.bigint()) / 1000;

async function connectAndReply() {
  const begin = nowUs();
  await new Promise(async (resolve) => {
    const socket = await contender.connect(resolve, size);
    socket.write(message(0));
  });
  process.send({ us: nowUs() - begin, sinceStart: performance.now() * 1000 });
}

async function roundTrips() {
  const times = new Float64Array(count);
  let n = -Math.min(1000, count); // warming up
  let begin;
  await new Promise(async (resolve) => {
    const socket = await contender.connect((data) => {
      if (n >= 0) times[n] = nowUs() - begin;
      check(data, n);
      if (++n === count) return resolve();
      begin = nowUs();
      socket.write(message(n));
    }, size);
    begin = nowUs();
    socket.write(message(n));
  });
  times.sort();
  const at = (share) => times[Math.min(count - 1, Math.floor(count * share))];
  process.send({ p50: at(0.5), p99: at(0.99), p999: at(0.999) });
}

async function oneWay() {
  let finished;
  const socket = await contender.connect(() => finished(), size);
  const round = () =>
    new Promise((done) => {
      finished = done;
      let n = 0;
      const write = () => {
        while (n < count)
          if (!socket.write(message(n++)) && n < count) return void socket.once("drain", write);
      };
      write();
    });
  await round(); // warming up
  const rates = [];
  for (let i = 0; i < 3; i++) {
    const begin = nowUs();
    await round();
    rates.push((count / (nowUs() - begin)) * 1e6);
  }
  rates.sort((a, b) => a - b);
  process.send({ rate: rates[1] });
}

if (side === "server") server();
else ({ connect: connectAndReply, "round-trip": roundTrips, "one-way": oneWay })[what]();
