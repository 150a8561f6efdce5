// Every example says what its first lines promise.
"use strict";
const { test, within, node } = require("./harness.js");
const readme = require("./readme.js");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

const examples = path.join(__dirname, "..", "examples");
const promised = (name) =>
  /^\/\/ {5}\$ node .*\n((?:\/\/ {5}.*\n)+)/m
    .exec(fs.readFileSync(path.join(examples, name), "utf8"))[1]
    .replace(/^\/\/ {5}/gm, "")
    .trim();

for (const name of ["counter.js", "lock.js"]) {
  test(`${name} prints what it says it prints`, async () => {
    const run = node(path.join(examples, name));
    assert.deepEqual(await within(run.ended, "its end", 40_000), { code: 0, signal: null });
    assert.equal(run.lines.join("\n"), promised(name));
  });
}

test("broadcast.js lets every worker hear every other, also after the host was killed", async () => {
  const run = (instance) =>
    node(path.join(examples, "broadcast.js"), [], { env: { NODE_APP_INSTANCE: String(instance) } });
  const workers = [];
  for (let i = 0; i < 3; i++) {
    workers.push(run(i));
    await workers[i].line(`worker ${i} listens`);
  }
  await workers[0].line("worker 0: hello from 2");
  await workers[1].line("worker 1: hello from 2");
  workers[0].kill("SIGKILL");
  workers.push(run(3));
  for (const i of [1, 2]) await workers[i].line(`worker ${i}: hello from 3`);
  await workers[3].line("worker 3 listens");
  for (const worker of workers.slice(1)) worker.kill("SIGTERM");
  await Promise.all(workers.slice(1).map((worker) => within(worker.ended, "its end")));
});

test("the README names every example", () => {
  for (const name of fs.readdirSync(examples)) {
    if (name.endsWith(".js")) assert.ok(readme.text.includes(`examples/${name}`), name);
  }
});

for (const snippet of readme.snippets) {
  test(`${snippet.name} prints what its comments say`, async () => {
    const run = node(readme.place(snippet));
    assert.ok(snippet.promises.length > 0, "a snippet shows what it does");
    for (const promise of snippet.promises) await run.line(promise);
    if (snippet.ends)
      assert.deepEqual(await within(run.ended, "its end"), { code: 0, signal: null });
    assert.deepEqual(run.lines, snippet.promises);
  });
}
