// Socket.IO's connection state recovery at another server, also after a kill.
"use strict";
const { test, until, within } = require("./harness.js");
const { member } = require("./members.js");
const { serve, servers, connect, emit } = require("./socket-io.js");
const { after } = require("node:test");
const assert = require("node:assert/strict");
const net = require("node:net");

const recovery = (maxDisconnectionDuration = 60_000) => ({
  connectionStateRecovery: { maxDisconnectionDuration },
});

/** What a load balancer does: new connections go to `target`; there are none without one. */
async function balancer() {
  const open = new Set();
  const proxy = net.createServer((incoming) => {
    if (proxy.target === undefined) return incoming.destroy();
    const outgoing = net.connect(proxy.target, "127.0.0.1");
    for (const [from, to] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ]) {
      open.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy()).on("close", () => open.delete(from) && to.destroy());
    }
  });
  /** Cuts all connections; the next ones go to `target`. */
  proxy.turn = (target) => {
    proxy.target = target;
    for (const socket of open) socket.destroy();
  };
  /** Lets the connections be, and forwards nothing any more. */
  proxy.freeze = () => {
    for (const socket of open) socket.unpipe().pause();
  };
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  proxies.add(proxy);
  return proxy;
}

const proxies = new Set();
after(() => {
  for (const proxy of proxies) {
    proxy.turn(undefined);
    proxy.close();
  }
});

/** A client that is connected to a server through a balancer of its own. */
async function behind(server, rooms) {
  const proxy = await balancer();
  proxy.turn(server.port);
  return { proxy, client: await connect(proxy.address().port, rooms) };
}

/** The numbers that a client got in events of one name, without their offsets. */
const numbers = (client, name) =>
  client.got.filter((event) => event[0] === name).map((event) => event[1]);

const upTo = (count) => Array.from({ length: count }, (_, n) => n);

for (const [how, end] of [
  [
    "was closed",
    async (server) => {
      await server.run(({ kept }) => kept.io.close());
      server.kill("SIGKILL");
    },
  ],
  ["was killed", (server) => server.kill("SIGKILL")],
]) {
  test(`a client gets at another server what it missed when its own ${how}`, async () => {
    const [one, two, three] = await servers(3, recovery());
    const { proxy, client } = await behind(one, ["red"]);
    const { id } = client;
    await emit(two, "n", 0);
    await until(() => client.got.length === 1, "an event with an offset");
    await one.run(({ kept }, id) => void (kept.io.sockets.sockets.get(id).data.x = 1), id);

    proxy.target = undefined;
    await end(one);
    await until(() => !client.connected, "its end");
    await two.run(({ kept }) => {
      for (let n = 1; n <= 20; n++) kept.io.emit("n", n);
      kept.io.to("blue").emit("blue", 0);
      kept.io.except("red").emit("not red", 0);
      kept.io.volatile.emit("volatile", 0);
    });
    await three.run(({ kept }, id) => {
      for (let n = 0; n < 5; n++) kept.io.to("red").emit("red", n, Buffer.from([n]));
      kept.io.to(id).emit("you", 0);
    }, id);
    proxy.turn(three.port);
    await until(() => client.connected, "a connection");
    await emit(two, "n", 21);
    await until(() => numbers(client, "n").length === 22, "all events");

    assert.equal(client.recovered, true);
    assert.equal(client.id, id);
    assert.deepEqual(numbers(client, "n"), upTo(22));
    assert.deepEqual(numbers(client, "red"), upTo(5));
    assert.deepEqual(client.got.find(([name]) => name === "red")[2], Buffer.from([0]));
    assert.deepEqual(numbers(client, "you"), [0]);
    for (const name of ["blue", "not red", "volatile"]) assert.deepEqual(numbers(client, name), []);
    await two.run(({ kept }) => kept.io.to("red").emit("red", 5));
    await until(() => numbers(client, "red").length === 6, "an event in its room");
    const data = await three.run(async ({ kept }) => (await kept.io.fetchSockets())[0].data);
    assert.equal(data.port, one.port, "the data of the session");
    if (how === "was closed") assert.equal(data.x, 1);
  });
}

test("clients that change servers all the time miss nothing and get nothing twice", async () => {
  const all = await servers(4, recovery());
  const roaming = [];
  for (let i = 0; i < 6; i++) {
    const { proxy, client } = await behind(all[i % 4]);
    client.recovers = [];
    client.on("connect", () => client.recovers.push(client.recovered));
    roaming.push({ proxy, client });
  }
  await emit(all[0], "n", 0, 0);
  await until(() => roaming.every(({ client }) => client.got.length === 1), "the first event");
  for (const one of all)
    await one.run(({ kept }, sender) => {
      let n = 1;
      kept.timer = setInterval(() => kept.io.emit("n", n++, sender), 3);
      kept.count = () => n;
    }, all.indexOf(one));
  for (let round = 1; round <= 12; round++) {
    for (const [i, { proxy, client }] of roaming.entries()) {
      const before = client.recovers.length;
      proxy.turn(all[(i + round) % 4].port);
      await until(() => client.recovers.length > before, "the next connection");
    }
  }
  const counts = await Promise.all(
    all.map((one) =>
      one.run(({ kept }) => {
        clearInterval(kept.timer);
        return kept.count();
      }),
    ),
  );
  for (const { client } of roaming) {
    assert.ok(client.recovers.every(Boolean), "each time its state was recovered");
    for (const [sender, count] of counts.entries()) {
      const seen = () => client.got.filter((event) => event[2] === sender);
      const first = sender === 0 ? 0 : 1;
      await until(() => seen().length >= count - first, "all events of one server");
      assert.deepEqual(
        seen().map((event) => event[1]),
        upTo(count).slice(first),
      );
    }
  }
});

test("a kill of the host in traffic takes nothing from a client that comes back", async () => {
  const [host, two, three] = await servers(3, recovery());
  assert.equal(await host.run(({ group }) => group.isHost), true);
  const { proxy, client } = await behind(host);
  for (const [sender, one] of [two, three].entries())
    await one.run(({ kept }, sender) => {
      let n = 0;
      kept.timer = setInterval(() => kept.io.emit("n", n++, sender), 1);
      kept.count = () => n;
    }, sender);
  await until(() => client.got.length > 200, "traffic");
  proxy.target = two.port;
  host.kill("SIGKILL");
  await until(() => client.connected && client.recovered, "its state");
  const before = client.got.length;
  await until(() => client.got.length > before + 200, "traffic after the kill");
  for (const [sender, one] of [two, three].entries()) {
    const count = await one.run(({ kept }) => {
      clearInterval(kept.timer);
      return kept.count();
    });
    const seen = () => client.got.filter((event) => event[2] === sender).map((event) => event[1]);
    await until(() => seen().length >= count, "all events of one server");
    assert.deepEqual(seen(), upTo(count));
  }
});

test("a client moves on while its old server still holds its dead connection", async () => {
  const [one, two] = await servers(2, { ...recovery(), pingTimeout: 60_000 });
  const { proxy, client } = await behind(one, ["red"]);
  const { id } = client;
  await emit(two, "n", 0);
  await until(() => client.got.length === 1, "an event with an offset");
  proxy.freeze();
  proxy.target = two.port;
  client.io.engine.close();
  await until(() => client.connected && client.recovered, "its state");
  assert.equal(client.id, id);
  const sockets = ({ kept }) => [...kept.io.sockets.sockets.keys()];
  await until(async () => (await one.run(sockets)).length === 0, "the end of the old connection");
  assert.deepEqual(await two.run(sockets), [id]);
  await emit(one, "n", 1);
  await until(() => client.got.length === 2, "the next event");
});

test("sessions end with their time, and the group keeps nothing of them", async () => {
  const [one, two, three] = await servers(3, recovery(600));
  const kept = ({ group }) =>
    ["packets", "sessions"].map((name) => {
      const keys = [...group.map(`socket.io.main./ ${name}`).keys()];
      return keys.filter((key) => key !== "trimmed").length;
    });
  const { proxy, client } = await behind(one);
  const polite = await connect(two.port);
  const killed = await connect(three.port, [], { reconnection: false });
  await emit(two, "n", 0);
  for (const each of [client, polite, killed])
    await until(() => each.got.length === 1, "an event with an offset");
  await until(async () => (await two.run(kept))[1] === 3, "three sessions");
  proxy.turn(undefined);
  polite.disconnect();
  three.kill("SIGKILL");
  await until(async () => (await two.run(kept)).join() === "0,0", "nothing is kept");
  proxy.turn(two.port);
  await until(() => client.connected, "a connection");
  assert.equal(client.recovered, false);
});

test("the packets that are kept are bounded", { timeout: 90_000 }, async () => {
  const limits = { maxPackets: 50, maxPacketBytes: 40_000 };
  const [one, two] = await servers(2, recovery(), limits);
  const client = await connect(two.port);
  await one.run(({ kept }) => {
    for (let n = 0; n < 300; n++) kept.io.emit("n", n, "x".repeat(1_000));
  });
  await until(() => client.got.length === 300, "all events");
  const count = ({ group }) => [...group.map("socket.io.main./ packets").keys()].length;
  // A slow server has time to get them.
  await until(async () => (await two.run(count)) <= 41, "as many as fit", 40_000);
  assert.ok((await one.run(count)) > 20);
});

test("a server that was put out gives its clients what they missed when it is back", async () => {
  const [one, two] = await servers(2, recovery(), {}, { stallTimeout: 500 });
  const client = await connect(one.port, ["red"]);
  const { id } = client;
  await emit(two, "n", 0);
  await until(() => client.got.length === 1, "an event with an offset");
  one.kill("SIGSTOP");
  const alone = ({ group }) => group.members.length === 1;
  await until(async () => {
    await two.run(({ kept }) => void kept.io.emit("filler"));
    return two.run(alone);
  }, "that it is put out");
  await emit(two, "n", 1);
  one.kill("SIGCONT");
  await until(() => numbers(client, "n").length === 2, "what it missed");
  await emit(two, "n", 2);
  await until(() => numbers(client, "n").length === 3, "the next event");
  assert.deepEqual(numbers(client, "n"), [0, 1, 2]);

  // Its sessions are its own again.
  const session = ({ group }) => [...group.map("socket.io.main./ sessions").values()];
  const owner = async () => JSON.parse(Buffer.from((await two.run(session))[0])).member;
  const back = () => one.run(({ group }) => group.id);
  await until(async () => (await owner()) === (await back()), "the session");
  assert.equal(client.id, id);
});

test("packets that find no place in the log arrive once, and a warning says so", async () => {
  const [one, two] = await servers(2, recovery(), {}, { mapBytes: 30_000 });
  await one.run(({ kept }) => {
    kept.warnings = [];
    process.on("warning", (warning) => kept.warnings.push(warning.code));
  });
  const { proxy, client: away } = await behind(two);
  const near = await connect(one.port);
  const far = await connect(two.port);
  await emit(one, "n", 0);
  for (const client of [away, near, far])
    await until(() => client.got.length === 1, "an event with an offset");
  proxy.turn(undefined);
  await until(() => !away.connected, "its end");
  await one.run(({ kept }) => {
    for (let n = 1; n < 100; n++) kept.io.emit("n", n, "x".repeat(1_000));
  });
  for (const client of [near, far]) {
    await until(() => client.got.length >= 100, "all events");
    assert.deepEqual(numbers(client, "n").sort((a, b) => a - b), upTo(100));
  }
  const warnings = await one.run(({ kept }) => kept.warnings);
  assert.deepEqual(warnings, ["ERR_OPEN_CHANNEL_MAP_FULL"]);
  proxy.turn(two.port);
  await until(() => away.connected, "a connection");
  assert.equal(away.recovered, false, "it would have missed some");
});

test("a newcomer recovers clients of servers that are gone", async () => {
  const [one, two] = await servers(2, recovery());
  const { proxy, client } = await behind(one, ["red"]);
  await emit(two, "n", 0);
  await until(() => client.got.length === 1, "an event with an offset");
  proxy.target = undefined;
  one.kill("SIGKILL");
  await until(() => !client.connected, "its end");
  await emit(two, "n", 1);
  const late = await member(await two.run(({ group }) => group.name));
  await serve(late, recovery());
  await two.run(({ kept }) => kept.io.close());
  proxy.turn(late.port);
  await until(() => client.connected, "a connection");
  assert.equal(client.recovered, true);
  await until(() => client.got.length === 2, "what it missed");
});

test("a session is restored once, and nonsense from clients is no session", async () => {
  const [one] = await servers(1, recovery());
  const client = await connect(one.port);
  await emit(one, "n", 0);
  await until(() => client.got.length === 1, "an event with an offset");
  const pid = client._pid;
  const offset = client._lastOffset;
  client.io.engine.close();
  await until(() => !client.connected, "its end");
  client.io.reconnection(false);
  const restore = (pid, offset) =>
    one.run(
      async ({ kept }, pid, offset) => {
        const { adapter } = kept.io.of("/");
        return (await adapter.restoreSession(pid, offset)) !== undefined;
      },
      pid,
      offset,
    );
  const far = `999999999.${offset.split(".")[1]}.1`;
  const odd = ["", ".", "a.b", "x".repeat(100_000), "\0", "__proto__", "-1.x.1", far];
  for (const text of odd) assert.equal(await within(restore("none", text), "no"), false);
  for (const text of odd) assert.equal(await restore(text, offset), false);
  assert.equal(await restore(pid, offset), true);
  assert.equal(await restore(pid, offset), false);
});

test("a server waits until it has what a client has seen elsewhere", async () => {
  const [one, two] = await servers(2, recovery());
  const client = await connect(one.port);
  await emit(two, "n", 0);
  await until(() => client.got.length === 1, "an event with an offset");
  const [revision, uid] = client._lastOffset.split(".");
  client.io.reconnection(false);
  client.io.engine.close();
  await until(() => !client.connected, "its end");
  // As if it had come from a server that had the next packet before this one.
  const restored = two.run(
    async ({ kept }, pid, offset) => {
      kept.restoring = kept.io.of("/").adapter.restoreSession(pid, offset);
      const session = await kept.restoring;
      return session?.missedPackets.length;
    },
    client._pid,
    `${Number(revision) + 1}.${uid}.0`,
  );
  await until(() => two.run(({ kept }) => kept.restoring !== undefined), "the wait");
  await emit(one, "n", 1);
  assert.equal(await restored, 1);
});

test("data that cannot be sent is no session, with a warning, and hurts nobody", async () => {
  const [one] = await servers(1, recovery());
  await one.run(({ kept }) => {
    process.on("warning", (warning) => (kept.warning = warning.message));
    kept.io.use((socket, next) => {
      socket.data.self = socket.data;
      next();
    });
  });
  const client = await connect(one.port);
  await emit(one, "n", 0);
  await until(() => client.got.length === 1, "an event");
  assert.match(await one.run(({ kept }) => kept.warning), /socket\.data cannot be sent/);
});
