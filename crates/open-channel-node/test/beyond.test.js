// The features of the channel beyond the original.
"use strict";
const {
  test,
  until,
  within,
  next,
  unique,
  node,
  fixture,
  scratch,
  Ledger,
} = require("./harness.js");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { Worker } = require("node:worker_threads");
const { openChannel, Message } = require("..");


test("role, generation and events say what this process is", async () => {
  const name = unique();
  const channel = openChannel(name, (socket) => socket.resume());
  assert.equal(channel.role, "none");
  assert.equal(channel.generation, 0);
  const hosting = next(channel, "host");
  const socket = channel.connect();
  const [generation] = await hosting;
  assert.equal(channel.role, "host");
  assert.equal(channel.generation, generation);
  assert.ok(generation >= 1);
  const other = openChannel(name, () => assert.fail("there is a host"));
  const joined = next(other, "peer");
  const second = other.connect();
  assert.deepEqual(await joined, [generation]);
  assert.equal(other.role, "peer");
  second.destroy();
  socket.destroy();
  await other.close();
  await channel.close();
  assert.equal(channel.state, "closed");
});

test("closing the host hands over: nothing lost, no error, the generation grows", async () => {
  const name = unique();
  const got = [];
  const listener = (who) => (socket) =>
    socket.on("data", (data) => got.push([who, Number(String(data))]));
  const first = openChannel(name, listener("first"));
  const one = first.connect();
  await next(one, "connect");
  const second = openChannel(name, listener("second"));
  const socket = second.connect();
  await next(socket, "connect");
  socket.on("error", assert.fail);
  const before = second.generation;
  const failover = next(second, "failover");
  let n = 0;
  const writing = setInterval(() => socket.write(String(++n)), 1);
  await until(() => got.length > 20);
  await first.close();
  const [{ from, to, role }] = await failover;
  assert.equal(role, "host");
  assert.equal(from, before);
  assert.ok(to > from);
  await until(() => got.some(([who]) => who === "second"), "messages at the new host");
  clearInterval(writing);
  await socket.flush();
  assert.deepEqual(
    [...new Set(got.map(([, n]) => n))].sort((a, b) => a - b),
    Array.from({ length: n }, (_, i) => i + 1),
  );
  assert.equal(one.destroyed, true);
  await second.close();
});

test("a message listener that is attached late gets everything from the first message on", async () => {
  const got = [];
  const channel = openChannel({ name: unique(), app: "late" }, async (socket) => {
    await until(() => socket.stats().received === 2, "the messages");
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    socket.on("message", ({ data, seq }) => got.push(`${seq} ${data}`));
  });
  const socket = channel.connect();
  socket.write("a");
  socket.write("b");
  await within(socket.flush(), "flush");
  assert.deepEqual(got, ["1 a", "2 b"]);
  await channel.close();
});

test("a paused socket has no message events, and all of them when it is resumed", async () => {
  const got = [];
  let accepted;
  const channel = openChannel({ name: unique(), app: "paused" }, (socket) => {
    accepted = socket.pause().on("message", ({ data }) => got.push(String(data)));
  });
  const socket = channel.connect();
  socket.write("a");
  socket.write("b");
  await until(() => accepted?.stats().received === 2, "the messages");
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.deepEqual(got, []);
  accepted.resume();
  await within(socket.flush(), "flush");
  assert.deepEqual(got, ["a", "b"]);
  await channel.close();
});

for (const [how, attach] of [
  ["that pauses and resumes", (socket, note) => socket.on("data", (data) => {
    note(data);
    socket.pause();
    setImmediate(() => socket.resume());
  })],
  ["that is attached late", async (socket, note) => {
    await until(() => socket.stats().received === 3, "the messages");
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    socket.on("data", note);
  }],
  ["beside one of readable", (socket, note) => socket.on("data", note).on("readable", () => {
    while (socket.read() !== null);
  })],
]) {
  test(`a data listener ${how} finds each message described`, async () => {
    const got = [];
    const channel = openChannel({ name: unique(), app: "described" }, (socket) => {
      const note = (data) =>
        got.push([String(data), socket.message?.seq, String(socket.message?.data)]);
      attach(socket, note);
    });
    const socket = channel.connect();
    for (const message of ["a", "b", "c"]) socket.write(message);
    await within(socket.flush(), "flush");
    assert.deepEqual(got, [["a", 1, "a"], ["b", 2, "b"], ["c", 3, "c"]]);
    await channel.close();
  });
}

test("flush resolves when everything written was handled", async () => {
  let handled = 0;
  const channel = openChannel(unique(), (socket) => socket.on("data", () => handled++));
  const socket = channel.connect();
  for (let i = 0; i < 5000; i++) socket.write(`message ${i}`);
  await within(socket.flush(), "flush");
  assert.equal(handled, 5000);
  await socket.flush();
  socket.destroy();
  await assert.rejects(socket.flush(), { code: "EPIPE" });
});

test("with manual acknowledgement a message is done when its handler says so", async () => {
  const messages = [];
  const channel = openChannel({ name: unique(), acknowledge: "manual" }, (socket) => {
    socket.on("message", (message) => messages.push(message));
    socket.on("data", () => assert.fail("no data events in manual mode"));
  });
  const socket = channel.connect();
  socket.write("one");
  socket.write("two");
  let flushed = false;
  const flush = socket.flush().then(() => (flushed = true));
  await until(() => messages.length === 2);
  const [one, two] = messages;
  assert.ok(one instanceof Message);
  assert.equal(String(one.data), "one");
  assert.equal(one.redelivered, false);
  assert.equal(one.acknowledged, false);
  assert.equal(one.id, `${socket.id}/${one.seq}`);
  assert.equal(two.seq, one.seq + 1);
  two.ack();
  two.ack();
  assert.equal(two.acknowledged, true);
  // Time in which a wrong flush would resolve.
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(flushed, false);
  one.ack();
  await within(flush, "flush");
  socket.destroy();
  await channel.close();
});

test("a message that was not acknowledged comes to the next host, marked, with the same id", async () => {
  const name = unique();
  const ledger = path.join(scratch, unique());
  fs.writeFileSync(ledger, "");
  const options = { name, scope: "app", app: "manual" };
  const host = node(fixture("stubborn.js"), [], { env: { NAME: name, LEDGER: ledger } });
  await host.line("hosting");
  const again = [];
  const channel = openChannel({ ...options, acknowledge: "manual" }, (socket) => {
    socket.on("message", (message) => {
      again.push(message);
      message.ack();
    });
  });
  const socket = channel.connect();
  for (let i = 1; i <= 2; i++) socket.write(String(i));
  await socket.flush(); // what it acknowledged is known here
  for (let i = 3; i <= 5; i++) socket.write(String(i));
  await host.line("seen 5");
  host.kill("SIGKILL");
  await until(() => again.length === 3, "the rest at the new host");
  assert.deepEqual(
    again.map((message) => [String(message.data), message.redelivered]),
    [
      ["3", true],
      ["4", true],
      ["5", true],
    ],
  );
  const first = host.lines.filter((line) => line.startsWith("id ")).map((line) => line.slice(3));
  assert.deepEqual(again.map((message) => message.id), first.slice(2));
  await within(socket.flush(), "flush");
  socket.destroy();
  await channel.close();
});

test("an uncaught exception in a handler leaves the message to the next host", async () => {
  const name = unique();
  const host = node(fixture("crashing.js"), [], {
    env: { NAME: name },
    stdio: ["pipe", "pipe", "ignore"],
  });
  await host.line("hosting");
  const got = [];
  const channel = openChannel({ name, app: "crashing" }, (socket) => {
    socket.on("data", (data) => got.push([String(data), socket.message.redelivered]));
  });
  const socket = channel.connect();
  await next(socket, "connect");
  socket.write("fine");
  socket.write("poison");
  socket.write("later");
  assert.equal((await within(host.ended, "the crash")).code, 1);
  await until(() => got.some(([text]) => text === "later"), "the rest");
  assert.deepEqual(
    got.filter(([text]) => text !== "fine").map(([text]) => text),
    ["poison", "later"],
  );
  assert.equal(got.find(([text]) => text === "poison")[1], true);
  socket.destroy();
  await channel.close();
});

test("closing twice closes once", async () => {
  const channel = openChannel(unique(), () => {});
  let closed = 0;
  channel.on("close", () => closed++);
  await channel.join();
  await Promise.all([channel.close(), channel.close()]);
  await channel.close();
  assert.equal(closed, 1);
  assert.equal(await channel.join(), "host");
  await channel.close();
  assert.equal(closed, 2);
});

test("a message over the limit is refused with EMSGSIZE, and nothing else is lost", async () => {
  const got = [];
  const channel = openChannel({ name: unique(), maxMessage: 1000 }, (socket) =>
    socket.on("data", (data) => got.push(data.length)),
  );
  const socket = channel.connect();
  socket.write(Buffer.alloc(1000));
  assert.throws(() => socket.write(Buffer.alloc(1001)), { code: "EMSGSIZE" });
  assert.throws(() => socket.write("ü".repeat(501)), { code: "EMSGSIZE" });
  assert.throws(() => socket.end(Buffer.alloc(1001)), { code: "EMSGSIZE" });
  socket.write(Buffer.alloc(10));
  await new Promise((resolve) => socket.end("ü".repeat(499), "utf8", resolve));
  assert.deepEqual(got, [1000, 10, 998]);
  for (const nothing of [[], [null], [undefined, "utf8"]]) {
    const other = channel.connect();
    await next(other, "connect");
    await new Promise((resolve) => other.end(...nothing, resolve));
  }
});

test("the default limit is 64 MiB: a message of that size arrives, a longer one is refused", async () => {
  const limit = 64 * 1024 * 1024;
  const channel = openChannel(unique(), (socket) =>
    socket.on("data", (data) => socket.write(String(data.length))),
  );
  const socket = channel.connect();
  assert.throws(() => socket.write(Buffer.alloc(limit + 1)), { code: "EMSGSIZE" });
  socket.write(Buffer.alloc(limit));
  assert.equal(String((await next(socket, "data"))[0]), String(limit));
  socket.destroy();
});

test("two scripts with one name are apart, unless the scope is the user", async () => {
  const name = unique();
  const apart = [fixture("scope-a.js"), fixture("scope-b.js")];
  for (const [options, together] of [
    [{ name }, false],
    [{ name: unique(), scope: "user" }, true],
    [{ name: unique(), app: "both" }, true],
  ]) {
    const members = apart.map((script) => node(script, [JSON.stringify(options)]));
    const roles = await Promise.all(members.map((member) => member.line(/^(host|peer)$/)));
    assert.equal(
      roles.filter((role) => role === "host").length,
      together ? 1 : 2,
      JSON.stringify(options),
    );
    members.forEach((member) => member.stdin.end());
    await Promise.all(members.map((member) => within(member.ended, "the end")));
  }
});

test("a bad name or option is refused at once, with a code", () => {
  const open = (options) => () => openChannel({ name: unique(), ...options }, () => {});
  assert.throws(open({ name: "" }), { code: "EINVAL" });
  assert.throws(open({ name: "x".repeat(256) }), { code: "ENAMETOOLONG" });
  for (const options of [
    { name: 5 },
    { app: 5 },
    { runtimeDir: 5 },
    { generationFile: 5 },
    { host: "yes" },
    { allowHalfOpen: 1 },
    { connectTimeout: "5" },
    { maxMessage: null },
  ]) {
    assert.throws(
      open(options),
      { name: "TypeError", code: "ERR_INVALID_ARG_TYPE" },
      JSON.stringify(options),
    );
  }
  const wrong = [
    { scope: "all" },
    { acknowledge: "later" },
    { connectTimeout: -1 },
    { connectTimeout: NaN },
    { connectTimeout: 0 },
  ];
  for (const options of [
    ...wrong,
    { hostTimeout: 10 },
    { maxMessage: 0 },
    { maxMessage: 2 ** 40 },
    { maxConnections: 0 },
  ]) {
    assert.throws(
      open(options),
      (error) => error.code === "EINVAL" && error.message.length > 30,
      JSON.stringify(options),
    );
  }
  assert.throws(() => openChannel(unique()).connect(-1), { code: "EINVAL" });
  assert.throws(() => openChannel(unique()).connect("5000"), { code: "ERR_INVALID_ARG_TYPE" });
});

test("a directory that lets others in is EACCES, and the message says what to do", async () => {
  const runtimeDir = path.join(scratch, unique());
  fs.mkdirSync(runtimeDir);
  fs.chmodSync(runtimeDir, 0o777);
  const channel = openChannel({ name: unique(), runtimeDir }, () => {});
  const [error] = await next(channel.connect(), "error");
  assert.equal(error.code, "EACCES");
  assert.equal(error.errno, -13);
  assert.match(error.message, /chmod 700/);
  assert.ok(error.message.includes(runtimeDir));
  await assert.rejects(channel.join(), { code: "EACCES" });
  assert.equal(channel.state, "closed");
  fs.chmodSync(runtimeDir, 0o700);
  await next(channel.connect(), "connect");
  await channel.close();
});

test("the generation goes on in its file when the runtime directory is gone", async () => {
  const [runtimeDir, generationFile] = [path.join(scratch, unique()), path.join(scratch, unique())];
  const name = unique();
  for (const generation of [1, 2, 3]) {
    const channel = openChannel({ name, runtimeDir, generationFile }, () => {});
    const { directory } = channel;
    assert.equal(path.dirname(directory), runtimeDir);
    await channel.join();
    assert.deepEqual([channel.generation, channel.directory], [generation, directory]);
    await channel.close();
    fs.rmSync(runtimeDir, { recursive: true });
  }
  fs.writeFileSync(generationFile, "not a number");
  const channel = openChannel({ name, runtimeDir, generationFile }, () => {});
  await assert.rejects(channel.join(), { code: "EINVAL", message: /one decimal number/ });
});

test("the news of a failed attempt does not hurt the next one", async () => {
  const channel = openChannel({ name: unique(), connectTimeout: 20, host: false }, () => {});
  const host = openChannel(channel.name, (socket) => socket.resume());
  for (let round = 0; round < 20; round++)
    await assert.rejects(channel.join(), { code: "ETIMEDOUT" });
  const paused = channel.connect();
  const [error] = await next(paused.pause(), "error");
  assert.equal(error.code, "ETIMEDOUT", "nobody has to read to be notified");
  await assert.rejects(channel.join(), { code: "ETIMEDOUT" });
  await host.join();
  const socket = channel.connect(5000); // at once after the failure
  await next(socket, "connect");
  assert.equal(channel.state, "connected");
  socket.destroy();
  await host.close();
});

test("a host that has its connections refuses the next with ECONNREFUSED", async () => {
  const name = unique();
  const host = openChannel({ name, maxConnections: 1 }, (socket) => socket.resume());
  const first = host.connect();
  await next(first, "connect");
  const [error] = await next(openChannel(name).connect(), "error");
  assert.equal(error.code, "ECONNREFUSED");
  assert.match(error.message, /raise maxConnections/);
  await host.close();
});

test("the limits of a socket are options", async () => {
  const name = unique();
  const options = { name, outboxBytes: 10_000, receiveWindow: 10_000 };
  const channel = openChannel(options, (socket) => socket.on("data", () => {}).pause());
  const socket = channel.connect();
  let accepted = 0;
  const write = () => socket.write(Buffer.alloc(1000), (error) => error || (accepted++, write()));
  write();
  // A message counts 64 bytes more than it has.
  await until(() => accepted >= 9, "a full outbox");
  await new Promise(setImmediate);
  assert.equal(accepted, 9);
  assert.equal(socket.bytesWritten, 10_000);
  socket.destroy();
  await channel.close();
});

test("close waits for a reader that does not read, but not for ever", async () => {
  const channel = openChannel({ name: unique(), hostTimeout: 200 }, (socket) =>
    socket.on("data", () => {}).pause(),
  );
  const socket = channel.connect();
  socket.write("unread");
  await next(socket, "connect");
  await assert.rejects(within(channel.close(), "the end of close"), { code: /^E/ });
  assert.equal(socket.destroyed, true);
  assert.equal(channel.state, "closed");
});

test("joining takes part without a socket, and without running anybody's listener", async () => {
  const name = unique();
  let connections = 0;
  const host = openChannel(name, () => connections++);
  assert.equal(await host.join(), "host");
  assert.equal(host.state, "connected");
  const tool = openChannel(name);
  const joining = tool.join();
  assert.equal(tool.state, "connecting");
  assert.equal(await joining, "peer");
  assert.deepEqual(
    [tool.role, tool.generation, tool.state],
    ["peer", host.generation, "connected"],
  );
  assert.equal(connections, 0);
  const lost = next(tool, "handover");
  await host.close();
  await lost;
  assert.equal(tool.state, "connecting");
  await tool.close();
  assert.equal(tool.state, "closed");
  await assert.rejects(openChannel({ name, connectTimeout: 100 }).join(), { code: "ETIMEDOUT" });
});

test("worker threads meet each other and their main thread", async () => {
  const script = node(fixture("threads.js"));
  assert.deepEqual(await within(script.ended, "its end"), { code: 0, signal: null });
  assert.deepEqual(script.lines.at(-1), "4 threads, 1 host");
});

test("a terminated worker thread that hosts is replaced, and nothing is lost", async () => {
  const ledger = new Ledger();
  const env = {
    ...process.env,
    LEDGER: ledger.file,
    CHANNEL: unique(),
    OPTIONS: JSON.stringify({ app: "threads" }),
  };
  const workers = [0, 1, 2].map(() => new Worker(fixture("member.js"), { env }));
  await until(
    () => ledger.entries().filter((entry) => entry.connected).length === 3,
    "three threads",
  );
  await until(() => ledger.handled > 100);
  const host = ledger.entries().find((entry) => entry.handled).by;
  const hosting = workers.find((worker) => host.endsWith(`.${worker.threadId}`));
  await hosting.terminate();
  const before = ledger.handled;
  await until(() => ledger.handled > before + 100, "messages at the next host");
  const rest = workers.filter((worker) => worker !== hosting);
  rest.forEach((worker) => worker.postMessage("leave"));
  await Promise.all(
    rest.map((worker) =>
      within(new Promise((resolve) => worker.once("exit", resolve)), "its exit"),
    ),
  );
  const figures = ledger.audit();
  assert.equal(figures.lost, 0);
  assert.equal(figures.duplicatesUnmarked, 0);
});
