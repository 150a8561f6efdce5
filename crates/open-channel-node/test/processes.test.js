// Real processes, killed for real, under numbered traffic.
"use strict";
const { test, until, within, unique, adopt, node, fixture, Ledger } = require("./harness.js");
const assert = require("node:assert/strict");
const { fork } = require("node:child_process");
const { randomBytes } = require("node:crypto");
const { once } = require("node:events");
const { openChannel } = require("..");


/** Kills whichever process handles messages, twice, and then lets everybody finish. */
async function ordeal(t, ledger, count, end) {
  await until(
    () =>
      new Set(
        ledger
          .entries()
          .filter((entry) => entry.connected)
          .map((entry) => entry.connected),
      ).size >= count,
    "everybody is connected",
  );
  await until(() => ledger.handled > 200, "traffic");
  const killed = [];
  for (let round = 0; round < 2; round++) {
    const host = Number(ledger.entries().filter((entry) => entry.handled).at(-1).by.split(".")[0]);
    process.kill(host, "SIGKILL");
    killed.push(host);
    const handledByOthers = () =>
      ledger
        .entries()
        .filter((entry) => entry.handled && !killed.includes(Number(entry.by.split(".")[0])))
        .length;
    const before = handledByOthers();
    await until(() => handledByOthers() > before + 200, "traffic at the next host");
  }
  await end(killed);
  const figures = ledger.audit();
  t.diagnostic(JSON.stringify(figures));
  assert.ok(figures.writers >= count - 2, "writers that finished");
  assert.equal(figures.lost, 0, "lost");
  assert.equal(figures.duplicatesUnmarked, 0, "duplicates without the mark");
  assert.equal(figures.disordered, 0, "out of order");
  const generations = ledger
    .entries()
    .filter((entry) => entry.host)
    .map((entry) => entry.generation);
  assert.deepEqual(
    generations,
    [...generations].sort((a, b) => a - b),
    "generations grow",
  );
  assert.equal(new Set(generations).size, generations.length, "one host to a generation");
}

test("independent processes: the host is killed, nothing is lost", async (t) => {
  const ledger = new Ledger();
  const env = { LEDGER: ledger.file, CHANNEL: unique() };
  const members = Array.from({ length: 5 }, () => node(fixture("member.js"), [], { env }));
  await ordeal(t, ledger, 5, async (killed) => {
    for (const member of members) if (!killed.includes(member.pid)) member.kill("SIGTERM");
    await Promise.all(members.map((member) => within(member.ended, "its end")));
  });
});

test("children of child_process.fork: the host is killed, nothing is lost", async (t) => {
  const ledger = new Ledger();
  const env = { ...process.env, LEDGER: ledger.file, CHANNEL: unique() };
  const members = Array.from({ length: 4 }, () => adopt(fork(fixture("member.js"), { env })));
  const exits = members.map((member) => once(member, "exit"));
  await ordeal(t, ledger, 4, async (killed) => {
    for (const member of members) if (!killed.includes(member.pid)) member.kill("SIGTERM");
    await Promise.all(exits.map((exit) => within(exit, "its end")));
  });
});

test("four workers of a cluster: the host is killed, nothing is lost", async (t) => {
  const ledger = new Ledger();
  const primary = node(fixture("cluster.js"), [], {
    env: { LEDGER: ledger.file, CHANNEL: unique() },
  });
  await ordeal(t, ledger, 4, async () => {
    primary.kill("SIGTERM");
    assert.equal((await within(primary.ended, "its end")).code, 0);
  });
});

test("a host whose event loop is blocked for more than three seconds stays the host, and loses nothing", async () => {
  const name = unique();
  const host = node(fixture("blocking.js"), [], { env: { NAME: name } });
  await host.line("hosting");
  const { openChannel } = require("..");
  const channel = openChannel({ name, app: "blocking" }, () =>
    assert.fail("the blocked process hosts"),
  );
  const socket = channel.connect();
  await within(once(socket, "connect"), "a connection");
  const { generation } = channel;
  let answers = 0;
  socket.on("data", () => answers++);
  socket.write("block");
  for (let i = 0; i < 1000; i++) socket.write("work");
  await until(() => answers === 1001, "all answers", 20_000);
  assert.equal(channel.role, "peer");
  assert.equal(channel.generation, generation);
  socket.destroy();
  host.kill("SIGKILL");
});

test("waiting for the next host takes no processor time", async (t) => {
  const name = unique();
  const env = { NAME: name };
  const host = node(fixture("gap.js"), ["host"], { env });
  await host.line("hosting");
  const peer = node(fixture("gap.js"), ["peer"], { env });
  await Promise.all([host.line("settled"), peer.line("settled")]);
  host.kill("SIGKILL");
  const milliseconds = Number((await peer.line(/^used/)).split(" ")[1]);
  t.diagnostic(`${milliseconds} ms of processor time in half a second`);
  assert.ok(milliseconds < 150, `${milliseconds} ms`);
});

test("a peer whose event loop is blocked for more than three seconds keeps its connection, and loses nothing", async () => {
  const { openChannel } = require("..");
  const name = unique();
  let got = 0;
  let connections = 0;
  const channel = openChannel({ name, app: "blocking" }, (socket) => {
    connections++;
    socket.on("data", (data) => {
      got++;
      socket.write(data);
    });
  });
  await channel.join();
  const { generation } = channel;
  const peer = node(fixture("blocking.js"), [], { env: { NAME: name } });
  await peer.line("connected");
  peer.stdin.write("block");
  await peer.line("all answers");
  assert.deepEqual([got, connections], [1000, 1]);
  assert.equal(peer.lines.filter((line) => line === "connected").length, 1);
  assert.equal(channel.generation, generation);
  peer.kill("SIGKILL");
  await channel.close();
});

test("questions and answers of every size arrive whole, in order, between two processes", async () => {
  const name = unique();
  const host = node(fixture("echo.js"), [], { env: { CHANNEL: name } });
  await until(() => host.lines.length > 0, "the host");
  const small = openChannel({ name, app: "echo", ringBytes: 4096 }).connect();
  const question = randomBytes(100_000);
  small.write(question);
  const [answer] = await within(once(small, "data"), "the answer through a small ring");
  assert.ok(answer.equals(question));
  assert.equal(small.link, "ring");
  small.destroy();
  const socket = openChannel({ name, app: "echo" }).connect();
  for (const size of [
    1, 64, 65, 8191, 8192, 8193, 65535, 65536, 65537, 131_072, 200_000, 3_000_000,
  ]) {
    const [question, second] = [randomBytes(size), randomBytes(size)];
    const answers = [];
    socket.on("data", (data) => answers.push(data));
    socket.write(question);
    socket.write(second);
    await until(() => answers.length === 2, `two answers of ${size} bytes`);
    assert.ok(answers[0].equals(question) && answers[1].equals(second), `${size} bytes`);
    socket.removeAllListeners("data");
  }
  assert.equal(socket.link, "ring");
  socket.destroy();
  host.stdin.end();
  assert.equal((await within(host.ended, "its end")).code, 0);
});
