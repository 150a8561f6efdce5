// Measures every contender in one run and prints tables in Markdown:
// `node bench.js [file] [--quick] [--only round-trip,one-way,connect,failover]`.
"use strict";
const { fork } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { setTimeout: pause } = require("node:timers/promises");
const { parseArgs } = require("node:util");

const { values: options, positionals: [output] } = parseArgs({
  options: { quick: { type: "boolean", default: false }, only: { type: "string", default: "round-trip,one-way,connect,failover" } },
  allowPositionals: true,
});
const { quick } = options;
const wanted = new Set(options.only.split(","));
const contenders = (process.env.CONTENDERS ?? "open-channel net original node-ipc zeromq").split(" ");
const SIZES = [64, 1024, 65536];
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "open-channel-bench-"));
const env = () => {
  const folder = fs.mkdtempSync(path.join(scratch, "run-"));
  return { ...process.env, BENCH_DIR: folder, OPEN_CHANNEL_DIR: path.join(folder, "channels"), TMPDIR: folder };
};
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function answer(child, timeout = 60_000) {
  const result = await Promise.race([once(child, "message"), once(child, "exit").then(() => []), pause(timeout, [], { ref: false })]);
  return result[0];
}

/** Runs a server and `clients` clients, one after the other. */
async function measure(name, what, size, count, clients = 1) {
  const options = { env: env() };
  const party = (side) => fork(path.join(__dirname, "party.js"), [side, name, what, size, count].map(String), options);
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
  const entries = () => fs.readFileSync(log, "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line));
  const children = [];
  for (let i = 0; i < 4; i++) {
    children.push(fork(path.join(__dirname, "writer.js"), [name], { env: { ...settings, LOG: log } }));
    if (name === "original") await pause(150); // processes started together never find a host
  }
  try {
    const writers = () => new Set(entries().map((entry) => entry.line?.split(":")[0])).size;
    for (const deadline = Date.now() + 10_000; writers() < 4; await pause(20)) if (Date.now() > deadline) return { never: true };
    await pause(200);
    const host = entries().at(-1).by;
    const killed = Number(process.hrtime.bigint() / 1000n);
    process.kill(host, "SIGKILL");
    const next = () => entries().find((entry) => entry.line !== undefined && entry.by !== host);
    for (const deadline = Date.now() + 8_000; next() === undefined; await pause(20)) if (Date.now() > deadline) return { never: true };
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

async function roundTrips() {
  say("### Round trip, µs: median / 99 %\n");
  const trips = {};
  for (const name of contenders) for (const size of SIZES) [trips[`${name} ${size}`]] = await measure(name, "round-trip", size, Math.round((size > 10_000 ? 5_000 : 20_000) * share));
  table(["", ...SIZES.map((size) => `${size} B`)], contenders.map((name) => [name, ...SIZES.map((size) => {
    const result = trips[`${name} ${size}`];
    return result ? `${result.p50.toFixed(1)} / ${result.p99.toFixed(1)}${ratio(result.p50, trips[`net ${size}`]?.p50)}` : "no reply";
  })]));
}

async function oneWay() {
  say("### One way, messages per second: median of three\n");
  const rates = {};
  for (const name of contenders) for (const size of SIZES) [rates[`${name} ${size}`]] = await measure(name, "one-way", size, Math.round((size > 10_000 ? 10_000 : 300_000) * share * (name === "node-ipc" ? 0.1 : 1)));
  table(["", ...SIZES.map((size) => `${size} B`)], contenders.map((name) => [name, ...SIZES.map((size) => {
    const result = rates[`${name} ${size}`];
    return result ? `${Math.round(result.rate).toLocaleString("en")}${ratio(result.rate, rates[`net ${size}`]?.rate)}` : "did not finish";
  })]));
}

async function connecting() {
  say("### From connect() to the first reply, in a new process, ms: median / slowest\n");
  const firsts = {};
  for (const name of contenders) firsts[name] = (await measure(name, "connect", 64, 1, quick ? 5 : 15)).map((result) => result.us / 1000);
  table(["", "ms"], contenders.map((name) => [name, firsts[name].length ? `${median(firsts[name]).toFixed(2)} / ${Math.max(...firsts[name]).toFixed(2)}${ratio(median(firsts[name]), median(firsts.net))}` : "no reply"]));
}

async function failovers() {
  say("### kill -9 of the host, 4 processes writing every millisecond\n");
  const rounds = quick ? 3 : 11;
  const rows = [];
  for (const name of ["open-channel", "original"].filter((name) => contenders.includes(name))) {
    const results = [];
    for (let i = 0; i < rounds; i++) results.push(await failover(name));
    const back = results.filter((result) => !result.never);
    const sum = (key) => back.reduce((total, result) => total + result[key], 0);
    rows.push([name, back.length ? `${median(back.map((result) => result.gap)).toFixed(1)} / ${Math.max(...back.map((result) => result.gap)).toFixed(1)}` : "–", `${back.length} of ${rounds}`, sum("sent"), sum("lost"), sum("twice")]);
  }
  table(["", "without service, ms: median / longest", "came back", "sent", "lost", "twice without a mark"], rows);
}

(async () => {
  say(`Node ${process.version}, ${os.cpus().length} × ${os.cpus()[0].model}, ${new Date().toISOString().slice(0, 10)}. In brackets: against plain net in this run.\n`);

  if (wanted.has("round-trip")) await roundTrips();
  if (wanted.has("one-way")) await oneWay();
  if (wanted.has("connect")) await connecting();
  if (wanted.has("failover")) await failovers();

  if (output) fs.writeFileSync(output, `${lines.join("\n")}\n`);
  fs.rmSync(scratch, { recursive: true, force: true });
  process.exit();
})();
