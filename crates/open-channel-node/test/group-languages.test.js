// Members in Rust and in Node, in one group: each face, both ways. The Rust ones are the program.
"use strict";
const { test, until, within } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");

const ended = async (child, code = 0) => {
  assert.equal((await within(child.ended, child.spawnargs.join(" "))).code, code);
  return child.lines;
};

test("members: both see each other", async (t) => {
  const { join, program } = meeting(t);
  const group = await join();
  const rust = program("sub", "a");
  const [{ pid, program: name, language }] = await until(() => {
    const others = group.members.filter(({ id }) => id !== group.id);
    return others.length === 1 && others;
  });
  assert.deepEqual([pid, name, language], [rust.pid, "open-channel", "rust"]);
});

test("topics: bytes go both ways as they are", async (t) => {
  const { join, program } = meeting(t);
  const group = await join();
  const got = [];
  await group.subscribe("to.>", ({ value, topic }) => void got.push([topic, String(value)])).ready;
  await ended(program("pub", "to.node", "hello", "again"));
  assert.deepEqual(got, [["to.node", "hello"], ["to.node", "again"]]);
  const rust = program("sub", "from.*", "--count", "1");
  await until(() => group.members.length === 2);
  // The program subscribes after it has joined.
  const publishing = setInterval(() => group.publish("from.node", Buffer.from("hi")), 20);
  assert.deepEqual(await ended(rust), ["hi"]);
  clearInterval(publishing);
});

test("calls: both serve, and both call", async (t) => {
  const { join, program } = meeting(t);
  const group = await join();
  await group.serve("upper", (bytes) => Buffer.from(String(bytes).toUpperCase()));
  await group.serve("fails", () => {
    throw new Error("not today");
  });
  assert.deepEqual(await ended(program("call", "upper", "shout")), ["SHOUT"]);
  await ended(program("call", "fails", "x"), 1);
  program("serve", "lower", "--", "tr", "A-Z", "a-z");
  await until(() => group.members.some(({ services }) => services.includes("lower")));
  assert.equal(String(await group.call("lower", Buffer.from("QUIET"))), "quiet");
});

test("an answer that cannot be understood spoils no other", async (t) => {
  const { join, program } = meeting(t);
  const group = await join();
  await group.serve("odd", () => "fine");
  // A mark of a structured clone, and none behind it.
  program("serve", "odd", "--", "printf", "\\377\\001zz");
  const serving = ({ services }) => services.includes("odd");
  await until(() => group.members.filter(serving).length === 2);
  const { answered, failed } = await group.callAll("odd");
  assert.deepEqual([...answered.values()], ["fine"]);
  const codes = [...failed.values()].map(({ code }) => code);
  assert.deepEqual(codes, ["ERR_OPEN_CHANNEL_INVALID_VALUE"]);
});

test("locks and roles: the kernel holds them between both", async (t) => {
  const { join, program } = meeting(t);
  const group = await join();
  const guard = await group.lock("deploy");
  await ended(program("lock", "deploy", "--nonblock", "-E", "9", "--", "true"), 9);
  const rust = program("lock", "deploy", "--", "sh", "-c", "echo $OPEN_CHANNEL_TOKEN; read line");
  await until(() => group.members.length === 2);
  guard.release();
  const token = BigInt(await rust.line(/^\d+$/));
  assert.ok(token > guard.token);
  assert.equal(await group.lock("deploy", { ifAvailable: true }), null);
  const waiting = group.lock("deploy");
  rust.kill("SIGKILL");
  rust.stdin.end(); // the end of its command, which has inherited the lock
  const next = await within(waiting, "the lock");
  assert.ok(next.token > token);
  next.release();

  let release;
  const led = group.lead("cron", () => new Promise((resolve) => (release = resolve)));
  const role = program("lead", "cron", "--", "echo", "leads");
  await until(() => release && group.members.length === 2);
  assert.deepEqual(role.lines, []);
  release("led");
  assert.equal(await led, "led");
  assert.deepEqual(await ended(role), ["leads"]);
});

test("queues: both push, and both work", async (t) => {
  const { join, program } = meeting(t);
  const group = await join();
  const jobs = [];
  const worker = group.queue("q").process((job) => {
    jobs.push(String(job.value));
    if (job.attempt === 1) throw new Error("once more");
  });
  await ended(program("queue", "push", "q", "one"));
  assert.deepEqual(jobs, ["one", "one"]);
  await worker.close();
  const rust = program("queue", "work", "q", "--", "cat");
  await within(group.queue("q").push(Buffer.from("two\n")), "the job");
  await rust.line("two");
});

test("maps: both write, and both read", async (t) => {
  const { join, program } = meeting(t);
  const group = await join();
  const map = group.map("m");
  await ended(program("map", "set", "m", "colour", "blue"));
  assert.equal(String(map.get("colour")), "blue");
  assert.deepEqual(await ended(program("map", "incr", "m", "n", "5")), ["5"]);
  assert.equal(map.get("n"), 5);
  assert.equal(await map.increment("n", 2), 7);
  await map.set("count", 40);
  assert.deepEqual(await ended(program("map", "incr", "m", "count", "2")), ["42"]);
  await map.set("bytes", Buffer.from("as they are"));
  assert.deepEqual(await ended(program("map", "get", "m", "bytes")), ["as they are"]);
});

test("the host goes from Rust to Node and back, and nothing is lost", async (t) => {
  const { join, program } = meeting(t);
  const rust = program("sub", "nothing");
  await until(async () => {
    const [list] = await ended(program("ls", "--json"));
    return list?.includes(`"pid":${rust.pid}`);
  }, "a host in Rust");
  const group = await within(join(), "a group with a host in Rust");
  assert.equal(group.isHost, false);
  const other = await join();
  const got = [];
  await other.subscribe("n", ({ value }) => void got.push(value)).ready;
  const map = group.map("m");
  await map.set("k", 1);
  const ends = Array.from({ length: 200 }, (_, n) => group.publish("n", n));
  rust.kill("SIGKILL");
  await within(Promise.all(ends), "the publications");
  assert.deepEqual(got, Array.from({ length: 200 }, (_, n) => n));
  await until(() => group.members.length === 2);
  const next = program("sub", "nothing");
  await until(() => group.members.length === 3);
  await Promise.all([group.close(), other.close()]);
  assert.deepEqual(await ended(program("map", "get", "m", "k")), ["1"]);
  next.kill("SIGKILL");
});
