// Protocols that run over a socket as a stream of bytes.
"use strict";
const { test, scratch, until, within, next, unique, node, fixture } = require("./harness.js");
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const http = require("node:http");
const http2 = require("node:http2");
const path = require("node:path");
const fs = require("node:fs");
const { text } = require("node:stream/consumers");
const { setTimeout: pause } = require("node:timers/promises");
const tls = require("node:tls");
const { openChannel } = require("..");

const BYTES = { reconnect: false };

/**
 * A channel whose sockets `server` gets, in this process, and another channel object to connect
 * from.
 */
async function serve(attach) {
  const name = unique();
  const host = openChannel(name, attach);
  await host.join();
  const peer = openChannel(name);
  const close = async () => {
    await peer.close().catch(() => {}); // what a protocol did not read is not handled
    await host.close();
  };
  return { host, peer, close };
}

const server = () => http.createServer(async (request, response) => {
  response.end(`${request.method} ${request.url}: ${await text(request)}`);
});

test("http requests, one after the other and kept alive", async () => {
  const web = server();
  const { peer, close } = await serve((socket) => web.emit("connection", socket));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = () => peer.connect(BYTES);
  const ask = (url, body) =>
    new Promise((resolve, reject) => {
      const request = http.request(
        { agent, path: url, method: "POST", host: "channel" },
        (response) => resolve(text(response)),
      );
      request.on("error", reject).end(body);
    });
  assert.equal(
    await within(ask("/one", "x".repeat(200_000)), "an answer"),
    `POST /one: ${"x".repeat(200_000)}`,
  );
  for (let i = 0; i < 50; i++)
    assert.equal(await within(ask(`/${i}`, `body ${i}`), "an answer"), `POST /${i}: body ${i}`);
  agent.destroy();
  web.closeAllConnections();
  await close();
});

test("http2 requests over one socket, many at a time", async () => {
  const web = http2.createServer((request, response) => {
    text(request).then((body) => response.end(`${request.url}: ${body}`));
  });
  const { peer, close } = await serve((socket) => web.emit("connection", socket));
  const session = http2.connect("http://channel", { createConnection: () => peer.connect(BYTES) });
  const ask = (url) => {
    const stream = session.request({ ":path": url, ":method": "POST" });
    stream.end("body".repeat(10_000));
    return text(stream);
  };
  const answers = await within(
    Promise.all(Array.from({ length: 20 }, (_, i) => ask(`/${i}`))),
    "all answers",
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 20 }, (_, i) => `/${i}: ${"body".repeat(10_000)}`),
  );
  await within(new Promise((resolve) => session.close(resolve)), "the end of the session");
  await close();
});

test("undici requests", async () => {
  const { Client } = require("undici");
  const web = server();
  const { peer, close } = await serve((socket) => web.emit("connection", socket));
  const client = new Client("http://channel", {
    connect: (_, callback) => {
      const socket = peer.connect(BYTES, () => callback(null, socket));
    },
  });
  for (let i = 0; i < 20; i++) {
    const { body } = await within(
      client.request({ path: `/${i}`, method: "POST", body: `body ${i}` }),
      "an answer",
    );
    assert.equal(await within(body.text(), "its body"), `POST /${i}: body ${i}`);
  }
  await within(client.close(), "the end of the client");
  web.closeAllConnections();
  await close();
});

test("websockets", async () => {
  const { WebSocket, WebSocketServer } = require("ws");
  const web = http.createServer();
  const sockets = new WebSocketServer({ server: web });
  sockets.on("connection", (socket) =>
    socket.on("message", (data, binary) => socket.send(data, { binary })),
  );
  const { peer, close } = await serve((socket) => web.emit("connection", socket));
  const socket = new WebSocket("ws://channel/", { createConnection: () => peer.connect(BYTES) });
  await next(socket, "open");
  for (const size of [0, 1, 125, 126, 65_536, 300_000]) {
    const answer = next(socket, "message");
    socket.send(Buffer.alloc(size, 7));
    assert.ok((await answer)[0].equals(Buffer.alloc(size, 7)), `${size} bytes`);
  }
  const closed = next(socket, "close");
  socket.close(1000, "done");
  assert.equal((await closed)[0], 1000);
  await close();
});

for (const late of [false, true]) {
  test(`tls, started ${late ? "after" : "before"} the connection`, async () => {
    const [key, cert] = certificate();
    const { peer, close } = await serve((raw) => {
      const secure = new tls.TLSSocket(raw, { isServer: true, key, cert });
      secure.on("data", (data) => secure.write(data)).on("end", () => secure.end());
    });
    const raw = peer.connect(BYTES);
    if (late) {
      await next(raw, "connect");
      await pause(10);
    }
    const client = tls.connect({
      socket: raw,
      ca: cert,
      servername: "channel",
      checkServerIdentity: () => undefined,
    });
    await next(client, "secureConnect");
    const received = text(client);
    for (let i = 0; i < 100; i++) client.write(`line ${i}\n`.repeat(100));
    client.end();
    const expected = Array.from({ length: 100 }, (_, i) => `line ${i}\n`.repeat(100)).join("");
    assert.equal(await within(received, "all that was sent"), expected);
    await close();
  });
}

function certificate() {
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(scratch, name));
  if (!fs.existsSync(cert)) {
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        cert,
        "-subj",
        "/CN=channel",
        "-days",
        "2",
      ],
      { stdio: "ignore" },
    );
  }
  return [fs.readFileSync(key), fs.readFileSync(cert)];
}

test("a request whose host is killed fails, instead of waiting for ever or reaching another host in part", async () => {
  const name = unique();
  const host = node(fixture("slow-web.js"), [], { env: { NAME: name } });
  await host.line("host");
  const received = [];
  const channel = openChannel({ name, app: "web" }, (socket) =>
    socket.on("data", (data) => received.push(String(data))),
  );
  const upload = channel.connect(BYTES);
  const request = http.request({ createConnection: () => upload, method: "POST", host: "channel" });
  request.write("half of it");
  await host.line("half of it");
  const failure = next(request, "error");
  const failover = next(channel, "failover");
  host.kill("SIGKILL");
  assert.equal((await failure)[0].code, "ECONNRESET");
  await failover;
  request.on("error", () => {}).end("the other half");
  await until(() => upload.destroyed);
  // The next host is this process, and hears of new connections only.
  const socket = channel.connect(BYTES);
  socket.write("new");
  await within(socket.flush(), "flush");
  assert.deepEqual(received, ["new"]);
  socket.destroy();
  await channel.close();
});

test("a socket that stays with its host fails with it, after the last words; the others reconnect", async () => {
  const name = unique();
  const host = node(fixture("slow-web.js"), [], { env: { NAME: name, RAW: "1" } });
  await host.line("host");
  const channel = openChannel({ name, app: "web" }, (socket) =>
    socket.on("data", (data) => socket.write(`second: ${data}`)),
  );
  const events = [];
  const pinned = channel.connect({ reconnect: false });
  const roaming = channel.connect();
  for (const [who, socket] of [
    ["pinned", pinned],
    ["roaming", roaming],
  ]) {
    for (const event of ["connect", "ready", "reconnect", "close"])
      socket.on(event, () => events.push(`${who} ${event}`));
    socket
      .on("error", (error) => events.push(`${who} ${error.code}`))
      .on("data", (data) => events.push(`${who} ${data}`));
    socket.write("a");
  }
  await until(
    () => ["pinned", "roaming"].every((who) => events.includes(`${who} first: a`)),
    "the answers",
  );
  await roaming.flush(); // what is acknowledged does not come again
  host.kill("SIGKILL");
  await until(() => pinned.destroyed && events.includes("roaming reconnect"), "the next host");
  roaming.write("b");
  await until(() => events.includes("roaming second: b"));
  const of = (who) =>
    events.filter((event) => event.startsWith(who)).map((event) => event.slice(who.length + 1));
  assert.deepEqual(of("pinned"), ["connect", "ready", "first: a", "ECONNRESET", "close"]);
  assert.deepEqual(of("roaming"), ["connect", "ready", "first: a", "reconnect", "second: b"]);
  await assert.rejects(pinned.flush(), { code: "EPIPE" });
  roaming.destroy();
  await channel.close();
});

test("a socket that stays with its host fails when that hands over, too", async () => {
  const name = unique();
  const host = openChannel({ name, app: "web" }, (socket) =>
    socket.on("data", (data) => socket.write(data)),
  );
  await host.join();
  const channel = openChannel({ name, app: "web" }, () => {});
  const socket = channel.connect({ reconnect: false });
  socket.write("a");
  await next(socket, "data");
  const failure = next(socket, "error");
  await host.close();
  assert.equal((await failure)[0].code, "ECONNRESET");
  await channel.close();
});

test("connect takes a callback, a timeout and options, as they come", async () => {
  const channel = openChannel(unique(), (socket) => socket.resume());
  for (const args of [[], [1000], [{ timeout: 1000 }], [undefined]]) {
    let socket;
    await within(
      new Promise((resolve) => (socket = channel.connect(...args, resolve))),
      "the callback",
    );
    assert.equal(socket.connecting, false);
    socket.destroy();
  }
  assert.throws(() => channel.connect({ reconnect: "no" }), { code: "ERR_INVALID_ARG_TYPE" });
  assert.throws(() => channel.connect({ timeout: -1 }), { code: "EINVAL" });
  await channel.close();
});

test("a channel and a socket can be disposed of: that flushes them", async () => {
  const asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
  const got = [];
  const channel = openChannel(unique(), (socket) =>
    socket.on("data", (data) => got.push(String(data))),
  );
  const socket = channel.connect();
  socket.write("one");
  await within(socket[asyncDispose](), "the end of the socket");
  assert.equal(socket.destroyed, true);
  channel.connect().write("two");
  await within(channel[asyncDispose](), "the end of the channel");
  assert.equal(channel.state, "closed");
  assert.deepEqual(got, ["one", "two"]);
});
