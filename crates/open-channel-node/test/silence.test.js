// A handler that hangs is known to those that wait for it, and nobody has to wait for ever.
"use strict";
const { test, until, within, next, unique, node, start, fixture } = require("./harness.js");
const assert = require("node:assert/strict");
const path = require("node:path");
const { getEventListeners } = require("node:events");
const { openChannel } = require("..");

/**
 * A channel that this process hosts, with a socket whose messages are handled when the test says
 * so.
 */
async function holding(options = {}) {
  const messages = [];
  const channel = openChannel({ name: unique(), acknowledge: "manual", ...options }, (socket) => {
    socket.on("message", (message) => messages.push(message));
  });
  const socket = channel.connect();
  await next(socket, "connect");
  return { channel, socket, messages };
}

test("a listener that loops for ever in another process is known to its sender, and the next host ends the stall", async () => {
  const name = unique();
  const host = node(fixture("looping.js"), [], { env: { NAME: name } });
  await host.line("hosting");
  const handled = [];
  const channel = openChannel({ name, app: "looping", stallAfter: 200 }, (socket) => {
    socket.on("data", (data) => handled.push(String(data)));
  });
  const news = [];
  const socket = channel.connect();
  socket.write("before");
  await within(socket.flush(), "a host that works");
  channel.on("stall", (stall) => news.push(["channel", stall]));
  socket.on("stall", (stall) => news.push(["socket", stall]));
  socket.write("loop");
  await host.line("looping");
  await until(() => news.length === 2, "both events");
  // Its event loop hangs, and the library in it answers.
  const look = start(path.join(__dirname, "..", "target", "look"), []);
  const told = JSON.parse(await look.line(new RegExp(`^{"name":"${name}"`)));
  assert.deepEqual(
    [told.app, told.pid, told.program, told.received, told.open],
    ["looping", host.pid, "node looping.js", 2, 1],
  );
  const [[first, stall], [second]] = news;
  assert.deepEqual([first, second], ["socket", "channel"]);
  assert.equal(stall.socket, socket);
  assert.deepEqual(
    [stall.id, stall.accepted, stall.generation, stall.messages],
    [socket.id, false, 1, 1],
  );
  assert.ok(stall.oldest >= 200 && stall.bytes >= 4, JSON.stringify(stall.oldest));
  // Nothing else has happened, and the statistics show it.
  assert.equal(channel.state, "connected");
  const age = () => channel.stats().sockets[0].oldestUnacknowledged;
  const before = age();
  assert.ok(before >= 200);
  await until(() => age() > before, "its age to grow");
  assert.ok(channel.stats().sockets[0].stalled >= 200);
  const ends = Promise.all([next(socket, "stallend"), next(channel, "stallend")]);
  host.kill("SIGKILL");
  const [[end], [again]] = await ends;
  assert.equal(end, again);
  assert.deepEqual([end.socket === socket, end.id, end.acknowledged], [true, socket.id, true]);
  assert.ok(end.lasted >= 200);
  assert.deepEqual(handled, ["loop"]);
  assert.equal(channel.stats().sockets[0].stalled, undefined);
  assert.equal(channel.stats().hosted.reduce((sum, socket) => sum + socket.redelivered, 0), 1);
  socket.destroy();
  await channel.close();
});

test("answers that nobody reads stall the host's end", async () => {
  let server;
  const channel = openChannel({ name: unique(), stallAfter: 100 }, (socket) => {
    server = socket;
    socket.write("an answer");
  });
  const stalled = next(channel, "stall");
  const socket = channel.connect();
  const [stall] = await stalled;
  assert.deepEqual([stall.accepted, stall.socket === server, stall.messages], [true, true, 1]);
  const ended = next(server, "stallend");
  socket.resume();
  assert.equal((await ended)[0].acknowledged, true);
  socket.destroy();
  await channel.close();
});

test("statistics show what went through and what waits", async () => {
  const { channel, socket, messages } = await holding({ outboxBytes: 65_536 });
  for (let i = 0; i < 5; i++) socket.write("0123456789");
  await until(() => messages.length === 5, "the messages");
  messages[0].ack();
  messages[1].ack();
  await until(() => socket.stats().acknowledged === 2, "two acknowledgements");
  const mine = socket.stats();
  assert.deepEqual(
    [mine.id, mine.accepted, mine.link, mine.peerPid, mine.generation, mine.links],
    [socket.id, false, "local", process.pid, channel.generation, 1],
  );
  assert.deepEqual(
    [mine.sent, mine.sentBytes, mine.unacknowledged, mine.outboxBytes, mine.outboxLimit],
    [5, 50, 3, 3 * 74, 65_536],
  );
  await until(() => socket.stats().oldestUnacknowledged > 0, "its age to be seen");
  const stats = channel.stats();
  assert.deepEqual(
    [stats.name, stats.state, stats.role, stats.generation],
    [channel.name, "connected", "host", channel.generation],
  );
  assert.ok(
    stats.hosting >= 0 &&
      stats.eventLoopDelay >= 0 &&
      stats.longestEventLoopDelay >= stats.eventLoopDelay,
  );
  assert.equal(stats.sockets.length, 1);
  const [theirs] = stats.hosted;
  assert.deepEqual(
    [theirs.accepted, theirs.received, theirs.handled, theirs.held, theirs.redelivered],
    [true, 5, 2, 3, 0],
  );
  assert.deepEqual(
    [theirs.receivedBytes, theirs.sentBytes, theirs.highestAttempt],
    [50, 0, 0],
  );
  await until(() => channel.stats().hosted[0].oldestUnhandled > 0, "its age to be seen");
  for (const message of messages) message.ack();
  await socket.flush();
  const { oldestUnacknowledged, stalled, unacknowledged } = socket.stats();
  assert.deepEqual([oldestUnacknowledged, stalled, unacknowledged], [undefined, undefined, 0]);
  socket.destroy();
  assert.equal(socket.stats(), null);
  await channel.close();
  assert.deepEqual(
    [channel.stats().state, channel.stats().sockets, channel.stats().hosting],
    ["closed", [], undefined],
  );
});

test("a flush takes a timeout and a signal, and leaves nothing behind", async () => {
  const { channel, socket, messages } = await holding({ allowHalfOpen: true });
  socket.write("held");
  await until(() => messages.length === 1, "the message");
  await assert.rejects(socket.flush({ timeout: 5 }), {
    code: "ETIMEDOUT",
    syscall: "write",
    channel: channel.name,
  });
  const controller = new AbortController();
  const { signal } = controller;
  const flushing = socket.flush({ signal, timeout: 60_000 });
  assert.equal(getEventListeners(signal, "abort").length, 1);
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(
    flushing,
    (error) => error.name === "AbortError" && error.code === "ABORT_ERR" && error.cause === reason,
  );
  assert.equal(getEventListeners(signal, "abort").length, 0);
  await assert.rejects(socket.flush({ signal }), { name: "AbortError" });
  const unused = new AbortController().signal;
  const last = socket.flush({ signal: unused, timeout: 60_000 });
  const endless = socket.flush({ timeout: Infinity });
  messages[0].ack();
  await Promise.all([last, endless, socket.flush()]);
  assert.equal(getEventListeners(unused, "abort").length, 0);
  await assert.rejects(socket.flush({ timeout: -1 }), { code: "EINVAL" });
  await assert.rejects(socket.flush({ signal: "stop" }), { code: "ERR_INVALID_ARG_TYPE" });
  // After `end`, and given up while the stream still waits.
  socket.write("second");
  const ended = new Promise((resolve) => socket.end(resolve));
  const listeners = () => socket.listenerCount("finish") + socket.listenerCount("error");
  const before = listeners();
  await assert.rejects(socket.flush({ timeout: 5 }), { code: "ETIMEDOUT" });
  assert.equal(listeners(), before);
  await until(() => messages.length === 2, "the message");
  messages[1].ack();
  await within(ended, "the end");
  socket.destroy();
  await channel.close();
});

test("a flush that was given up keeps no process alive", async () => {
  const name = unique();
  const channel = openChannel({ name, app: "giving-up", acknowledge: "manual" }, (socket) =>
    socket.on("message", () => {}),
  );
  await channel.join();
  const child = node(fixture("giving-up.js"), [], { env: { NAME: name } });
  await child.line("ETIMEDOUT ABORT_ERR");
  await child.line("not sent: ETIMEDOUT");
  assert.equal((await within(child.ended, "its end")).code, 0);
  await channel.close();
});

test("closing takes a timeout and a signal, and goes on", async () => {
  const { channel, socket, messages } = await holding({ hostTimeout: 60_000 });
  socket.write("held");
  await until(() => messages.length === 1, "the message");
  await assert.rejects(channel.close({ signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(channel.state, "connected");
  await assert.rejects(channel.close({ timeout: 20 }), { code: "ETIMEDOUT", syscall: "close" });
  const closed = channel.close();
  messages[0].ack();
  await within(closed, "the channel to close");
  assert.equal(channel.state, "closed");
});

test("closing with a signal that has aborted leaves all the same", async () => {
  const channel = openChannel(unique(), (socket) => socket.resume());
  await channel.join();
  await assert.rejects(channel.close({ signal: AbortSignal.abort() }), { name: "AbortError" });
  await until(() => channel.state === "closed", "the channel to close");
});

test("statistics show how late an event loop was", async () => {
  const channel = openChannel(unique(), (socket) => {
    socket.on("data", () => {
      for (const until = Date.now() + 3000; Date.now() < until; );
    });
  });
  const socket = channel.connect();
  socket.write("block");
  await until(() => channel.stats().longestEventLoopDelay > 200, "the delay to be seen");
  socket.destroy();
  await channel.close();
});

test("the time after which a socket is stalled is checked", async () => {
  for (const stallAfter of [0, -1, NaN])
    assert.throws(() => openChannel({ stallAfter }), { code: "EINVAL" }, String(stallAfter));
  assert.throws(() => openChannel({ stallAfter: 0 }), /stallAfter/);
  const { channel, socket } = await holding({ stallAfter: Infinity });
  socket.destroy();
  await channel.close();
});
