// BroadcastChannel and Web Locks between processes that are really killed.
"use strict";
const { test, fixture, node, scratch, until, within, unique } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

/** How many messages each process posts. */
const EACH = 600;

/** Posts numbers, and tells what it heard of each other process. */
const poster = async (group, { say, asked }) => {
  const each = 600;
  const channel = group.broadcastChannel("numbers");
  const heard = {};
  channel.onmessage = ({ data: { from, number } }) => {
    (heard[from] ??= []).push(number);
    if (number === each / 4) say("a quarter of", from);
    if (number === each) say("all of", from);
  };
  channel.onmessageerror = () => say("cannot read");
  await channel.ready;
  say("ready", group.isHost);
  await asked("go");
  for (let number = 1; number <= each; number++) {
    channel.postMessage({ from: process.pid, number });
    // So that it goes on for a while.
    if (number % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await asked("report");
  say("heard", JSON.stringify(heard));
  await group.close();
  process.exit();
};

test("what is posted while hosts are killed is heard by all, once and in order", async (t) => {
  const { member } = meeting(t);
  const processes = [];
  for (let i = 0; i < 5; i++) {
    processes.push(member(poster));
    // The first one hosts, and after it the next.
    await processes[i].line(`ready ${i === 0}`);
  }
  for (const one of processes) one.ask("go");
  const [first, second, ...rest] = processes;
  await rest[0].line(`a quarter of ${first.pid}`);
  first.kill("SIGKILL");
  await rest[0].line(`a quarter of ${rest[1].pid}`);
  second.kill("SIGKILL");
  const others = (one) => rest.filter((other) => other !== one);
  for (const one of rest)
    for (const other of others(one)) await one.line(`all of ${other.pid}`);
  const all = Array.from({ length: EACH }, (_, index) => index + 1);
  for (const one of rest) {
    one.ask("report");
    const heard = JSON.parse((await one.line(/^heard /)).slice(6));
    for (const other of others(one)) assert.deepEqual(heard[other.pid], all);
    // Of the dead, everything up to somewhere.
    for (const dead of [first, second]) {
      const numbers = heard[dead.pid] ?? [];
      assert.deepEqual(numbers, all.slice(0, numbers.length));
    }
    assert.equal(one.lines.includes("cannot read"), false);
    assert.equal((await within(one.ended, "its end")).code, 0);
  }
});

test("a process that posts and leaves has been heard", async (t) => {
  const { member, join } = meeting(t);
  const group = await join();
  const channel = group.broadcastChannel("news");
  await channel.ready;
  const heard = [];
  channel.onmessage = ({ data }) => heard.push(data);
  const other = member(async (group) => {
    const channel = group.broadcastChannel("news");
    for (let n = 0; n < 100; n++) channel.postMessage(n);
    channel.close();
    await group.close();
  });
  assert.equal((await within(other.ended, "its end")).code, 0);
  await until(() => heard.length === 100, "all messages");
  assert.deepEqual(heard, Array.from({ length: 100 }, (_, n) => n));
});

test("a lock has one holder at a time while hosts and holders are killed", async (t) => {
  const file = path.join(scratch, unique());
  fs.writeFileSync(file, "");
  const entries = () => {
    const lines = fs.readFileSync(file, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => line.split(" "));
  };
  const { name } = meeting(t);
  const running = new Map();
  const start = async () => {
    const one = node(fixture("locks-process.js"), [name, file]);
    await one.line("ready");
    running.set(String(one.pid), one);
  };
  for (let i = 0; i < 4; i++) await start();
  const dead = new Map();
  for (let round = 0; round < 6; round++) {
    const before = entries().length;
    await until(() => entries().length > before + 40, "progress");
    // The oldest one hosts; and whoever was inside last, with the lock if it still is.
    const last = entries().at(-1)[1];
    const victim = round % 2 === 0 ? running.keys().next().value : last;
    const one = running.get(victim) ?? running.values().next().value;
    one.kill("SIGKILL");
    await one.ended;
    running.delete(String(one.pid));
    dead.set(String(one.pid), entries().length);
    await start();
  }
  for (const one of running.values()) one.stdin.end();
  for (const one of running.values()) assert.equal((await within(one.ended, "its end")).code, 0);
  let inside;
  for (const [place, [what, pid]] of entries().entries()) {
    if (what === "enters") {
      assert.ok(inside === undefined || dead.has(inside), `${pid} enters beside ${inside}`);
      inside = pid;
    } else {
      assert.equal(pid, inside, "who leaves was inside");
      inside = undefined;
    }
    assert.ok(!(place >= dead.get(pid)), "the dead do nothing");
  }
  assert.ok(new Set(entries().map(([, pid]) => pid)).size > 4, "all have their turn");
});

const holder = async (group, { say, asked }) => {
  const request = group.locks.request("l", async ({ name, mode }) => {
    say("has", name, mode);
    await asked("release");
    return "released";
  });
  request.then(say, (error) => say("failed", error.name));
};

test("the next in line has the lock at once when its holder is killed", async (t) => {
  const { member, join } = meeting(t);
  const other = member(holder);
  await other.line("has l exclusive");
  const group = await join();
  const waiting = group.locks.request("l", ({ token }) => token);
  const third = member(holder);
  await until(async () => (await group.locks.query()).pending.length === 2, "both in line");
  other.kill("SIGKILL");
  assert.ok((await within(waiting, "the lock")) > 0n);
  await third.line("has l exclusive");
  third.ask("release");
  await third.line("released");
});

test("a process learns that another one has stolen its lock", async (t) => {
  const { member, join } = meeting(t);
  const other = member(holder);
  await other.line("has l exclusive");
  const group = await join();
  const { held } = await group.locks.query();
  const info = { name: "l", mode: "exclusive", clientId: group.members[0].id };
  assert.deepEqual(held, [info]);
  const steal = group.locks.request("l", { steal: true }, ({ mode }) => mode);
  assert.equal(await within(steal, "the lock"), "exclusive");
  await other.line("failed AbortError");
});

test("a lock is the same in both interfaces, and in a role's name another one", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  const guard = await group.lock("l");
  const tries = () => group.locks.request("l", { ifAvailable: true }, (lock) => lock);
  assert.equal(await tries(), null);
  assert.deepEqual((await group.locks.query()).held.map(({ name }) => name), ["l"]);
  guard.release();
  assert.notEqual(await tries(), null);
});

test("a group that is left ends its requests and channels", async (t) => {
  const { join } = meeting(t);
  const [group, other] = [await join(), await join()];
  const guard = await other.lock("l");
  const waiting = group.locks.request("l", () => assert.fail("the callback runs"));
  const channel = group.broadcastChannel("a");
  const locks = group.locks;
  const rejected = assert.rejects(waiting, { name: "AbortError" });
  await group.close();
  await rejected;
  guard.release();
  const over = { name: "InvalidStateError" };
  assert.throws(() => channel.postMessage(1), over);
  await assert.rejects(locks.request("l", () => {}), over);
  await assert.rejects(locks.query(), over);
});

test("a member that was put out and is back hears, posts and holds locks again", async (t) => {
  const { member, join } = meeting(t, { stallTimeout: 500 });
  const group = await join();
  const channel = group.broadcastChannel("a");
  await channel.ready;
  const heard = [];
  channel.onmessage = ({ data }) => heard.push(data);
  const other = member(async (group, { say }) => {
    const channel = group.broadcastChannel("a");
    channel.onmessage = ({ data }) => say("hears", data);
    await channel.ready;
    group.on("back", () => {
      say("back");
      channel.postMessage("back");
    });
    group.locks.request("l", () => new Promise(() => {}));
    channel.postMessage("ready");
  });
  await until(() => heard.includes("ready"), "the other one");
  other.kill("SIGSTOP");
  channel.postMessage("to nobody"); // and so it is put out, because it holds this up
  await until(() => group.members.length === 1, "its end");
  other.kill("SIGCONT");
  await other.line("back");
  await until(() => heard.includes("back"), "its message");
  channel.postMessage("again");
  await other.line("hears again");
  const [{ clientId }] = (await group.locks.query()).held;
  assert.equal(clientId, group.members.find(({ id }) => id !== group.id).id, "with its new id");
  assert.equal(await group.locks.request("l", { ifAvailable: true }, (lock) => lock), null);
});

test("members in other languages hear, are heard, and have the same locks", async (t) => {
  const { join, program } = meeting(t);
  const group = await join();
  const channel = group.broadcastChannel("news");
  const heard = [];
  channel.onmessage = ({ data }) => heard.push(String(data));
  await channel.ready;
  const published = program("pub", "broadcast.news.rust", "from Rust");
  assert.equal((await within(published.ended, "its end")).code, 0);
  await until(() => heard.includes("from Rust"), "the message");
  const rust = program("sub", "broadcast.news.>", "--count", "1");
  await until(() => group.members.length === 2);
  // The program subscribes after it has joined.
  const posting = setInterval(() => channel.postMessage(Buffer.from("from Node")), 20);
  await rust.line("from Node");
  clearInterval(posting);
  const tries = () => program("lock", "l", "--nonblock", "-E", "9", "--", "true").ended;
  await group.locks.request("l", async () => assert.equal((await tries()).code, 9));
  assert.equal((await tries()).code, 0);
});
