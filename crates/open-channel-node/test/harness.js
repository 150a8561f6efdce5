// The tools that the tests share: a private runtime directory, waiting for conditions, and other
// processes.
//
// A test that fails must not keep the run going. Its processes are killed when it ends; and if
// something in this process stays open after the last test, that is a failure of its own, not an
// endless wait.
"use strict";
const { execFileSync, spawn } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { test: nodeTest, beforeEach, afterEach } = require("node:test");
const { setTimeout: pause } = require("node:timers/promises");

// Given, and removed afterwards, by scripts/test.mjs; made here when a file is run by hand.
const scratch = process.env.TEST_SCRATCH ?? fs.mkdtempSync(path.join(os.tmpdir(), "oc-test-"));
process.env.OPEN_CHANNEL_DIR = path.join(scratch, "channels");
process.on("exit", () => {
  killChildren();
  if (process.env.TEST_SCRATCH !== undefined) return;
  try {
    fs.rmSync(scratch, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 });
  } catch {
    // A host of this process puts its socket file back when that is deleted.
  }
});

/** `test` of node:test, none without a timeout. */
const test = (name, ...rest) => {
  const run = rest.pop();
  return nodeTest(name, { timeout: 60_000, ...rest[0] }, run);
};

/** How long this process may live on after its last test. */
const LINGER = 5_000;

let lingering;
beforeEach(() => clearTimeout(lingering));
afterEach(() => {
  killChildren();
  clearTimeout(lingering);
  lingering = setTimeout(() => {
    console.error(
      `✖ still open after the last test: ${process.getActiveResourcesInfo().join(", ")}`,
    );
    process.exit(1);
  }, LINGER).unref();
});

const children = new Set();

/** Sees to it that a process does not outlive its test. */
function adopt(child) {
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

function killChildren() {
  for (const child of children) child.kill("SIGKILL");
}

const fixture = (name) => path.join(__dirname, "fixtures", name);

/** Looks again and again until `condition` returns something true, and returns that. */
async function until(condition, what = String(condition), timeout = 15_000) {
  for (const deadline = Date.now() + timeout; ; ) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${timeout} ms in vain for: ${what}`);
    await pause(2);
  }
}

/** A promise that fails when it takes too long. */
async function within(promise, what, timeout = 15_000) {
  const watchdog = new AbortController();
  const late = pause(timeout, undefined, { signal: watchdog.signal }).then(
    () => { throw new Error(`waited ${timeout} ms in vain for: ${what}`); },
    () => new Promise(() => {}),
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    watchdog.abort();
  }
}

/** The next `event` of `emitter`, as the array of its arguments. */
const next = (emitter, event) => within(once(emitter, event), `the event ${event}`);

/** Starts a process that talks in lines of JSON on its standard output. */
function start(command, args, { env = {}, ...options } = {}) {
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "inherit"],
    ...options,
    env: { ...process.env, ...env },
  });
  adopt(child);
  child.lines = [];
  child.text = "";
  child.stdout?.setEncoding("utf8").on("data", (text) => {
    child.text += text;
    const lines = child.text.split("\n");
    child.text = lines.pop();
    child.lines.push(...lines);
  });
  child.ended = once(child, "close").then(([code, signal]) => {
    if (child.text !== "") child.lines.push(child.text);
    return { code, signal };
  });
  /** Waits for a line of this process. */
  child.line = (pattern) =>
    until(() => {
      const line = child.lines.find((line) =>
        typeof pattern === "string" ? line === pattern : pattern.test(line),
      );
      if (line === undefined && child.exitCode !== null && child.stdout.destroyed)
        throw new Error(
          `the process ended with ${child.exitCode} before it said ${pattern}; ` +
            `it said: ${child.lines.join(" | ")}`,
        );
      return line;
    }, `the line ${pattern}`);
  return child;
}

const node = (script, args = [], options) => start(process.execPath, [script, ...args], options);

/**
 * Installs what the lock file of a folder of tests names, if that was not done since it changed.
 */
function install(folder) {
  const [wanted, installed] = ["package-lock.json", path.join("node_modules", ".package-lock.json")]
    .map((file) => fs.statSync(path.join(folder, file), { throwIfNoEntry: false })?.mtimeMs ?? 0);
  if (installed >= wanted) return;
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, stdio: "inherit" });
}

let names = 0;
/** A channel name of this test's own. */
const unique = () => `test-${process.pid}-${++names}`;

/**
 * Numbered traffic: every writer says which of its messages it sent, every host which it handled.
 * Both write to one file, whole lines at a time, so that nothing is lost at a kill.
 */
class Ledger {
  constructor() {
    this.file = path.join(scratch, `ledger-${++names}`);
    fs.writeFileSync(this.file, "");
  }

  entries() {
    return fs
      .readFileSync(this.file, "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  }

  /** Checks the promises, and returns the figures. */
  audit() {
    const handled = new Map();
    const finished = new Map();
    let marked = 0;
    let unmarked = 0;
    let disordered = 0;
    for (const entry of this.entries()) {
      if (entry.finished !== undefined) finished.set(entry.writer, entry.finished);
      if (entry.handled === undefined) continue;
      const seen = handled.get(entry.writer) ?? { numbers: new Set(), highest: 0 };
      handled.set(entry.writer, seen);
      if (seen.numbers.has(entry.handled)) entry.redelivered ? marked++ : unmarked++;
      else if (entry.handled < seen.highest) disordered++;
      seen.numbers.add(entry.handled);
      seen.highest = Math.max(seen.highest, entry.handled);
    }
    let lost = 0;
    let sent = 0;
    for (const [writer, count] of finished) {
      sent += count;
      for (let n = 1; n <= count; n++) if (!handled.get(writer)?.numbers.has(n)) lost++;
    }
    return {
      writers: finished.size,
      sent,
      lost,
      duplicatesMarked: marked,
      duplicatesUnmarked: unmarked,
      disordered,
    };
  }

  /** Messages handled so far. */
  get handled() {
    return this.entries().filter((entry) => entry.handled !== undefined).length;
  }
}

module.exports = {
  test,
  scratch,
  fixture,
  until,
  within,
  next,
  start,
  adopt,
  node,
  install,
  unique,
  Ledger,
};
