// Text whose characters are cut by the boundaries of messages, and when such messages are handled.
"use strict";
const { test, until, within, next, unique, node, fixture } = require("./harness.js");
const assert = require("node:assert/strict");
const net = require("node:net");
const { openChannel } = require("..");

async function pair(options = {}) {
  let accept;
  const accepted = new Promise((resolve) => (accept = resolve));
  const channel = openChannel({ name: unique(), ...options }, (socket) => accept(socket));
  const client = channel.connect();
  const server = await within(accepted, "a connection");
  return { client, server };
}

/** Both ends of a net.Socket. */
async function plainPair() {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await next(listener, "listening");
  const client = net.connect(listener.address().port, "127.0.0.1");
  const [server] = await next(listener, "connection");
  listener.close();
  return { client, server };
}

/** Resolves when `client` has got what `server` says now, and all that it had sent before. */
async function exchanged({ client, server }) {
  const answer = next(client, "data");
  server.write("answer");
  await answer;
}

const faces = {
  data: (socket, take) => socket.on("data", take),
  readable: (socket, take) =>
    socket.on("readable", () => {
      for (let text; (text = socket.read()) !== null; ) take(text);
    }),
  iterator: async (socket, take) => {
    for await (const text of socket) take(text);
  },
};

const euro = Buffer.from("€");
const A = Buffer.from("a");
const B = Buffer.from("b");
/** "a€b", cut in the middle of the character. */
const HALVES = [Buffer.concat([A, euro.subarray(0, 2)]), Buffer.concat([euro.subarray(2), B])];

for (const [face, attach] of Object.entries(faces)) {
  for (const encoding of ["utf8", "utf16le", "base64"]) {
    test(`text is decoded across messages as on a net.Socket, and all of it is handled (${encoding}, ${face})`, async () => {
      // A character of four bytes in the middle; the last one is cut off.
      const bytes = Buffer.concat([Buffer.from("grüße 👋 €uro ", encoding), euro.subarray(0, 2), A]);
      const all = Buffer.concat([bytes, Buffer.from("👋"), euro.subarray(0, 1)]);
      const texts = [];
      for (const { client, server } of [await plainPair(), await pair()]) {
        server.setEncoding(encoding);
        let text = "";
        attach(server, (part) => (text += part));
        const ended = next(server, "end");
        for (const byte of all) client.write(Buffer.of(byte));
        await within(new Promise((resolve) => client.end(resolve)), "the callback of end");
        await ended;
        texts.push(text);
      }
      assert.equal(texts[1], texts[0]);
    });
  }

  test(`a message that ends inside a character is handled with the one that completes it (${face})`, async () => {
    const { client, server } = await pair();
    server.setEncoding("utf8");
    const texts = [];
    attach(server, (text) => texts.push(text));
    client.write(HALVES[0]);
    await until(() => texts.length === 1, "the first text");
    // A reader by hand has come back from it.
    await exchanged({ client, server });
    assert.deepEqual([server.stats().handled, server.stats().held], [0, 1]);
    client.write(HALVES[1]);
    await within(client.flush(), "flush");
    assert.deepEqual(texts, ["a", "€b"]);
    client.write(euro.subarray(0, 1));
    client.write(euro.subarray(1, 2));
    client.write(euro.subarray(2));
    await within(client.flush(), "flush");
    assert.deepEqual(texts, ["a", "€b", "€"]);
    client.destroy();
  });
}

test("a listener's promise for the rest of a character holds the message with its beginning, too", async () => {
  const { client, server } = await pair();
  server.setEncoding("utf8");
  const done = [];
  server.on("data", () => new Promise((resolve) => done.push(resolve)));
  client.write(HALVES[0]);
  client.write(HALVES[1]);
  await until(() => done.length === 2, "both texts");
  done[0]();
  await exchanged({ client, server });
  assert.deepEqual([server.stats().handled, server.stats().held], [0, 2]);
  done[1]();
  await within(client.flush(), "flush");
  client.destroy();
});

const hosting = async (name, env) => {
  const host = node(fixture("decoding.js"), [], {
    env: { NAME: name, OPEN_CHANNEL_APP: "decoding", ...env },
  });
  await host.line("host");
  return host;
};

for (const [how, surfaces] of [["throws", "uncaught not yet"], ["rejects", "unhandled not yet"]]) {
  test(`the beginning of a character comes again when a listener ${how} for the rest of it`, async () => {
    const name = unique();
    const host = await hosting(name, { HOW: how });
    const socket = openChannel({ name, app: "decoding", host: false }).connect();
    HALVES.forEach((half) => socket.write(half));
    await within(socket.flush(), "flush");
    await until(() => host.lines.length > 5, "the host's report");
    const texts = host.lines.filter((line) => line.startsWith("text"));
    assert.deepEqual(texts, ["text a", "text €b", "text a", "text €b"]);
    assert.deepEqual(host.lines.filter((line) => line.endsWith("yet")), [surfaces], "once");
    socket.destroy();
  });
}

for (const way of ["is killed", "closes"]) {
  test(`the next host gets a character whole of which one that ${way} has half`, async () => {
    const name = unique();
    const host = await hosting(name);
    const got = [];
    const channel = openChannel({ name, app: "decoding" }, (socket) => {
      socket.setEncoding("utf8").on("data", (text) => got.push([text, socket.message.attempt]));
    });
    const socket = channel.connect();
    socket.write("whole");
    socket.write(HALVES[0]);
    await host.line("text a");
    if (way === "closes") {
      // Its host timeout is a minute: nothing waits for a rest that cannot come.
      host.stdin.write("close\n");
      await host.line("closed");
    } else {
      await until(() => socket.stats().acknowledged > 0, "the first acknowledgement");
      host.kill("SIGKILL");
    }
    socket.write(HALVES[1]);
    await within(socket.flush(), "flush");
    assert.deepEqual(got, [
      ["a", 2],
      ["€b", 1],
    ]);
    assert.deepEqual(
      host.lines.filter((line) => line.startsWith("text")),
      ["text whole", "text a"],
    );
    socket.destroy();
    await channel.close();
  });
}

test("an encoding that is set while half a character waits in a paused stream loses nothing", async () => {
  const { client, server } = await pair();
  const wait = () => {};
  server.on("readable", wait);
  client.write(HALVES[0].subarray(1));
  await until(() => server.readableLength === 2, "the message in the stream");
  server.setEncoding("utf8");
  const texts = [];
  server.on("data", (text) => texts.push(text));
  const ended = next(server, "end");
  client.write(HALVES[1]);
  client.write(euro.subarray(0, 1));
  server.off("readable", wait).resume();
  await within(new Promise((resolve) => client.end(resolve)), "the callback of end");
  await ended;
  assert.deepEqual(texts, ["€b", "�"]);
});
