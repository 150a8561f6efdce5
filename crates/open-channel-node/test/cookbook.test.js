// The programs of docs/COOKBOOK.md do what they say, also when one of their processes is killed.
"use strict";
const { test, node, scratch, until, within, unique } = require("./harness.js");
const { pm2 } = require("./pm2.js");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

const examples = path.join(__dirname, "..", "examples");
const ends = async (run) =>
  assert.deepEqual(await within(run.ended, "its end"), { code: 0, signal: null });

/** Each test has a runtime directory of its own, so that its processes meet nobody else. */
function example(t, name) {
  const dir = path.join(scratch, unique());
  const running = [];
  t.after(() => running.forEach((run) => run.kill("SIGKILL")));
  return (args = [], env = {}) => {
    const run = node(path.join(examples, name), args, { env: { OPEN_CHANNEL_DIR: dir, ...env } });
    running.push(run);
    run.number = env.NODE_APP_INSTANCE;
    return run;
  };
}

const worker = (number) => ({ NODE_APP_INSTANCE: String(number) });
/** Has said a line, and says it again for each look. */
const said = (run, pattern) => run.lines.filter((line) => pattern.test(line));

test("cron.js runs its jobs in one worker, and goes on in the next one", async (t) => {
  const start = example(t, "cron.js");
  const first = start(["20"], worker(0));
  await first.line("worker 0: report 2");
  const others = [1, 2].map((number) => start(["20"], worker(number)));
  await Promise.all(others.map((other) => other.line(/is there$/)));
  first.kill("SIGKILL");
  const runs = /^worker (\d) runs the jobs$/;
  const next = await until(() => others.find((other) => said(other, runs).length > 0), "a leader");
  await next.line(/report [1-9]/);
  const number = (line) => Number(/report (\d+)$/.exec(line)[1]);
  const reports = (run) => said(run, /report/).map(number);
  assert.ok(reports(next)[0] > reports(first).at(-1), "none comes twice");
  const last = others.find((other) => other !== next);
  assert.equal(last.lines.length, 1, "one runs them");
  next.kill("SIGTERM");
  await ends(next);
  await last.line(/^worker \d runs the jobs$/);
  last.kill("SIGTERM");
  await ends(last);
});

const long = { timeout: 120_000 };
test("cron.js under PM2 runs in one worker at a time, over reloads", long, async (t) => {
  t.after(() => pm2("kill"));
  const log = path.join(scratch, unique());
  const lines = (pattern) => {
    const text = fs.existsSync(log) ? fs.readFileSync(log, "utf8") : "";
    return text.split("\n").filter((line) => pattern.test(line));
  };
  const reports = () => lines(/report \d+$/).map((line) => Number(/\d+$/.exec(line)[0]));
  const more = async () => {
    const before = reports().length;
    await until(() => reports().length > before + 10, "more reports", 30_000);
  };
  const cron = path.join(examples, "cron.js");
  await pm2("start", cron, "-i", "3", "-o", log, "-e", `${log}.err`, "--merge-logs", "--", "20");
  await until(() => lines(/is there$/).length === 3, "three workers", 30_000);
  await more();
  await pm2("reload", "cron");
  await until(() => lines(/is there$/).length === 6, "three others", 30_000);
  await more();
  await pm2("scale", "cron", "1");
  await more();
  const numbers = reports();
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b), "each comes once");
  assert.ok(lines(/runs the jobs$/).length > 1, "it went on in another one");
  assert.equal(fs.readFileSync(`${log}.err`, "utf8"), "");
});

test("cache.js never serves an old value after a change", async (t) => {
  const start = example(t, "cache.js");
  const file = path.join(scratch, unique());
  const [one, other] = [start([file]), start([file])];
  const type = async (run, line, answer) => {
    const before = run.lines.length;
    run.stdin.write(`${line}\n`);
    await until(() => run.lines.length > before, `the answer to ${line}`);
    assert.equal(run.lines.at(-1), answer);
  };
  await type(one, "get prices", "prices is nothing (loaded)");
  await type(other, "get prices", "prices is nothing (loaded)");
  await type(other, "get prices", "prices is nothing (cached)");
  for (const value of ["1 2 3", "4"]) {
    await type(one, `set prices ${value}`, "prices is saved, and nobody has the old ones");
    await type(other, "get prices", `prices is ${value} (loaded)`);
    await type(other, "get prices", `prices is ${value} (cached)`);
  }
  for (const run of [one, other]) run.stdin.end();
  await ends(one);
  await ends(other);
});

const port = async (run) => Number(/listens on (\d+)$/.exec(await run.line(/listens on/))[1]);
const get = async (run, url = "/") => {
  const response = await fetch(`http://127.0.0.1:${await port(run)}${url}`);
  return (await response.text()).trim();
};

test("metrics.js has those of all workers, and names a silent one", async (t) => {
  const start = example(t, "metrics.js");
  const workers = [0, 1, 2].map((number) => start([], { PORT: "0", ...worker(number) }));
  await Promise.all(workers.map(port));
  assert.equal(await get(workers[1]), "hello from 1");
  const first = ['requests{worker="0"} 1', 'requests{worker="1"} 1', 'requests{worker="2"} 0'];
  assert.deepEqual((await get(workers[0], "/metrics")).split("\n"), first);
  workers[2].kill("SIGSTOP");
  const silent = (await get(workers[0], "/metrics")).split("\n");
  assert.equal(silent.at(-1), 'silent{worker="2"} 1');
  assert.equal(silent.length, 3);
  workers[2].kill("SIGKILL");
  await workers[2].ended;
  await until(async () => (await get(workers[0], "/metrics")).split("\n").length === 2, "its end");
  for (const run of workers.slice(0, 2)) {
    run.kill("SIGTERM");
    await ends(run);
  }
});

test("rate-limit.js counts the requests at all workers together", async (t) => {
  const start = example(t, "rate-limit.js");
  const env = { PORT: "0", LIMIT: "4" };
  const workers = [start([], env), start([], env)];
  await Promise.all(workers.map(port));
  const answers = [];
  // All within one minute, for which there may have to be another one.
  do {
    answers.length = 0;
    const minute = Math.floor(Date.now() / 60_000);
    for (let n = 0; n < 6; n++) answers.push(await get(workers[n % 2]));
    if (minute === Math.floor(Date.now() / 60_000)) break;
  } while (answers.length > 0);
  const all = [1, 2, 3, 4].map((number) => `request ${number} of 4`);
  assert.deepEqual(answers, [...all, "too many requests", "too many requests"]);
  // The count is there for as long as one worker is.
  workers[0].kill("SIGKILL");
  assert.equal(await get(workers[1]), "too many requests");
  workers[1].kill("SIGTERM");
  await ends(workers[1]);
});

test("single-instance.js hands its arguments to the one that runs", async (t) => {
  const start = example(t, "single-instance.js");
  const first = start(["a.txt"]);
  await first.line("this is the only one");
  await first.line("open a.txt");
  const second = start(["b.txt", "c.txt"]);
  await ends(second);
  assert.deepEqual(second.lines, [`handed over to process ${first.pid}`]);
  await first.line("open b.txt c.txt");
  first.kill("SIGKILL");
  const third = start(["d.txt"]);
  await third.line("open d.txt");
  third.kill("SIGTERM");
  await ends(third);
});

test("single-instance.js runs once, however many start together", async (t) => {
  const start = example(t, "single-instance.js");
  const all = Array.from({ length: 6 }, (_, number) => start([`${number}.txt`]));
  const isOnly = (run) => run.lines.includes("this is the only one");
  const only = await until(() => all.find(isOnly), "the only one");
  const others = all.filter((run) => run !== only);
  await Promise.all(others.map(ends));
  for (const run of others) assert.deepEqual(run.lines, [`handed over to process ${only.pid}`]);
  const opened = () => said(only, /^open /).sort();
  await until(() => opened().length === all.length, "the files of all");
  assert.deepEqual(opened(), all.map((_, number) => `open ${number}.txt`));
});

test("config.js gives all workers a configuration that can be read", async (t) => {
  const start = example(t, "config.js");
  const folder = fs.mkdtempSync(path.join(scratch, "config-"));
  const file = path.join(folder, "config.json");
  const write = (text) => {
    fs.writeFileSync(`${file}.new`, text);
    fs.renameSync(`${file}.new`, file);
  };
  write(`{ "colour": "blue" }`);
  const first = start([file], worker(0));
  await first.line(`worker 0: {"colour":"blue"}`);
  const second = start([file], worker(1));
  await second.line(`worker 1: {"colour":"blue"}`);
  write("{ colour: red }");
  await first.line(/^worker 0: this is no configuration/);
  write(`{ "colour": "red" }`);
  for (const [number, run] of [first, second].entries())
    await run.line(`worker ${number}: {"colour":"red"}`);
  // The next one watches the file.
  first.kill("SIGKILL");
  await first.ended;
  write(`{ "colour": "green" }`);
  await second.line(`worker 1: {"colour":"green"}`);
  assert.equal(said(second, /no configuration/).length, 0);
  second.kill("SIGTERM");
  await ends(second);
});

test("jobs.js does each job although a worker is killed", async (t) => {
  const start = example(t, "jobs.js");
  const images = Array.from({ length: 8 }, (_, number) => `${number}.jpg`);
  const first = start(["work"]);
  const pusher = start(["push", ...images]);
  await first.line(/attempt 1$/);
  first.kill("SIGKILL");
  const second = start(["work"]);
  await ends(pusher);
  assert.deepEqual(pusher.lines.sort(), images.map((image) => `${image} is done`));
  assert.ok(said(second, /attempt 2$/).length > 0, "what the first one had is marked");
  second.kill("SIGTERM");
  await ends(second);
});

test("the cookbook shows parts of its programs", () => {
  const text = fs.readFileSync(path.join(__dirname, "../../../docs/COOKBOOK.md"), "utf8");
  const plain = (code) => code.split("\n").map((line) => line.trim()).filter(Boolean).join("\n");
  const recipes = text.split(/^## /m).slice(1);
  for (const recipe of recipes) {
    const programs = [...recipe.matchAll(/\(\.\.\/([\w./-]+\/examples\/[\w.-]+)\)/g)];
    assert.ok(programs.length > 0, `a program for ${recipe.split("\n")[0]}`);
    const sources = programs.map(([, program]) =>
      plain(fs.readFileSync(path.join(__dirname, "../../..", program), "utf8")),
    );
    const parts = [...recipe.matchAll(/^```(?:js|rust,ignore)\n([^]*?)^```$/gm)];
    assert.ok(parts.length > 0, `a part of a program for ${recipe.split("\n")[0]}`);
    for (const [, code] of parts)
      assert.ok(sources.some((source) => source.includes(plain(code))), code);
  }
});
