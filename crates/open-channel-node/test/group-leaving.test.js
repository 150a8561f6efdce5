// JavaScript that ends, in whatever way: what it has not handled is not handled.
"use strict";
const { test, until, within } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");
const { once } = require("node:events");
const { Worker } = require("node:worker_threads");

/** A thread that takes a job, a call and a lock, and finishes none of them. */
function thread(name) {
  return new Worker(
    `const { Group } = require(${JSON.stringify(require.resolve("../dist/group.js"))});
     const { parentPort } = require("node:worker_threads");
     Group.join(${JSON.stringify(name)}, { scope: "user" }).then(async (group) => {
       const never = (what) => () => (parentPort.postMessage(what), new Promise(() => {}));
       group.queue("q").process(never("job"));
       await group.serve("s", never("call"));
       await group.lock("l");
       await group.subscribe("t", never("message")).ready;
       parentPort.postMessage("ready");
     });`,
    { eval: true },
  );
}

test("a thread that is terminated gives everything back at once", async (t) => {
  const { join, name } = meeting(t);
  const group = await join();
  for (let round = 0; round < 3; round++) {
    const worker = thread(name);
    const said = [];
    worker.on("message", (message) => said.push(message));
    await until(() => said.includes("ready"));
    const job = group.queue("q").push("job");
    const call = assert.rejects(group.call("s"), { code: "ERR_OPEN_CHANNEL_DIED" });
    const published = group.publish("t", 1);
    await until(() => said.length === 4);
    const before = Date.now();
    await worker.terminate();
    await within(call, "the call");
    const guard = await within(group.lock("l"), "the lock");
    guard.release();
    await within(published, "the publication");
    const attempts = [];
    const next = group.queue("q").process((job) => void attempts.push(job.attempt));
    await within(job, "the job");
    assert.deepEqual(attempts, [2], "the thread has not done it");
    await next.close();
    assert.ok(Date.now() - before < 2_500, "nothing waits for a timeout");
  }
});

for (const [how, end] of [
  ["process.exit()", "process.exit(7)"],
  ["an error that nobody catches", "setImmediate(() => { throw new Error('expected'); })"],
  ["kill -9", "process.kill(process.pid, 'SIGKILL')"],
]) {
  test(`a process that ends by ${how} gives its job to the next one`, async (t) => {
    const { join, member } = meeting(t);
    const group = await join();
    const other = member(`
      process.on("uncaughtException", () => process.exit(7));
      group.queue("q").process(() => { ${end}; return new Promise(() => {}); });
      group.serve("s", () => new Promise(() => {}));
      say("ready");`);
    await other.line("ready");
    const job = group.queue("q").push("job");
    await within(other.ended, "its end");
    const attempts = [];
    group.queue("q").process((job) => void attempts.push(job.attempt));
    await within(job, "the job");
    assert.deepEqual(attempts, [2]);
  });
}

test("what nobody holds a reference to goes on, and is never collected", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const other = member(async (group, { say, asked, require }) => {
    require("node:v8").setFlagsFromString("--expose-gc");
    const collect = require("node:vm").runInNewContext("gc");
    group.subscribe("t", ({ value }) => say("message", value));
    group.queue("q").process(({ value }) => say("job", value));
    await group.serve("s", (value) => value);
    await group.lock("l");
    group.map("m").on("change", ({ key }) => say("change", key));
    for (let i = 0; i < 5; i++) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    say("collected");
    await asked("leave");
  });
  await other.line("collected");
  await group.publish("t", 1);
  await within(group.queue("q").push(2), "the job");
  assert.equal(await group.call("s", 3), 3);
  assert.equal(await group.lock("l", { ifAvailable: true }), null);
  await group.map("m").set("k", 1);
  for (const line of ["message 1", "job 2", "change k"]) await other.line(line);
});

test("a thread is not kept alive by a group that is unreferenced, and leaves it", async (t) => {
  const { join, name } = meeting(t);
  const group = await join();
  const worker = new Worker(
    `const { Group } = require(${JSON.stringify(require.resolve("../dist/group.js"))});
     Group.join(${JSON.stringify(name)}, { scope: "user" }).then((group) => {
       group.subscribe("t", () => {});
       group.unref();
     });`,
    { eval: true },
  );
  const left = once(group, "leave");
  assert.deepEqual(await within(once(worker, "exit"), "its end"), [0]);
  await within(left, "its leave");
});

test("groups are joined and left fifty times, and nothing stays open", async (t) => {
  const { join } = meeting(t);
  const witness = await join();
  const open = () => process.getActiveResourcesInfo().length;
  for (let n = 0; n < 40; n++) {
    const group = await join();
    await group.subscribe("a", () => {}).ready;
    await group.publish("a", n);
    await group.close();
  }
  await until(() => witness.members.length === 1);
  const before = open();
  for (let n = 0; n < 10; n++) {
    const group = await join();
    group.queue("q").process(() => {});
    await group.close();
  }
  // What is left of the last turn of the loop ends by itself.
  await until(() => open() <= before, `no more than ${before} resources`);
});
