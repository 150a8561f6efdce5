// The adapter for Socket.IO: the real server in several processes, and the real client here.
"use strict";
const { test, until, within } = require("./harness.js");
const { member, hostOf } = require("./members.js");
const { serve, servers, connect, emit } = require("./socket-io.js");
const assert = require("node:assert/strict");

test("a broadcast reaches the clients of all processes, and rooms count everywhere", async () => {
  const [one, two, three] = await servers(3);
  const a = await connect(one.port, ["red"]);
  const b = await connect(two.port, ["red", "blue"]);
  const c = await connect(three.port, ["blue"]);
  await emit(one, "all", 1);
  await one.run(({ kept }) => {
    kept.io.to("red").emit("red", 2);
    kept.io.to("red").except("blue").emit("red only", 3);
    kept.io.to(["red", "blue"]).emit("either", 4);
    kept.io.local.emit("here", 5);
  });
  await one.run(({ kept }, id) => kept.io.except(id).emit("others", 7), a.id);
  await one.run(({ kept }, id) => kept.io.to(id).emit("you", 8), c.id);
  // It is sent only if the connection is idle.
  await until(async () => {
    await one.run(({ kept }, id) => kept.io.volatile.to(id).emit("volatile"), b.id);
    return b.got.at(-1)[0] === "volatile";
  }, "a volatile event");
  await emit(one, "end");
  for (const client of [a, b, c])
    await until(() => client.got.at(-1)?.[0] === "end", "the last event");
  const names = (client) => [...new Set(client.got.map(([name]) => name))];
  assert.deepEqual(names(a), ["all", "red", "red only", "either", "here", "end"]);
  assert.deepEqual(names(b), ["all", "red", "either", "others", "volatile", "end"]);
  assert.deepEqual(names(c), ["all", "either", "others", "you", "end"]);
});

test("values arrive as from a single server: binary data, dates and toJSON", async () => {
  const [one, two] = await servers(2);
  const near = await connect(one.port);
  const far = await connect(two.port);
  await one.run(({ kept }) => {
    class Money {
      #cents = 150;
      toJSON() {
        return `${this.#cents / 100} EUR`;
      }
    }
    const nested = { bytes: Buffer.from([1, 2]), price: new Money(), skip: () => 1 };
    kept.io.emit("mixed", nested, Uint8Array.of(3).buffer);
    kept.io.emit("plain", { when: new Date(0), price: new Money(), skip: undefined }, undefined);
  });
  for (const client of [near, far]) await until(() => client.got.length === 2, "both");
  assert.deepEqual(far.got, near.got);
  assert.deepEqual(far.got[0][1], { bytes: Buffer.from([1, 2]), price: "1.5 EUR" });
});

test("many broadcasts arrive once and in order while the host is killed", async () => {
  const all = await servers(4);
  const { host, others } = await hostOf(all);
  const receivers = await Promise.all(others.map((one) => connect(one.port)));
  const count = 1_000;
  const senders = others.map((one, i) =>
    one.run(
      async ({ kept }, sender, count) => {
        for (let n = 0; n < count; n++) {
          kept.io.emit("n", sender, n, "x".repeat(500));
          if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
      },
      i,
      count,
    ),
  );
  await until(() => receivers.every((client) => client.got.length > 300), "traffic");
  host.kill("SIGKILL");
  await within(Promise.all(senders), "the senders", 40_000);
  const expected = Array.from({ length: count }, (_, n) => n);
  for (const client of receivers) {
    await until(() => client.got.length >= count * 3, "all events", 30_000);
    for (const sender of [0, 1, 2]) {
      const numbers = client.got.filter((event) => event[1] === sender).map((event) => event[2]);
      assert.deepEqual(numbers, expected, `those of ${sender}`);
    }
  }
});

test("sockets of all processes are fetched, moved and disconnected", async () => {
  const [one, two, three] = await servers(3);
  const a = await connect(one.port, ["red"]);
  const b = await connect(two.port, ["red"]);
  const c = await connect(three.port);
  const fetch = (of, room) =>
    of.run(async ({ kept }, room) => {
      const all = await (room === null ? kept.io : kept.io.in(room)).fetchSockets();
      return all.map(({ id, data, rooms }) => ({ id, port: data.port, rooms: [...rooms].sort() }));
    }, room);
  const ids = (sockets) => sockets.map(({ id }) => id).sort();
  assert.deepEqual(ids(await fetch(one)), [a.id, b.id, c.id].sort());
  const [there] = (await fetch(one, "red")).filter(({ id }) => id === b.id);
  assert.deepEqual(there, { id: b.id, port: two.port, rooms: [b.id, "red"].sort() });
  assert.equal(await one.run(({ kept }) => kept.io.of("/").adapter.serverCount()), 3);

  await three.run(({ kept }) => kept.io.in("red").socketsJoin("blue"));
  await until(async () => (await fetch(two, "blue")).length === 2, "two in blue");
  await one.run(({ kept }, id) => kept.io.in(id).socketsLeave("blue"), b.id);
  await until(async () => (await fetch(three, "blue")).length === 1, "one in blue");
  await two.run(({ kept }) => {
    kept.io.in("red").emit("bye");
    kept.io.in("red").disconnectSockets(true);
  });
  await until(() => !a.connected && !b.connected, "their ends");
  assert.deepEqual(ids(await fetch(three)), [c.id]);
  assert.deepEqual([a.got, b.got], [[["bye"]], [["bye"]]], "what came before the end");
});

test("servers ask each other, and one that dies is not waited for", async () => {
  const [one, two, three] = await servers(3, {}, { requestsTimeout: 120_000 });
  for (const [i, each] of [one, two, three].entries()) {
    await each.run(({ kept }, i) => {
      kept.io.on("ask", (question, done) => done(`${i} answers ${question}`));
      kept.io.on("silent", (done) => (kept.silent = done));
      kept.io.on("tell", (...args) => (kept.told = args));
    }, i);
  }
  const ask = (of, ...args) =>
    of.run(({ kept }, ...args) => kept.io.serverSideEmitWithAck(...args), ...args);
  assert.deepEqual((await ask(one, "ask", "x")).sort(), ["1 answers x", "2 answers x"]);
  await one.run(({ kept }) => kept.io.serverSideEmit("tell", 1, { a: 2 }));
  for (const other of [two, three])
    await until(() => other.run(({ kept }) => kept.told?.[1].a === 2), "the event");
  assert.equal(await one.run(({ kept }) => kept.told === undefined), true);

  const asked = ask(one, "silent");
  for (const other of [two, three])
    await until(() => other.run(({ kept }) => kept.silent !== undefined), "the question");
  await two.run(({ kept }) => kept.silent("late, but alive"));
  three.kill("SIGKILL");
  assert.deepEqual(await within(asked, "the answers"), ["late, but alive"]);
});

test("what cannot be sent is an error of the caller, and hurts nobody", async () => {
  const [one, two] = await servers(2);
  const client = await connect(two.port);
  const refused = await one.run(async ({ kept }) => {
    const caught = [];
    for (const send of [
      () => kept.io.emit("x", 1n),
      () => kept.io.serverSideEmit("x", 1n),
      () => kept.io.serverSideEmitWithAck("x", 1n),
    ]) {
      try {
        await send();
      } catch (error) {
        caught.push(error.name);
      }
    }
    return caught;
  });
  assert.deepEqual(refused, ["TypeError", "TypeError", "TypeError"]);
  await emit(one, "fine");
  await until(() => client.got.length > 0, "the event");
  assert.deepEqual(client.got, [["fine"]]);
});

test("a server that is silent is named after the time that was given", async () => {
  const [one, two, three] = await servers(3, {}, { requestsTimeout: 400 });
  for (const other of [two, three])
    await other.run(({ kept }) => void kept.io.on("ask", (done) => void (kept.asked = done)));
  two.kill("SIGSTOP");
  const named = new RegExp(`timeout reached: only 1 responses .* out of 2; .*${two.id}`);
  await assert.rejects(
    one.run(({ kept }) => kept.io.fetchSockets()),
    named,
  );
  await assert.rejects(
    one.run(({ kept }) => kept.io.serverSideEmitWithAck("ask")),
    /only 0 responses received out of 2/,
  );
  two.kill("SIGCONT");
});

test("clients of all processes acknowledge a broadcast", async () => {
  const [one, two, three] = await servers(3);
  const all = [];
  for (const each of [one, two, two, three]) all.push(await connect(each.port, ["red"]));
  for (const [i, client] of all.entries()) client.on("ask", (x, done) => done(`${i}: ${x}`));
  const ask = (of, timeout) =>
    of.run(({ kept }, ms) => kept.io.timeout(ms).to("red").emitWithAck("ask", "?"), timeout);
  assert.deepEqual((await ask(one, 10_000)).sort(), ["0: ?", "1: ?", "2: ?", "3: ?"]);

  all[3].off("ask");
  const error = await one.run(({ kept }) =>
    kept.io
      .timeout(300)
      .emitWithAck("ask", "?")
      .catch((error) => ({ message: error.message, responses: error.responses.sort() })),
  );
  assert.match(error.message, /timed out/);
  assert.deepEqual(error.responses, ["0: ?", "1: ?", "2: ?"]);

  // The clients of a dead server are not there.
  three.kill("SIGKILL");
  await within(three.ended, "its end");
  assert.equal((await ask(two, 60_000)).length, 3);
  const alone = await member(await one.run(({ group }) => group.name));
  assert.equal((await ask(one, 60_000)).length, 3, "a member without a server");
  alone.stdin.end();
});

test("a client that acknowledges with what cannot be sent on hurts nobody", async () => {
  const [one, two] = await servers(2);
  const good = await connect(one.port);
  good.on("ask", (done) => done("good"));
  const bad = await connect(two.port);
  bad.io.on("packet", ({ id }) => {
    const deep = 50_000;
    if (id !== undefined) bad.io.engine.write(`3${id}[${"[".repeat(deep)}${"]".repeat(deep)}]`);
  });
  const responses = await one.run(({ kept }) =>
    kept.io
      .timeout(1_000)
      .emitWithAck("ask")
      .catch((error) => error.responses),
  );
  assert.deepEqual(responses, ["good"]);
  await emit(one, "fine");
  await until(() => bad.got.some(([name]) => name === "fine"), "the event");
});

test("a broadcast that asks for acknowledgements in a closed group ends in its time", async () => {
  const [one] = await servers(1);
  const message = await one.run(async ({ group, kept }) => {
    await group.close();
    return kept.io
      .timeout(200)
      .emitWithAck("ask")
      .catch((error) => error.message);
  });
  assert.match(message, /timed out/);
});

test("namespaces and servers with other names are apart", async () => {
  const [one, two] = await servers(2);
  const [three, four] = [await member(await groupOf(one)), await member(await groupOf(one))];
  for (const other of [three, four]) await serve(other, {}, { name: "admin" });
  const name = "/shop.*>ä\u2028";
  for (const each of [one, two])
    await each.run(async ({ kept }, name) => {
      kept.io.of("/chat");
      await kept.io.of(name).adapter.ready;
      await kept.io.of("/chat").adapter.ready;
    }, name);
  const root = await connect(two.port);
  const admin = await connect(four.port);
  const chat = await connect(`${two.port}/chat`);
  const odd = await connect(`${two.port}${name}`);
  await one.run(({ kept }) => kept.io.of("/chat").emit("chat"));
  await one.run(({ kept }, name) => kept.io.of(name).emit("odd"), name);
  await three.run(({ kept }) => kept.io.emit("admin"));
  await one.run(({ kept }) => kept.io.emit("root"));
  for (const client of [chat, odd, admin, root])
    await until(() => client.got.length === 1, "one event");
  assert.deepEqual([root.got, chat.got, odd.got, admin.got], [
    [["root"]],
    [["chat"]],
    [["odd"]],
    [["admin"]],
  ]);
  assert.equal(await one.run(({ kept }) => kept.io.of("/").adapter.serverCount()), 2);
});

const groupOf = (one) => one.run(({ group }) => group.name);

test("a server that is closed leaves the others, and the group goes on", async () => {
  const [one, two] = await servers(2, {}, { requestsTimeout: 120_000 });
  await two.run(({ kept }) => void kept.io.on("silent", (done) => void (kept.asked = done)));
  const asked = one.run(({ kept }) => kept.io.serverSideEmitWithAck("silent"));
  await until(() => two.run(({ kept }) => kept.asked !== undefined), "the question");
  await two.run(({ kept }) => kept.io.close());
  assert.deepEqual(await asked, [], "it is not waited for");
  await until(
    () => one.run(({ kept }) => kept.io.of("/").adapter.serverCount()).then((n) => n === 1),
    "one server",
  );
  assert.deepEqual(await one.run(({ kept }) => kept.io.serverSideEmitWithAck("ask")), []);
  assert.equal(await two.run(({ group }) => group.members.length), 2);
});

test("nonsense from a member is ignored", async () => {
  const [one, two] = await servers(2);
  const client = await connect(two.port);
  await one.run(async ({ group, require }) => {
    const send = (value) => group.publish("socket.io.main./.all", value);
    const message = (type, data) => Buffer.from(JSON.stringify({ uid: "x", nsp: "/", type, data }));
    await send("text");
    await send(Buffer.from("{"));
    await send(Buffer.from([1, 2, 3]));
    await send(Buffer.from("null"));
    // A structured clone can hold what no client can get.
    const { serialize } = require("node:v8");
    const packet = { type: 2, data: ["x", 1n] };
    const clone = { uid: "x", nsp: "/", type: 3, data: { packet, opts: { rooms: [], except: [] } } };
    await send(Buffer.concat([Buffer.of(1), serialize(clone)]));
    await send(message(3, { packet: null, opts: { rooms: [], except: [] } }));
    await send(message(3, { packet: { type: 2, data: ["x"] }, opts: {} }));
    await send(message(4, { opts: { rooms: [1], except: [] }, rooms: [] }));
    await send(message(9, { packet: "x", requestId: {} }));
    await send(message(99, {}));
    await send(Buffer.from('{"uid":"a.>","nsp":"/","type":9,"data":{"packet":[]}}'));
    const options = { timeout: 10_000 };
    const { failed } = await group.callAll("socket.io.main./", { nonsense: true }, options);
    if (failed.size !== 2) throw new Error("both refuse it");
  });
  await emit(one, "fine");
  await until(() => client.got.length > 0, "the event");
  assert.deepEqual(client.got, [["fine"]]);
});
