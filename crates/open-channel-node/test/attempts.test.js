// Attempts are counted and limited; what nobody will handle comes back.
"use strict";
const { test, until, within, next, node, fixture, unique } = require("./harness.js");
const assert = require("node:assert/strict");
const { AsyncLocalStorage } = require("node:async_hooks");
const { openChannel } = require("..");

/** Workers that are started again when they die, as a process manager does. */
class Workers {
  #channel;
  #stopped = false;
  crashes = 0;
  all = [];

  constructor(channel, count) {
    this.#channel = channel;
    for (let i = 0; i < count; i++) this.#start();
  }

  #start() {
    const worker = node(fixture("poisoned.js"), [], {
      env: { CHANNEL: this.#channel },
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.all.push(worker);
    worker.once("exit", () => {
      if (this.#stopped) return;
      this.crashes++;
      this.#start();
    });
  }

  get lines() {
    return this.all.flatMap((worker) => worker.lines);
  }

  stop() {
    this.#stopped = true;
    for (const worker of this.all) worker.kill("SIGKILL");
  }
}

test("a message that kills every worker kills as many as it has attempts, and those behind it are handled", async (t) => {
  const name = unique();
  const workers = new Workers(name, 4);
  t.after(() => workers.stop());
  await until(() => workers.lines.filter((line) => line === "joined").length >= 4, "four workers");

  const channel = openChannel({ name, app: "poisoned", maxAttempts: 3, connectTimeout: 30_000 });
  const socket = channel.connect();
  const undeliverable = next(socket, "undeliverable");
  await next(socket, "connect");
  socket.write("before");
  await within(socket.flush(), "what is before it");
  for (const message of ["poison", "behind 1", "behind 2"]) socket.write(message);

  const [message] = await undeliverable;
  assert.equal(String(message.data), "poison");
  assert.deepEqual([message.seq, message.attempts, message.id], [2, 3, `${socket.id}/2`]);
  assert.equal(typeof message.reason, "string");
  const flushed = await within(
    socket.flush().then(
      () => "handled",
      (error) => error.code,
    ),
    "flush",
  );
  assert.equal(flushed, "EUNDELIVERABLE");
  await within(socket.flush(), "another flush");

  const handled = (text) => workers.lines.filter((line) => line.startsWith(`handled ${text},`));
  await until(() => handled("behind 2").length > 0, "what is behind it");
  assert.equal(handled("behind 1").length, 1);
  assert.ok(
    handled("behind 1")[0].endsWith("attempt 1") || handled("behind 1")[0].endsWith("attempt 2"),
    handled("behind 1")[0],
  );
  await until(() => workers.crashes >= 3, "the end of the last worker that had it");
  assert.equal(workers.crashes, 3);
  await channel.close();
});

test("a limit of attempts is from 1 to 64", () => {
  for (const maxAttempts of [0, 65, -1]) {
    assert.throws(() => openChannel({ name: unique(), maxAttempts }), { code: "EINVAL" });
  }
  assert.throws(() => openChannel({ name: unique(), maxAttempts: "3" }), {
    code: "ERR_INVALID_ARG_TYPE",
  });
  for (const maxAttempts of [1, 64, Infinity]) openChannel({ name: unique(), maxAttempts });
});

test("a first attempt is the first", async () => {
  const channel = openChannel({ name: unique(), app: "first-attempt" }, (socket) => {
    socket.on("message", (message) => socket.write(`${message.attempt} ${message.redelivered}`));
    socket.resume();
  });
  const socket = channel.connect();
  socket.write("one");
  const [answer] = await next(socket, "data");
  assert.equal(String(answer), "1 false");
  await channel.close();
});

for (const acknowledge of ["auto", "manual"]) {
  test(`a message is given back and comes again, with ${acknowledge} acknowledgement`, async () => {
    const seen = [];
    const channel = openChannel({ name: unique(), app: "giving-back", acknowledge }, (socket) => {
      socket.on("message", (message) => {
        seen.push(`${message.data} ${message.attempt}`);
        if (String(message.data) === "again" && message.attempt < 4) return message.nack();
        if (String(message.data) === "later" && message.attempt === 1) return message.nack(50);
        if (String(message.data) === "never") return message.reject("no such job");
        message.ack();
      });
      socket.resume();
    });
    const socket = channel.connect();
    const undeliverable = next(socket, "undeliverable");
    for (const text of ["again", "later", "never", "last"]) socket.write(text);
    const [message] = await undeliverable;
    assert.equal(String(message.data), "never");
    assert.match(message.reason, /no such job/);
    await assert.rejects(within(socket.flush(), "flush"), { code: "EUNDELIVERABLE" });
    await within(socket.flush(), "another flush");
    const all = (text) => seen.filter((line) => line.startsWith(text));
    assert.deepEqual(all("again"), ["again 1", "again 2", "again 3", "again 4"]);
    assert.deepEqual(all("later"), ["later 1", "later 2"]);
    assert.deepEqual(all("never"), ["never 1"]);
    assert.deepEqual(all("last"), ["last 1"]);
    await channel.close();
  });
}

test("with a limit, a message that is given back too often comes back to its writer", async () => {
  const channel = openChannel({ name: unique(), app: "too-often", maxAttempts: 3 }, (socket) => {
    socket.on("data", () => socket.message.nack());
  });
  const socket = channel.connect();
  socket.write("never");
  const [message] = await next(socket, "undeliverable");
  assert.deepEqual([String(message.data), message.attempts], ["never", 3]);
  await channel.close();
});

test("an attempt that gave its message back does not acknowledge the next one when it ends", async () => {
  const ends = [];
  const channel = openChannel({ name: unique(), app: "two-attempts" }, (socket) => {
    socket.on("data", (data) => {
      if (String(data) === "marker") return void socket.write("after the marker");
      if (socket.message.attempt === 1) socket.message.nack();
      return new Promise((resolve) => ends.push(resolve));
    });
  });
  const socket = channel.connect();
  socket.write("job");
  let handled = false;
  const flushed = socket.flush().then(() => (handled = true));
  await until(() => ends.length === 2, "two attempts");
  ends[0]();
  const answer = next(socket, "data");
  socket.write("marker");
  await answer;
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.equal(handled, false);
  ends[1]();
  await within(flushed, "flush");
  await channel.close();
});

test("a message that came back before there was a listener finds it in the context of its socket", async () => {
  const storage = new AsyncLocalStorage();
  const channel = openChannel({ name: unique(), app: "context" }, (socket) => {
    socket.on("data", () => socket.message.reject("no such job"));
  });
  const socket = storage.run("connect", () => channel.connect());
  socket.write("never");
  await assert.rejects(within(socket.flush(), "flush"), { code: "EUNDELIVERABLE" });
  const found = new Promise((resolve) => {
    storage.run("on", () => socket.on("undeliverable", () => resolve(storage.getStore())));
  });
  assert.equal(await within(found, "undeliverable"), "connect");
  await channel.close();
});
