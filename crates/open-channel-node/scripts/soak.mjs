// Members in Rust and Node come and go on one channel for a long time: whichever hosts is killed
// with SIGKILL, or asked to leave in an orderly way, again and again. Every handler acknowledges by
// hand, after a random delay. A ledger says at the end what was lost, what came twice without its
// mark, and what was acknowledged before anybody had handled it.
//
//   node scripts/soak.mjs [--kills 1000] [--closes 500] [--members 6]
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setTimeout as pause } from "node:timers/promises";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "1000" },
    closes: { type: "string", default: "500" },
    members: { type: "string", default: "6" },
  },
});
const [KILLS, CLOSES, MEMBERS] = [values.kills, values.closes, values.members].map((text) => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0) throw new Error(`${text} is not a whole number`);
  return number;
});
/** So many messages does each host handle before it goes. */
const MESSAGES = 100;
/** Longer than any change of host takes on a busy machine. */
const PATIENCE = 30_000;

const folder = join(dirname(fileURLToPath(import.meta.url)), "..");
const scratch = mkdtempSync(join(tmpdir(), "oc-soak-"));
const ledgerFile = join(scratch, "ledger");
writeFileSync(ledgerFile, "");
const env = {
  ...process.env,
  LEDGER: ledgerFile,
  CHANNEL: "soak",
  OPEN_CHANNEL_DIR: join(scratch, "channels"),
  DELAY: "10",
  EVERY: "1",
};

/**
 * The content of the ledger, as far as it is read: lines are appended whole, in the order of what
 * they report.
 */
class Ledger {
  #file = openSync(ledgerFile, "r");
  #buffer = Buffer.allocUnsafe(1 << 20);
  #rest = "";
  /** By writer: numbers handled, and the highest one. */
  #writers = new Map();
  host = 0;
  generation = 0;
  /** Handled in the present generation. */
  handledByHost = 0;
  counts = {
    handled: 0,
    finished: 0,
    sent: 0,
    lost: 0,
    duplicatesMarked: 0,
    duplicatesUnmarked: 0,
    acknowledgedUnhandled: 0,
    errors: 0,
    hosts: 0,
  };

  read() {
    for (;; ) {
      const length = readSync(this.#file, this.#buffer, 0, this.#buffer.length, null);
      if (length === 0) return;
      const lines = (this.#rest + this.#buffer.toString("utf8", 0, length)).split("\n");
      this.#rest = lines.pop();
      for (const line of lines) this.#take(JSON.parse(line));
    }
  }

  close() {
    closeSync(this.#file);
  }

  #writer(name) {
    let writer = this.#writers.get(name);
    if (writer === undefined)
      this.#writers.set(name, (writer = { numbers: new Set(), through: 0 }));
    return writer;
  }

  /** Numbers up to `last` that nobody has handled. */
  #unhandled(name, last) {
    const writer = this.#writer(name);
    let missing = 0;
    for (let n = writer.through + 1; n <= last; n++) if (!writer.numbers.has(n)) missing++;
    while (writer.numbers.has(writer.through + 1)) writer.through++;
    return missing;
  }

  #take(entry) {
    const { counts } = this;
    if (entry.handled !== undefined) {
      const { numbers } = this.#writer(entry.writer);
      if (numbers.has(entry.handled))
        entry.redelivered ? counts.duplicatesMarked++ : counts.duplicatesUnmarked++;
      numbers.add(entry.handled);
      counts.handled++;
      if (String(entry.by).split(".")[0] === String(this.host)) this.handledByHost++;
    } else if (entry.acknowledged !== undefined) {
      counts.acknowledgedUnhandled += this.#unhandled(entry.writer, entry.acknowledged);
    } else if (entry.finished !== undefined) {
      counts.finished++;
      counts.sent += entry.finished;
      counts.lost += this.#unhandled(entry.writer, entry.finished);
    } else if (entry.host !== undefined && entry.generation > this.generation) {
      this.host = entry.host;
      this.generation = entry.generation;
      this.handledByHost = 0;
      counts.hosts++;
    } else if (entry.error !== undefined) {
      counts.errors++;
      if (counts.errors <= 5) console.error(`  ${entry.writer}: ${entry.error}`);
    }
  }
}

const ledger = new Ledger();
const members = new Map();
let made = 0;

function start() {
  const rust = made++ % 2 === 0;
  const [command, args] = rust
    ? [join(folder, "target", "member"), []]
    : [process.execPath, [join(folder, "test", "fixtures", "soak-member.js")]];
  const child = spawn(command, args, { env, stdio: ["pipe", "ignore", "inherit"] });
  child.rust = rust;
  child.over = new Promise((resolve) => child.once("exit", resolve));
  members.set(child.pid, child);
}

function leave(child) {
  if (child.rust) child.stdin.end();
  else child.kill("SIGTERM");
}

function describe() {
  const alive = [...members.values()].map(({ pid, rust }) => `${pid} (${rust ? "Rust" : "Node"})`);
  const { generation, host } = ledger;
  return `the host of generation ${generation} is ${host}, the members are ${alive.join(", ")}`;
}

async function until(condition, what) {
  for (const deadline = Date.now() + PATIENCE; ; ) {
    ledger.read();
    if (condition()) return;
    if (Date.now() > deadline)
      throw new Error(`waited ${PATIENCE} ms in vain for ${what}; ${describe()}`);
    await pause(2);
  }
}

async function end(child, kill) {
  if (kill) child.kill("SIGKILL");
  else leave(child);
  await child.over;
  members.delete(child.pid);
}

try {
  while (members.size < MEMBERS) start();
  let [kills, closes] = [0, 0];
  while (kills < KILLS || closes < CLOSES) {
    await until(
      () => members.has(ledger.host) && ledger.handledByHost > MESSAGES,
      "a host that handles something",
    );
    // At any moment of what it does.
    await pause(Math.random() * 20);
    const kill = closes >= CLOSES || (kills < KILLS && Math.random() < KILLS / (KILLS + CLOSES));
    await end(members.get(ledger.host), kill);
    if (kill) kills++;
    else closes++;
    start();
    if ((kills + closes) % 100 === 0)
      console.log(`${kills} kills, ${closes} closes: ${JSON.stringify(ledger.counts)}`);
  }
  await until(() => members.has(ledger.host) && ledger.handledByHost > 0, "the last host");
  const last = members.get(ledger.host);
  await Promise.all(
    [...members.values()].filter((child) => child !== last).map((child) => end(child, false)),
  );
  await end(last, false);
  ledger.read();
  console.log(`${kills} hosts killed, ${closes} closed: ${JSON.stringify(ledger.counts)}`);
  const { lost, duplicatesUnmarked, acknowledgedUnhandled, errors, finished } = ledger.counts;
  if (lost + duplicatesUnmarked + acknowledgedUnhandled + errors > 0 || finished === 0) {
    console.error(
      `broken promises: lost ${lost}, unmarked duplicates ${duplicatesUnmarked}, ` +
        `acknowledged and unhandled ${acknowledgedUnhandled}, errors ${errors}`,
    );
    process.exitCode = 1;
  }
} finally {
  for (const child of members.values()) child.kill("SIGKILL");
  await Promise.all([...members.values()].map((child) => child.over));
  ledger.close();
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}
