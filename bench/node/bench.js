// Measures every contender in one run and prints tables in Markdown:
// `node bench.js [file] [--quick] [--only round-trip,one-way,connect,failover]`. The variable
// CONTENDERS, such as "open-channel net", names those to measure.
"use strict";
const { fork } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { setTimeout: pause } = require("node:timers/promises");
const { parseArgs } = require("node:util");

const {
  values: options,
  positionals: [output],
} = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "round-trip,one-way,connect,failover" },
  },
  allowPositionals: true,
});
const { quick } = options;
const wanted = new Set(options.only.split(","));
const contenders = (
  process.env.CONTENDERS ?? "open-channel net original node-ipc zeromq"
).split(" ");
const SIZES = [64, 1024, 65536];
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "open-channel-bench-"));
const env = () => {
  const folder = fs.mkdtempSync(path.join(scratch, "run-"));
  return {
    ...process.env,
    BENCH_DIR: folder,
    OPEN_CHANNEL_DIR: path.join(folder, "channels"),
    TMPDIR: folder,
  };
};
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function answer(child, timeout = 60_000) {
  const result = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(() => []),
    pause(timeout, [], { ref: false }),
  ]);
  return result[0];
}

/** Runs a server and `clients` clients, one after the other. */
async function measure(name, what, size, count, clients = 1) {
  const options = { env: env() };
  const party = (side) =>
    fork(path.join(__dirname, "party.js"), [side, name, what, size, count].map(String), options);
  const server = party("server");
  const results = [];
  try {
    if ((await answer(server, 10_000)) === undefined) return results;
    for (let i = 0; i < clients; i++) {
      const client = party("client");
      const result = await answer(client);
      client.kill("SIGKILL");
      if (result === undefined) break;
      results.push(result);
    }
    return results;
  } finally {
    server.kill("SIGKILL");
  }
}

/** Four processes write every millisecond; the one that handles is killed. */
async function failover(name) {
  const settings = env();
  const log = path.join(settings.BENCH_DIR, "log");
  fs.writeFileSync(log, "");
  const entries = () =>
    fs
      .readFileSync(log, "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  const children = [];
  for (let i = 0; i < 4; i++) {
    children.push(
      fork(path.join(__dirname, "writer.js"), [name], { env: { ...settings, LOG: log } }),
    );
    if (name === "original") await pause(150); // processes started together never find a host
  }
  try {
    const writers = () => new Set(entries().map((entry) => entry.line?.split(":")[0])).size;
    for (const deadline = Date.now() + 10_000; writers() < 4; await pause(20))
      if (Date.now() > deadline) return { never: true };
    await pause(200);
    const host = entries().at(-1).by;
    const killed = Number(process.hrtime.bigint() / 1000n);
    process.kill(host, "SIGKILL");
    const next = () => entries().find((entry) => entry.line !== undefined && entry.by !== host);
    for (const deadline = Date.now() + 8_000; next() === undefined; await pause(20))
      if (Date.now() > deadline) return { never: true };
    await pause(200);
    const rest = children.filter((child) => child.pid !== host);
    await Promise.all(rest.map((child) => (child.kill("SIGTERM"), answer(child, 5000))));
    const all = entries();
    let lost = 0;
    let twice = 0;
    for (const { done, sent } of all.filter((entry) => entry.done)) {
      const seen = new Map();
      for (const { line, again } of all) {
        if (!line?.startsWith(`${done}:`)) continue;
        if (seen.has(line) && !again) twice++;
        seen.set(line, true);
      }
      for (let n = 1; n <= sent; n++) if (!seen.has(`${done}:${n}`)) lost++;
    }
    const sent = all.filter((entry) => entry.done).reduce((sum, entry) => sum + entry.sent, 0);
    return { gap: (next().at - killed) / 1000, lost, twice, sent };
  } finally {
    children.forEach((child) => child.kill("SIGKILL"));
  }
}

const lines = [];
const say = (text) => {
  console.log(text);
  lines.push(text);
};
const table = (head, rows) => {
  say(`| ${head.join(" | ")} |`);
  say(`| ${head.map((_, i) => (i === 0 ? "---" : "---:")).join(" | ")} |`);
  for (const row of rows) say(`| ${row.join(" | ")} |`);
  say("");
};
const ratio = (value, base) => (base ? ` (${(value / base).toFixed(2)}×)` : "");

const share = quick ? 0.2 : 1;
const rounds = quick ? 1 : 3;

/**
 * Every contender takes its turn in each round, because a machine does not always run at the same
 * speed. Medians of the rounds.
 */
async function inTurns(what, sizes, count, clients = 1) {
  const results = new Map();
  const key = (name, size) => `${name} ${size}`;
  for (let round = 0; round < rounds; round++)
    for (const size of sizes)
      for (const name of contenders) {
        const before = results.get(key(name, size)) ?? [];
        results.set(
          key(name, size),
          before.concat(await measure(name, what, size, count(name, size), clients)),
        );
      }
  const of = (name, size, figure) => results.get(key(name, size)).map((result) => result[figure]);
  return {
    median: (name, size, figure) => median(of(name, size, figure)),
    most: (name, size, figure) => Math.max(...of(name, size, figure)),
  };
}

function compare(sizes, describe) {
  table(
    ["", ...sizes.map((size) => `${size} B`)],
    contenders.map((name) => [name, ...sizes.map((size) => describe(name, size))]),
  );
}

async function roundTrips() {
  say("### Round trip, µs: median / 99 %\n");
  const trips = await inTurns("round-trip", SIZES, (_, size) =>
    Math.round((size > 10_000 ? 5_000 : 20_000) * share),
  );
  compare(SIZES, (name, size) => {
    const half = trips.median(name, size, "p50");
    if (!half) return "no reply";
    const most = trips.median(name, size, "p99");
    const against = ratio(half, trips.median("net", size, "p50"));
    return `${half.toFixed(1)} / ${most.toFixed(1)}${against}`;
  });
}

async function oneWay() {
  say("### One way, messages per second\n");
  const rates = await inTurns("one-way", SIZES, (name, size) =>
    Math.round((size > 10_000 ? 10_000 : 300_000) * share * (name === "node-ipc" ? 0.1 : 1)),
  );
  compare(SIZES, (name, size) => {
    const rate = rates.median(name, size, "rate");
    return rate
      ? `${Math.round(rate).toLocaleString("en")}${ratio(rate, rates.median("net", size, "rate"))}`
      : "did not finish";
  });
}

async function connecting() {
  say("### The first reply in a new process, ms: median / slowest\n");
  const firsts = await inTurns("connect", [64], () => 1, 5);
  const since = (name, what) => {
    const us = firsts.median(name, 64, what);
    if (!us) return "no reply";
    const millis = (us) => (us / 1000).toFixed(2);
    const slowest = millis(firsts.most(name, 64, what));
    return `${millis(us)} / ${slowest}${ratio(us, firsts.median("net", 64, what))}`;
  };
  // A package may do at its loading what its connect() would do, so that counts too.
  table(
    ["", "from connect()", "from the start of the process"],
    contenders.map((name) => [name, since(name, "us"), since(name, "sinceStart")]),
  );
}

async function failovers() {
  say("### kill -9 of the host, 4 processes writing every millisecond\n");
  const kills = quick ? 3 : 11;
  const rows = [];
  for (const name of ["open-channel", "original"].filter((name) => contenders.includes(name))) {
    const results = [];
    for (let i = 0; i < kills; i++) results.push(await failover(name));
    const back = results.filter((result) => !result.never);
    const sum = (key) => back.reduce((total, result) => total + result[key], 0);
    const gaps = back.map((result) => result.gap);
    rows.push([
      name,
      gaps.length ? `${median(gaps).toFixed(1)} / ${Math.max(...gaps).toFixed(1)}` : "–",
      `${back.length} of ${kills}`,
      sum("sent"),
      sum("lost"),
      sum("twice"),
    ]);
  }
  table(
    [
      "",
      "without service, ms: median / longest",
      "came back",
      "sent",
      "lost",
      "twice without a mark",
    ],
    rows,
  );
}

(async () => {
  const date = new Date().toISOString().slice(0, 10);
  const turns = quick ? "" : ` Medians of ${rounds} rounds in which all take turns.`;
  say(
    `Node ${process.version}, ${os.cpus().length} × ${os.cpus()[0].model}, ${date}. ` +
      `In brackets: against plain net in this run.${turns}\n`,
  );

  if (wanted.has("round-trip")) await roundTrips();
  if (wanted.has("one-way")) await oneWay();
  if (wanted.has("connect")) await connecting();
  if (wanted.has("failover")) await failovers();

  if (output) fs.writeFileSync(output, `${lines.join("\n")}\n`);
  fs.rmSync(scratch, { recursive: true, force: true });
  process.exit();
})();
