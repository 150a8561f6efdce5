// The fate of messages that are not handled, on every way out: an acknowledgement is something
// that somebody did.
"use strict";
const { test, scratch, until, within, next, unique, node, fixture } = require("./harness.js");
const assert = require("node:assert/strict");
const { EventEmitter } = require("node:events");
const path = require("node:path");
const { setTimeout: pause } = require("node:timers/promises");
const { Worker } = require("node:worker_threads");
const { openChannel } = require("..");

const FACES = ["manual", "async", "iterate"];

/**
 * A host in a process of its own, and a sender in this one, which hosts next and keeps what it gets
 * then.
 */
async function stage(face, { options = {}, args = [], connect } = {}) {
  const name = unique();
  const env = { NAME: name, FACE: face, OPTIONS: JSON.stringify(options) };
  const host = node(
    [...args, fixture("holding.js")][0],
    [...args, fixture("holding.js")].slice(1),
    { env },
  );
  await host.line("host");
  const got = [];
  const channel = openChannel({ name, app: "holding", ...options }, (socket) => {
    socket.on("data", (data) => got.push([String(data), socket.message.redelivered]));
  });
  const socket = channel.connect(connect);
  await next(socket, "connect");
  const command = (order) => host.stdin.write(`${order}\n`);
  return { host, command, channel, socket, got };
}

/** Whether `promise` is settled, after all that is under way has arrived. */
async function settled(promise, socket) {
  let done = false;
  promise.then(() => (done = true), () => (done = true));
  // The time that a wrong acknowledgement takes to arrive, several times over.
  await pause(300);
  assert.ok(socket === undefined || !socket.destroyed);
  return done;
}

for (const face of FACES) {
  test(`a message that a handler holds when its host closes comes to the next host, marked (${face})`, async () => {
    const { host, command, channel, socket, got } = await stage(face, {
      options: { hostTimeout: 600 },
    });
    const sent = face === "iterate" ? ["m1"] : ["m1", "m2"];
    sent.forEach((text) => socket.write(text));
    await host.line(`took ${sent.at(-1)}`);
    const flush = socket.flush();
    command("close");
    await host.line("closed");
    await until(() => got.length === sent.length, "the messages at the next host");
    await within(flush, "flush");
    assert.deepEqual(got, sent.map((text) => [text, true]));
    assert.ok(host.lines.includes("handover true"));
    await channel.close();
  });

  test(`a message that is handled before the host has left is answered and never delivered again (${face})`, async () => {
    const { host, command, channel, socket, got } = await stage(face);
    const answers = [];
    socket.on("data", (data) => answers.push(String(data)));
    socket.write("m1");
    await host.line("took m1");
    command("close");
    await host.line("handover true");
    socket.write("m2");
    command("finish");
    await host.line("closed");
    await until(() => got.length > 0, "the next message at the next host");
    assert.deepEqual(got, [["m2", false]], "delivered to nobody else");
    assert.deepEqual(answers, ["answer to m1"]);
    await host.line("close true");
    assert.deepEqual(
      host.lines.filter((line) => /^(end|close) /.test(line)),
      ["end true", "close true"],
    );
    await channel.close();
  });

  test(`the callback of end comes when the message is handled, not before (${face})`, async () => {
    const { host, command, channel, socket } = await stage(face);
    const ended = new Promise((resolve, reject) =>
      socket.end("job", (error) => (error ? reject(error) : resolve())),
    );
    await host.line("took job");
    assert.equal(await settled(ended), false);
    command("finish");
    await within(ended, "the callback");
    command("exit");
    await channel.close();
  });

  test(`a host killed while it handles the last message before an end leaves it to the next host (${face})`, async () => {
    const { host, channel, socket, got } = await stage(face);
    const ended = new Promise((resolve, reject) =>
      socket.end("job", (error) => (error ? reject(error) : resolve())),
    );
    await host.line("took job");
    assert.equal(await settled(ended), false);
    host.kill("SIGKILL");
    await within(ended, "the callback");
    assert.deepEqual(got, [["job", true]]);
    await channel.close();
  });

  test(`a host that closes after the other side's end leaves the last message to the next host (${face})`, async () => {
    const { host, command, channel, socket, got } = await stage(face, {
      options: { hostTimeout: 600 },
    });
    const ended = new Promise((resolve, reject) =>
      socket.end("job", (error) => (error ? reject(error) : resolve())),
    );
    await host.line("took job");
    assert.equal(await settled(ended), false);
    command("close");
    await host.line("closed");
    await within(ended, "the callback");
    assert.deepEqual(got, [["job", true]]);
    await channel.close();
  });

  test(`process.exit leaves what is not handled to the next host (${face})`, async () => {
    const { host, command, channel, socket, got } = await stage(face);
    socket.write("job");
    await host.line("took job");
    command("exit");
    await until(() => got.length === 1, "the message at the next host");
    assert.deepEqual(got, [["job", true]]);
    await within(socket.flush(), "flush");
    socket.destroy();
    await channel.close();
  });

  test(`destroying a socket acknowledges nothing, and its sender learns so (${face})`, async () => {
    const { host, command, channel, socket } = await stage(face, {
      options: { allowHalfOpen: true },
    });
    socket.write("job");
    await host.line("took job");
    const flush = socket.flush();
    command("destroy");
    await assert.rejects(within(flush, "flush"), { code: "ECONNRESET" });
    socket.destroy();
    const other = channel.connect();
    const failure = next(other, "error");
    const ended = new Promise((resolve) => other.end("job 2", resolve));
    await host.line("took job 2");
    command("destroy");
    assert.ok((await within(ended, "the callback of end")) instanceof Error);
    assert.equal((await failure)[0].code, "ECONNRESET");
    host.kill("SIGKILL");
    await host.ended;
    await channel.close();
  });
}

for (const face of ["manual", "async"]) {
  test(`a listener that ends its socket may acknowledge afterwards (${face})`, async () => {
    const { host, command, channel, socket } = await stage(face);
    socket.write("job");
    await host.line("took job");
    const flush = socket.flush();
    command("end");
    await host.line("close false");
    assert.equal(await settled(flush), false);
    command("finish");
    await within(flush, "flush");
    command("exit");
    await channel.close();
  });
}

test("a message that JavaScript has forgotten stays unhandled, also when it is collected", async () => {
  const { host, command, channel, socket, got } = await stage("forgetful", {
    args: ["--expose-gc"],
  });
  socket.write("job");
  await host.line("took job");
  command("collect");
  await host.line("collected");
  assert.equal(await settled(socket.flush()), false);
  host.kill("SIGKILL");
  await until(() => got.length === 1, "the message at the next host");
  assert.deepEqual(got, [["job", true]]);
  socket.destroy();
  await channel.close();
});

for (const face of ["throwing", "failing"])
  test(`a message whose listener throws stays unhandled although the process goes on (${face})`, async () => {
    const { host, channel, socket, got } = await stage(face);
    for (const text of ["fine", "poison", "later"]) socket.write(text);
    await host.line("uncaught poison");
    await host.line("took later");
    assert.equal(await settled(socket.flush()), false);
    host.kill("SIGKILL");
    await until(() => got.length >= 2, "the messages at the next host");
    assert.ok(
      got.some(([text, redelivered]) => text === "poison" && redelivered),
      "the one that failed",
    );
    assert.ok(!got.some(([text]) => text === "fine"), "not the one that was handled");
    socket.destroy();
    await channel.close();
  });

test("a message whose listener's promise is rejected stays unhandled, and the rejection surfaces", async () => {
  const { host, command, channel, socket, got } = await stage("async");
  socket.write("job");
  await host.line("took job");
  command("fail");
  await host.line("unhandled failed");
  assert.equal(host.lines.filter((line) => line.startsWith("unhandled")).length, 1);
  assert.equal(await settled(socket.flush()), false);
  command("close");
  await until(() => got.length === 1, "the message at the next host");
  assert.deepEqual(got, [["job", true]]);
  socket.destroy();
  await channel.close();
});

test("a worker thread terminated while it handles a message leaves it to the next host", async () => {
  const name = unique();
  for (const face of FACES) {
    const env = { ...process.env, NAME: `${name}-${face}`, FACE: face };
    const worker = new Worker(fixture("holding.js"), { env, stdout: true, stdin: true });
    const lines = [];
    worker.stdout.setEncoding("utf8").on("data", (text) => lines.push(...text.trim().split("\n")));
    await until(() => lines.includes("host"), "a worker that hosts");
    const got = [];
    const channel = openChannel({ name: `${name}-${face}`, app: "holding" }, (socket) => {
      socket.on("data", (data) => got.push([String(data), socket.message.redelivered]));
    });
    const socket = channel.connect();
    socket.write("job");
    await until(() => lines.includes("took job"), "the message at the worker");
    await worker.terminate();
    await within(socket.flush(), "flush");
    assert.deepEqual(got, [["job", true]]);
    socket.destroy();
    await channel.close();
  }
});

test("a message that nobody reads in a host that closes goes to the next one at once", async () => {
  const name = unique();
  const options = { name, app: "holding" };
  const first = openChannel(options, (socket) => socket.pause());
  await first.join();
  const got = [];
  const second = openChannel(options, (socket) =>
    socket.on("data", (data) => got.push(String(data))),
  );
  const socket = second.connect();
  await next(socket, "connect");
  for (let i = 0; i < 1000; i++) socket.write(String(i));
  const begun = Date.now();
  await first.close();
  await within(socket.flush(), "flush");
  assert.ok(Date.now() - begun < 2500, "the host timeout is 3 seconds");
  assert.deepEqual(got, Array.from({ length: 1000 }, (_, i) => String(i)));
  socket.destroy();
  await second.close();
});

test("a host that closes delivers nothing more, however long its handlers take", async () => {
  const { host, command, channel, socket, got } = await stage("manual");
  socket.write("m1");
  await host.line("took m1");
  command("close");
  await host.line("handover true");
  for (let i = 2; i <= 20; i++) socket.write(`m${i}`);
  await pause(200);
  assert.deepEqual(host.lines.filter((line) => line.startsWith("took")), ["took m1"]);
  assert.deepEqual(got, [], "two hosts at a time");
  command("finish");
  await within(socket.flush(), "flush");
  assert.deepEqual(got, Array.from({ length: 19 }, (_, i) => [`m${i + 2}`, false]));
  await channel.close();
});

/** A channel in this process whose listener gets `attach(socket)`, and a socket to it. */
async function pair(attach, options = {}) {
  const channel = openChannel({ name: unique(), ...options }, attach);
  const socket = channel.connect();
  await next(socket, "connect");
  return { channel, socket };
}

test("listeners that return promises are called as by an emitter: once, before others, removed meanwhile", async () => {
  const calls = [];
  const gates = [];
  const gate = () => new Promise((resolve) => gates.push(resolve));
  const { channel, socket } = await pair((accepted) => {
    const later = async () => void calls.push("later");
    accepted.on("data", async function (data) {
      calls.push(`first ${data}`);
      assert.equal(this, accepted);
      accepted.off("data", later);
      await gate();
    });
    accepted.on("data", later);
    accepted.once("data", async (data) => {
      calls.push(`once ${data}`);
      await gate();
    });
    accepted.prependListener("data", (data) => calls.push(`before ${data}`));
  });
  socket.write("a");
  await until(() => gates.length === 2, "the first message");
  // Removed while it was emitted, it is called once more, as in every emitter.
  assert.deepEqual(calls, ["before a", "first a", "later", "once a"]);
  const flush = socket.flush();
  gates.shift()();
  assert.equal(await settled(flush), false, "one of two promises is pending");
  gates.shift()();
  await within(flush, "flush");
  socket.write("b");
  await until(() => gates.length === 1, "the second message");
  assert.deepEqual(calls.slice(4), ["before b", "first b"]);
  gates.shift()();
  await within(socket.flush(), "flush");
  socket.destroy();
  await channel.close();
});

test("messages whose promises are fulfilled out of order are acknowledged up to the first that is not", async () => {
  const gates = new Map();
  const { channel, socket } = await pair((accepted) => {
    accepted.on("data", (data) => {
      if (String(data).startsWith("slow"))
        return new Promise((resolve) => gates.set(String(data), resolve));
    });
  });
  const flushes = [];
  for (const text of ["fast 1", "slow 1", "fast 2", "slow 2", "fast 3"]) {
    socket.write(text);
    flushes.push(socket.flush());
  }
  await until(() => gates.size === 2, "all messages");
  await within(flushes[0], "what comes before the first that is pending");
  gates.get("slow 2")();
  assert.equal(await settled(flushes[1]), false);
  gates.get("slow 1")();
  await within(Promise.all(flushes), "all of them");
  for (let i = 0; i < 1000; i++) socket.write(`fast ${i}`);
  await within(socket.flush(), "flush");
  socket.destroy();
  await channel.close();
});

test("with captureRejections a rejected promise destroys the socket, as that of any stream", async (t) => {
  EventEmitter.captureRejections = true;
  t.after(() => (EventEmitter.captureRejections = false));
  let failed;
  const { channel, socket } = await pair((accepted) => {
    accepted
      .on("error", (error) => (failed = error))
      .on("data", async () => {
        throw new Error("captured");
      });
  });
  socket.write("job");
  await assert.rejects(within(socket.flush(), "flush"), { code: "ECONNRESET" });
  assert.equal(failed.message, "captured");
  socket.destroy();
  await channel.close();
});

test("a listener that destroys its socket has handled the message", async () => {
  const { channel, socket } = await pair((accepted) =>
    accepted.on("data", () => accepted.destroy()),
  );
  const ended = new Promise((resolve) => socket.end("job", resolve));
  assert.ifError(await within(ended, "the callback of end"));
  await channel.close();
});

test("manual acknowledgement is about what one hosts; a socket of connect has an option of its own", async () => {
  const accepted = [];
  const { channel, socket } = await pair((socket) => accepted.push(socket), {
    acknowledge: "manual",
  });
  const manual = channel.connect({ acknowledge: "manual" });
  await until(() => accepted.length === 2, "two connections");
  const data = next(socket, "data");
  accepted[0].write("to whom it may concern");
  assert.equal(String((await data)[0]), "to whom it may concern");
  await within(accepted[0].flush(), "flush");
  const message = next(manual, "message");
  accepted[1].write("by hand");
  const [{ acknowledged }] = await message;
  assert.equal(acknowledged, false);
  assert.equal(await settled(accepted[1].flush()), false);
  (await message)[0].ack();
  await within(accepted[1].flush(), "flush");
  assert.throws(() => channel.connect({ acknowledge: "later" }), { code: "EINVAL" });
  socket.destroy();
  manual.destroy();
  await channel.close();
});
