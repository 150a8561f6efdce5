// The behaviour that users of the original rely on.
"use strict";
const { test, scratch, until, within, next, unique, node, fixture } = require("./harness.js");
const assert = require("node:assert/strict");
const { execFile } = require("node:child_process");
const net = require("node:net");
const { PassThrough } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { promisify } = require("node:util");
const api = require("..");
const { openChannel, ProcessChannel } = api;


/** A connected pair on a channel of its own. */
async function pair(options = {}) {
  let accept;
  const accepted = new Promise((resolve) => (accept = resolve));
  const channel = openChannel({ name: unique(), ...options }, (socket) => accept(socket));
  const client = channel.connect();
  const server = await within(accepted, "a connection");
  return { channel, client, server };
}

test("the module has the exports of the original", async () => {
  assert.equal(api.default, openChannel);
  assert.equal(typeof ProcessChannel, "function");
  const esm = await import("open-channel");
  assert.equal(esm.default, openChannel);
  assert.equal(esm.openChannel, openChannel);
  assert.equal(esm.ProcessChannel, ProcessChannel);
  // The default import of a CommonJS package, as ES modules see the original.
  assert.equal(esm.default.openChannel, openChannel);
  assert.equal(esm.default.ProcessChannel, ProcessChannel);
  assert.equal(esm.default.default, openChannel);
});

test("isWin32 and usingPort tell the truth", async () => {
  const esm = await import("open-channel");
  const faces = [api, esm.default];
  const told = () => faces.map((face) => [face.isWin32, face.usingPort]);
  const windows = process.platform === "win32";
  assert.deepEqual(told(), [
    [windows, false],
    [windows, false],
  ]);
  assert.equal(esm.isWin32, windows);
  const plain = await pair();
  assert.equal(plain.client.link, "local");
  assert.equal(api.usingPort, false);
  const { client, server } = await pair({ link: "tcp" });
  await next(client, "connect");
  assert.equal(client.link, "tcp");
  assert.equal(server.link, "tcp");
  assert.deepEqual(told(), [
    [windows, true],
    [windows, true],
  ]);
  client.write("over a port");
  assert.equal(String(await next(server, "data")), "over a port");
  [plain.client, client].forEach((socket) => socket.destroy());
});

test("a link that there is not is refused, and the environment's is used", async () => {
  assert.throws(() => openChannel({ name: unique(), link: "udp" }), {
    code: "EINVAL",
    message: /link is "udp"; it can be "ring" or "unix" or "tcp" or "local"/,
  });
  const script = `
    const channel = require("..");
    const open = channel.openChannel({ name: process.argv[1] }, () => {});
    const socket = open.connect();
    const told = () => process.stdout.write(socket.link + " " + channel.usingPort);
    socket.on("connect", () => { told(); socket.destroy(); });
  `;
  const env = { ...process.env, OPEN_CHANNEL_LINK: "tcp" };
  const run = () => promisify(execFile)(process.execPath, ["-e", script, unique()], { env, cwd: __dirname });
  assert.equal((await run()).stdout, "tcp true");
  env.OPEN_CHANNEL_LINK = "udp";
  await assert.rejects(run(), /OPEN_CHANNEL_LINK` is none of/);
});

test("openChannel takes a listener, or a name and a listener", () => {
  const listener = () => {};
  const unnamed = openChannel(listener);
  assert.ok(unnamed instanceof ProcessChannel);
  assert.equal(unnamed.name, "open-channel");
  assert.equal(unnamed.connectionListener, listener);
  const named = openChannel("some-name", listener);
  assert.equal(named.name, "some-name");
  assert.equal(named.state, "initiated");
  assert.equal(named.connected, false);
  assert.equal(named.connectionListener, listener);
  assert.throws(() => openChannel(5), { code: "ERR_INVALID_ARG_TYPE" });
});

test("connect returns a net.Socket at once, and the listener receives one", async () => {
  let accepted;
  const channel = openChannel(unique(), (socket) => (accepted = socket));
  const socket = channel.connect();
  assert.ok(socket instanceof net.Socket);
  assert.equal(socket.connecting, true);
  assert.equal(socket.pending, true);
  assert.equal(socket.readyState, "opening");
  assert.equal(socket.destroyed, false);
  assert.equal(channel.state, "connecting");
  await next(socket, "connect");
  assert.equal(socket.connecting, false);
  assert.equal(socket.pending, false);
  assert.equal(socket.readyState, "open");
  assert.equal(channel.state, "connected");
  assert.equal(channel.connected, true);
  await until(() => accepted);
  assert.ok(accepted instanceof net.Socket);
  assert.equal(accepted.readyState, "open");
  socket.destroy();
  assert.equal(channel.state, "closed");
  assert.equal(socket.destroyed, true);
  assert.equal(socket.readyState, "closed");
});

test("text that is written before the connection arrives, each write as one data event", async () => {
  const { promise, resolve } = defer();
  const got = [];
  const channel = openChannel(unique(), (socket) => {
    socket.on("data", (data) => {
      got.push(String(data));
      if (got.length === 3) resolve();
    });
  });
  const socket = channel.connect();
  let called = false;
  assert.equal(socket.write("one", () => (called = true)), true);
  socket.write(Buffer.from("two"));
  socket.write("6f6e65", "hex");
  assert.equal(called, false, "as on a net.Socket, not before the connection");
  await within(promise, "three messages");
  assert.deepEqual(got, ["one", "two", "one"]);
  await until(() => called);
  socket.destroy();
});

test("end before the connection delivers", async () => {
  const got = [];
  const channel = openChannel(unique(), (socket) =>
    socket.on("data", (data) => got.push(String(data))),
  );
  const socket = channel.connect();
  const done = new Promise((resolve) => socket.end("last words", resolve));
  await within(done, "the callback of end");
  assert.deepEqual(got, ["last words"]);
  await until(() => socket.destroyed);
});

test("a read of more bytes than a message has gets them from the next ones", async () => {
  const { client, server } = await pair();
  const framed = (text) => {
    const frame = Buffer.alloc(4 + text.length, text);
    frame.writeUInt32BE(text.length, 0);
    frame.write(text, 4);
    return frame;
  };
  // More than what may be under way.
  const texts = [
    "one",
    "a second one",
    ...Array.from({ length: 40 }, (_, i) => String(i % 10).repeat(100_000 - i)),
    "last",
  ];
  const bytes = Buffer.concat(texts.map(framed));
  const got = [];
  let length;
  server.on("readable", () => {
    for (;; ) {
      if (length === undefined) {
        const head = server.read(4);
        if (head === null) return;
        length = head.readUInt32BE(0);
      }
      const body = server.read(length);
      if (body === null) return;
      got.push(String(body));
      length = undefined;
    }
  });
  // Frames cut into messages where it does not suit them.
  for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 3) % 9973)
    client.write(bytes.subarray(at, at + size));
  await until(() => got.length === texts.length, "all frames");
  assert.deepEqual(got, texts);
  await within(client.flush(), "all of it handled");
  client.destroy();
});

test("each written byte counts once, before and after there is a connection", async () => {
  const channel = openChannel(unique(), (socket) => socket.resume());
  const client = channel.connect();
  client.write("hello");
  client.write(Buffer.alloc(7));
  assert.equal(client.bytesWritten, 12);
  await client.flush();
  assert.equal(client.bytesWritten, 12);
  client.destroy();
});

test("a thousand small writes are a thousand data events, both ways", async () => {
  const { client, server } = await pair();
  for (const [from, to] of [[client, server], [server, client]]) {
    const got = [];
    to.on("data", (data) => got.push(String(data)));
    for (let i = 0; i < 1000; i++) from.write(String(i));
    await until(() => got.length >= 1000, "1000 events");
    assert.deepEqual(got, Array.from({ length: 1000 }, (_, i) => String(i)));
    to.removeAllListeners("data");
  }
  client.destroy();
});

test("messages of every size arrive whole", async () => {
  const { client, server } = await pair();
  const got = [];
  server.on("data", (data) => got.push(data));
  const sizes = [1, 63, 64, 65, 4095, 4096, 65535, 65536, 65537, 200_000, 1 << 20, 3_000_001];
  for (const size of sizes) client.write(Buffer.alloc(size, size % 251));
  await until(() => got.length === sizes.length, "all sizes");
  sizes.forEach((size, i) => {
    assert.equal(got[i].length, size);
    assert.ok(got[i].equals(Buffer.alloc(size, size % 251)), `content of ${size}`);
  });
  client.destroy();
});

test("boundaries hold when the reader pauses, reads by hand, iterates or decodes", async () => {
  const words = Array.from({ length: 300 }, (_, i) => `w${i}`);
  const write = (socket) => words.forEach((word) => socket.write(word));

  const paused = await pair();
  const seen = [];
  paused.server.on("data", (data) => {
    seen.push(String(data));
    if (seen.length % 7 === 0) {
      paused.server.pause();
      assert.equal(paused.server.isPaused(), true);
      setImmediate(() => paused.server.resume());
    }
  });
  write(paused.client);
  await until(() => seen.length === words.length, "paused and resumed");
  assert.deepEqual(seen, words);
  paused.client.destroy();

  const iterated = await pair();
  write(iterated.client);
  iterated.client.end();
  const chunks = [];
  for await (const chunk of iterated.server) chunks.push(String(chunk));
  assert.deepEqual(chunks, words);

  const byHand = await pair();
  const read = [];
  byHand.server.on("readable", () => {
    for (let chunk; (chunk = byHand.server.read()) !== null; ) read.push(String(chunk));
  });
  write(byHand.client);
  await until(() => read.length === words.length, "read by hand");
  assert.deepEqual(read, words);
  byHand.client.destroy();

  const decoded = await pair();
  decoded.server.setEncoding("utf8");
  const texts = [];
  decoded.server.on("data", (text) => texts.push(text));
  write(decoded.client);
  decoded.client.write("grüße 👋");
  await until(() => texts.length === words.length + 1, "decoded");
  assert.deepEqual(texts, [...words, "grüße 👋"]);
  decoded.client.destroy();
});

test("pipe works in both directions", async () => {
  const channel = openChannel(unique(), (socket) => socket.pipe(socket));
  const socket = channel.connect();
  const source = new PassThrough();
  const sink = new PassThrough();
  const total = 2_000_000;
  let received = 0;
  sink.on("data", (data) => (received += data.length));
  const through = pipeline(source, socket, sink);
  for (let i = 0; i < total; i += 10_000)
    if (!source.write(Buffer.alloc(10_000))) await next(source, "drain");
  source.end();
  await within(through, "the pipeline");
  assert.equal(received, total);
});

test("write returns false when there is too much, and drain follows", async () => {
  const { client, server } = await pair();
  server.pause();
  let written = 0;
  const chunk = Buffer.alloc(64 * 1024);
  let stuck = false;
  client.on("drain", () => (stuck = false));
  const deadline = Date.now() + 20_000;
  // Until neither the outbox nor the window has room, and no drain comes any more.
  for (let rounds = 0; rounds < 3; ) {
    if (stuck) {
      rounds++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    } else {
      rounds = 0;
      stuck = !client.write(chunk);
      written++;
      if (stuck) await new Promise(setImmediate);
    }
    assert.ok(Date.now() < deadline && written < 20_000, "the outbox has a limit");
  }
  assert.equal(client.writableNeedDrain, true);
  let read = 0;
  server.on("data", (data) => (read += data.length));
  server.resume();
  await next(client, "drain");
  await until(() => read === written * chunk.length, "all that was written");
  assert.equal(client.bytesWritten, read);
  assert.equal(server.bytesRead, read);
  client.destroy();
});

test("end closes both sides, with the events of a net.Socket in their order", async () => {
  const { client, server } = await pair();
  const events = [];
  for (const [who, socket] of [
    ["client", client],
    ["server", server],
  ]) {
    for (const event of ["end", "finish", "close", "error"])
      socket.on(event, (...args) =>
        events.push(`${who} ${event}${event === "close" ? ` ${args[0]}` : ""}`),
      );
    socket.resume();
  }
  client.end();
  await until(
    () => events.filter((event) => event.includes("close")).length === 2,
    "both close events",
  );
  assert.deepEqual(
    events.filter((event) => event.startsWith("server")),
    ["server end", "server finish", "server close false"],
  );
  assert.deepEqual([...events.filter((event) => event.startsWith("client"))].sort(), [
    "client close false",
    "client end",
    "client finish",
  ]);
  assert.equal(events.filter((event) => event.startsWith("client")).at(-1), "client close false");
  assert.equal(client.readyState, "closed");
});

test("destroy emits close, and the other side sees an end and a close without an error", async () => {
  const { channel, client, server } = await pair();
  const events = [];
  server
    .on("end", () => events.push("end"))
    .on("close", (failed) => events.push(`close ${failed}`))
    .on("error", (error) => events.push(error));
  server.resume();
  client.destroy();
  assert.equal(channel.connected, false);
  const [failed] = await next(client, "close");
  assert.equal(failed, false);
  await until(() => events.length === 2, "end and close");
  assert.deepEqual(events, ["end", "close false"]);

  const second = await pair();
  const boom = new Error("boom");
  second.client.on("error", (error) => assert.equal(error, boom));
  const closed = new Promise((resolve) => second.client.on("close", resolve));
  second.client.destroy(boom);
  assert.equal(await within(closed, "close"), true);
});

test("a process that hosts goes on hosting after destroy", async () => {
  const name = unique();
  const channel = openChannel(name, (socket) => socket.on("data", (data) => socket.write(data)));
  const first = channel.connect();
  await next(first, "connect");
  first.destroy();
  assert.equal(channel.state, "closed");
  const second = openChannel(name, () => assert.fail("the first one hosts")).connect();
  second.write("still there?");
  assert.equal(String((await next(second, "data"))[0]), "still there?");
  second.destroy();
  // And the channel can be connected to again.
  const third = channel.connect();
  assert.equal(channel.state, "connecting");
  await next(third, "connect");
  third.destroy();
  await channel.close();
});

test("setTimeout, ref, unref and the rest of a socket's methods answer", async () => {
  const { client, server } = await pair();
  assert.equal(client.ref(), client);
  assert.equal(client.unref(), client);
  client.ref();
  assert.equal(client.setNoDelay(true), client);
  assert.equal(client.setKeepAlive(true), client);
  assert.deepEqual(client.address(), {});
  assert.equal(client.remoteAddress, undefined);
  const idle = next(client, "timeout");
  client.setTimeout(20);
  assert.equal(client.timeout, 20);
  await idle;
  client.setTimeout(0);
  assert.throws(() => client.connect(80), { code: "EISCONN" });
  assert.equal(client.id, server.id);
  assert.equal(server.peerPid, process.pid);
  client.destroySoon();
  await next(client, "close");
});

test("many channels in one process, and two sockets of one channel, do not cross", async () => {
  const name = unique();
  const echo = (tag) => (socket) => socket.on("data", (data) => socket.write(`${tag}:${data}`));
  const channels = Array.from({ length: 20 }, (_, i) => openChannel(`${name}-${i}`, echo(i)));
  const sockets = channels.flatMap((channel, i) => [
    [i, "a", channel.connect()],
    [i, "b", channel.connect()],
  ]);
  await Promise.all(
    sockets.map(async ([i, which, socket]) => {
      const reply = next(socket, "data");
      socket.write(`${which}${i}`);
      assert.equal(String((await reply)[0]), `${i}:${which}${i}`);
      socket.destroy();
    }),
  );
  await Promise.all(channels.map((channel) => channel.close()));
});

test("two channel objects of one name share one host", async () => {
  const name = unique();
  const hosts = [];
  const first = openChannel(name, (socket) => { hosts.push("first"); socket.end("hello"); });
  const second = openChannel(name, (socket) => { hosts.push("second"); socket.end("hello"); });
  for (const channel of [first, second]) {
    const socket = channel.connect();
    assert.equal(String((await next(socket, "data"))[0]), "hello");
    await until(() => socket.destroyed);
  }
  assert.equal(new Set(hosts).size, 1);
  assert.equal(hosts.length, 2);
});

test("nobody there is ECONNREFUSED or ETIMEDOUT within the timeout, with a message", async () => {
  const channel = openChannel(unique()); // no listener: never hosts
  const begin = Date.now();
  const socket = channel.connect(200);
  const [error] = await next(socket, "error");
  assert.match(error.code, /^(ECONNREFUSED|ETIMEDOUT)$/);
  assert.equal(error.syscall, "connect");
  assert.ok(error.message.length > 30, error.message);
  assert.ok(Date.now() - begin < 3000);
  assert.equal(channel.state, "closed");
});

test("a listener that throws is an uncaught exception, and hurts nobody else", async () => {
  const child = node(fixture("throwing.js"));
  assert.deepEqual(await within(child.ended, "its end"), { code: 0, signal: null });
  assert.deepEqual(child.lines, ["uncaught from listener", "uncaught from data", "echo after all"]);
});

test("a listener that throws takes nothing from what came together with its message", async () => {
  const name = unique();
  const channel = openChannel({ name, app: "wake" }, (socket) =>
    socket.on("data", () => socket.write("answer")),
  );
  await channel.join();
  const child = node(fixture("throwing-wake.js"), [], { env: { NAME: name } });
  await within(child.ended, "its end");
  assert.equal(child.lines.filter((line) => line === "flushed").length, 1, child.lines.join("\n"));
  assert.ok(child.lines.includes("uncaught from data"));
  await channel.close();
});

test("a close listener that throws is an uncaught exception, and the channel is closed", async () => {
  const child = node(fixture("throwing-close.js"));
  await within(child.ended, "its end");
  assert.deepEqual(child.lines.sort(), ["closed", "uncaught from close"]);
});

test("once connect on a socket that is connected calls its listener once, unless that is removed before", async (t) => {
  const { channel, client, server } = await pair();
  await until(() => !client.connecting, "the connection");
  // As a library for better stack traces may have it.
  const { prepareStackTrace } = Error;
  t.after(() => (Error.prepareStackTrace = prepareStackTrace));
  Error.prepareStackTrace = () => ({});
  for (const socket of [client, server]) {
    let calls = 0;
    const listener = () => calls++;
    const called = new Promise((resolve) =>
      socket.once("connect", listener).once("connect", resolve),
    );
    assert.equal(calls, 0);
    await within(called, "connect");
    assert.equal(calls, 1);
    assert.equal(socket.listenerCount("connect"), 0);
    socket.once("connect", listener).off("connect", listener);
    await within(new Promise((resolve) => socket.once("connect", resolve)), "connect");
    assert.equal(calls, 1);
  }
  client.destroy();
  await channel.close();
});

test("flush fails when a socket that ended is destroyed before there is a connection", async () => {
  const socket = openChannel(unique()).connect();
  socket.write("never");
  socket.end();
  const flushed = socket.flush();
  socket.destroy();
  await assert.rejects(within(flushed, "flush"), { code: "EPIPE" });
  await assert.rejects(within(socket.flush(), "flush"), { code: "EPIPE" });
});

for (const [how, remove] of [
  ["once", null],
  ["removeListener", (socket, listener) => socket.removeListener("data", listener)],
  ["removeAllListeners", (socket) => socket.removeAllListeners("data")],
]) {
  test(`a listener that is removed by ${how} leaves the messages after its own to the next one`, async () => {
    const { channel, client, server } = await pair();
    const got = [];
    const first = (data) => {
      got.push(`first ${data}`);
      remove?.(server, first);
    };
    if (remove === null) server.once("data", first);
    else server.on("data", first);
    for (const message of ["a", "b", "c"]) client.write(message);
    const flushed = client.flush();
    await until(() => got.length === 1, "the first message");
    await until(() => client.stats().unacknowledged <= 2, "its acknowledgement");
    // Nobody is there for the others. Another socket's message goes all the way meanwhile.
    const other = channel.connect();
    channel.connectionListener = (socket) => socket.resume();
    other.write("another");
    await within(other.flush(), "another flush");
    assert.equal(client.stats().unacknowledged, 2);
    server.on("data", (data) => got.push(`second ${data}`));
    await within(flushed, "flush");
    assert.deepEqual(got, ["first a", "second b", "second c"]);
    // The end is noticed without a listener, too.
    server.removeAllListeners("data");
    client.end();
    await next(server, "end");
    await channel.close();
  });
}

test("a socket that is resumed without a listener discards and acknowledges", async () => {
  const { channel, client, server } = await pair();
  server.resume();
  client.write("nobody's");
  await within(client.flush(), "flush");
  const got = new Promise((resolve) => server.once("data", resolve));
  client.write("somebody's");
  assert.equal(String(await within(got, "a message")), "somebody's");
  client.write("nobody's");
  await within(client.flush(), "flush");
  await channel.close();
});

for (const late of [false, true]) {
  test(`a message is acknowledged though its listener pauses, when it was attached ${late ? "late" : "early"}`, async () => {
    const { channel, client, server } = await pair();
    const attach = () => server.on("data", () => server.pause());
    if (!late) attach();
    client.write("one");
    if (late) {
      await until(() => server.stats().received === 1, "the message");
      // Until the socket has had its turn.
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      attach();
    }
    await within(client.flush(), "flush");
    await channel.close();
  });
}

test("a process ends by itself when its sockets are closed or unref'd, and not before", async () => {
  for (const how of ["destroyed", "ended", "unref", "closed", "opened", "flushed"]) {
    const child = node(fixture("ending.js"), [how]);
    const { code } = await within(child.ended, `the end of ${how}`);
    assert.equal(code, 0, how);
    assert.deepEqual(child.lines, ["before", ...(how === "flushed" ? ["handled 100"] : [])], how);
  }
});

test("the messages that a peer wrote before process.exit arrive, by flush or by end", async () => {
  for (const how of ["flush", "end"]) {
    const name = unique();
    let got = 0;
    const channel = openChannel({ name, app: "leaving" }, (socket) =>
      socket.on("data", () => got++),
    );
    await channel.join();
    const child = node(fixture("leaving.js"), [how], { env: { NAME: name } });
    assert.deepEqual(await within(child.ended, "its end"), { code: 0, signal: null });
    assert.equal(got, 1000, how);
    await channel.close();
  }
});

function defer() {
  let resolve, reject;
  const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}
