// Publications and subscriptions.
"use strict";
const { test, until, within, next } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");

test("a publication reaches a subscriber in another process, and is handled then", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const other = member(async (group, { say, asked }) => {
    const subscription = group.subscribe("news.*", async (message) => {
      say(message.topic, JSON.stringify(message.value), message.publisher);
      await asked("go on");
      say("handled");
    });
    await subscription.ready;
    say("ready");
  });
  await other.line("ready");
  let done = false;
  const published = group.publish("news.local", { rain: [1, 2] }).then(() => (done = true));
  await other.line(`news.local {"rain":[1,2]} ${group.id}`);
  assert.equal(done, false, "it is not handled yet");
  other.ask("go on");
  await within(published, "the publication");
  assert.ok(other.lines.includes("handled"));
  await group.publish("other", 1);
});

test("a loop handles a message when it goes on", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  const subscription = group.subscribe("a.>");
  await subscription.ready;
  const published = [];
  for (let n = 0; n < 3; n++) group.publish("a.b.c", n).then(() => published.push(n));
  const values = [];
  for await (const message of subscription) {
    values.push(message.value);
    const handled = values.length - 1;
    await until(() => published.length >= handled);
    assert.equal(published.length, handled, "this one is not handled");
    if (values.length === 3) break;
  }
  assert.deepEqual(values, [0, 1, 2]);
  await until(() => published.length === 3);
});

test("values are cloned, and bytes stay as they are", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  const got = [];
  await group.subscribe("v", ({ value, bytes }) => void got.push([value, bytes])).ready;
  const date = new Date(5);
  const values = [
    undefined, null, 1.5, "text", 10n, date, new Map([[1, { a: date }]]), new Set([1]), /x/g,
    [new Float64Array([1, 2])], new Error("oops"),
  ];
  for (const value of values) await group.publish("v", value);
  assert.deepEqual(got.map(([value]) => value), values);
  got.length = 0;
  const raw = [[], [1, 2, 3], [0xff], [0xff, 0xd8], [0xff, 0], [0xff, 1, 2], [0xff, 0, 0xff, 0]];
  for (const bytes of raw) await group.publish("v", new Uint8Array(bytes));
  for (const [index, [value, bytes]] of got.entries()) {
    assert.ok(Buffer.isBuffer(value));
    assert.deepEqual([...value], raw[index]);
    const escaped = raw[index][0] === 0xff && raw[index][1] < 2;
    assert.deepEqual([...bytes], escaped ? [0xff, 0, ...raw[index]] : raw[index]);
  }
});

test("a value that cannot be cloned, or a topic that cannot be, is an error at once", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  await assert.rejects(group.publish("a", () => {}), {
    name: "DataCloneError",
    message: /could not be cloned/,
  });
  for (const topic of ["a.*", "a..b", "", ".", "a b"])
    await assert.rejects(group.publish(topic, 1), { code: "ERR_OPEN_CHANNEL_INVALID_TOPIC" });
  for (const pattern of ["a.>.b", "a*", "", "x..y"])
    assert.throws(() => group.subscribe(pattern), {
      code: "ERR_OPEN_CHANNEL_INVALID_TOPIC",
      message: new RegExp(JSON.stringify(pattern).replace(/[*.]/g, "\\$&")),
    });
  await assert.rejects(group.publish(5, 1), { code: "ERR_INVALID_ARG_TYPE" });
  assert.throws(() => group.subscribe("a", 5), { code: "ERR_INVALID_ARG_TYPE" });
  await assert.rejects(group.publish("a", Buffer.alloc(64 << 20)), {
    code: "ERR_OPEN_CHANNEL_TOO_LARGE",
    message: /67108864 bytes where 16777216 are allowed/,
  });
  await group.publish("a", 1);
});

test("a listener that fails is an error of the group, and has handled its message", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  const errors = [];
  group.on("error", (error) => errors.push(error.message));
  let calls = 0;
  await group.subscribe("a", () => {
    throw new Error(`thrown ${++calls}`);
  }).ready;
  await group.subscribe("a", async () => {
    throw new Error("rejected");
  }).ready;
  await group.publish("a", 1);
  await group.publish("a", 2);
  assert.deepEqual(errors, ["thrown 1", "rejected", "thrown 2", "rejected"]);
});

test("without a listener of 'error' it ends the process, as with any emitter", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const other = member(async (group, { say }) => {
    process.on("uncaughtException", (error) => {
      say("uncaught", error.message);
      process.exit(3);
    });
    await group.subscribe("a", () => {
      throw new Error("nobody listens");
    }).ready;
    say("ready");
  });
  await other.line("ready");
  await within(group.publish("a", 1), "the publication");
  await other.line("uncaught nobody listens");
  assert.equal((await within(other.ended, "its end")).code, 3);
});

test("a subscriber whose event loop is blocked holds up its publishers only", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const blocked = member(async (group, { say }) => {
    await group.subscribe("a", () => {
      say("blocks");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
    }).ready;
    say("ready", group.isHost);
  });
  await blocked.line("ready false");
  const late = group.publish("a", 1);
  await blocked.line("blocks");
  const got = [];
  await group.subscribe("b", ({ value }) => void got.push(value)).ready;
  const before = Date.now();
  for (let n = 0; n < 100; n++) await group.publish("b", n);
  assert.equal(got.length, 100);
  assert.ok(Date.now() - before < 2_000);
  await late;
});

test("a host whose event loop is blocked goes on serving the others", async (t) => {
  const { join, member } = meeting(t);
  const host = member(async (group, { say, asked }) => {
    say("hosts", group.isHost);
    await asked("block");
    say("blocks");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_500);
    say("blocked until now, hosts", group.isHost);
  });
  await host.line("hosts true");
  const group = await join();
  const got = [];
  await group.subscribe("a", ({ value }) => void got.push(value)).ready;
  host.ask("block");
  await host.line("blocks");
  const before = Date.now();
  for (let n = 0; n < 100; n++) await group.publish("a", n);
  assert.ok(Date.now() - before < 3_000, "nobody waits for the host's event loop");
  assert.equal(got.length, 100);
  await host.line("blocked until now, hosts true");
});

test("nothing is lost, doubled or out of order when hosts are killed under traffic", async (t) => {
  const { join, member } = meeting(t);
  const hosts = [];
  const start = async () => {
    const host = member(async (group, { say }) => say("here"));
    await host.line("here");
    hosts.push(host);
  };
  await start();
  const subscriber = await join();
  await start();
  const publisher = await join();
  const got = [];
  await subscriber.subscribe("n", ({ value }) => void got.push(value)).ready;
  let sent = 0;
  for (let round = 0; round < 3; round++) {
    const ends = [];
    for (let n = 0; n < 300; n++) ends.push(publisher.publish("n", sent++));
    hosts.shift()?.kill("SIGKILL");
    await within(Promise.all(ends), "the publications");
    if (round < 2) await start();
  }
  assert.deepEqual(got, Array.from({ length: sent }, (_, n) => n));
});

test("a latest subscription drops the oldest, counts them, and holds nobody up", async (t) => {
  const { join } = meeting(t, { window: 4096 });
  const group = await join();
  const subscription = group.subscribe("a", { latest: true });
  await subscription.ready;
  for (let n = 0; n < 100; n++) await group.publish("a", Buffer.alloc(500, n));
  let missed = 0;
  let seen = 0;
  for await (const message of subscription) {
    missed += message.missed;
    seen++;
    if (message.value[0] === 99) break;
  }
  assert.equal(missed + seen, 100);
  assert.ok(missed > 0);
});

test("what has no room yet is withdrawn by its signal, and what has goes on", async (t) => {
  const { join } = meeting(t, { window: 1024 });
  const group = await join();
  const subscription = group.subscribe("a");
  await subscription.ready;
  const reason = new Error("no more");
  await assert.rejects(group.publish("a", 0, { signal: AbortSignal.abort(reason) }), reason);
  const aborts = [1, 2, 3].map(() => new AbortController());
  const ends = aborts.map(({ signal }, n) => {
    const payload = Buffer.alloc(700, n + 1);
    return group.publish("a", payload, { signal }).then(
      () => "handled",
      (error) => error,
    );
  });
  aborts[0].abort(reason); // it was accepted, and goes on
  aborts[1].abort(reason);
  const got = [];
  for await (const { value } of subscription) {
    got.push(value[0]);
    if (value[0] === 3) break;
  }
  assert.deepEqual(got, [1, 3]);
  assert.deepEqual(await Promise.all(ends), [reason, reason, "handled"]);
});

test("a subscription ends with its group, and by itself", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  const [one, two] = [group.subscribe("a"), group.subscribe("b")];
  await Promise.all([one.ready, two.ready]);
  const loop = async (subscription) => {
    for await (const message of subscription) assert.fail(String(message));
  };
  const loops = [loop(one), loop(two)];
  await one.close();
  await within(loops[0], "the first loop");
  await group.close();
  await within(loops[1], "the second loop");
  assert.throws(() => group.subscribe("a"), { code: "ERR_OPEN_CHANNEL_CLOSED" });
});

test("ten thousand topics and subscriptions work", { timeout: 120_000 }, async (t) => {
  const { join } = meeting(t);
  const group = await join();
  let got = 0;
  const subscriptions = [];
  for (let n = 0; n < 10_000; n++) subscriptions.push(group.subscribe(`t.${n}`, () => void got++));
  await within(Promise.all(subscriptions.map(({ ready }) => ready)), "ready", 60_000);
  const published = [];
  for (let n = 0; n < 10_000; n++) published.push(group.publish(`t.${n}`, n));
  await within(Promise.all(published), "published", 60_000);
  assert.equal(got, 10_000);
});
