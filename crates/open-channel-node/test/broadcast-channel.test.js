// The BroadcastChannel interface: the same tests for Node's own class, which reaches the threads of
// one process, and for a group's, which reaches other processes as well.
//
// Of the web-platform-tests in `webmessaging/broadcastchannel`, what basics, interface and workers
// check is checked here, but for what a browser's worker does after its `close()`, which Node has
// not. A Blob (blobs) cannot be posted. The others are about things that a process has not:
// cross-partition, detached-iframe, opaque-origin, origin, sandbox, service-worker.
"use strict";
const { test, fixture, node, until, within, unique } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");
const { createSecretKey } = require("node:crypto");
const { once } = require("node:events");
const { inspect } = require("node:util");
const { Worker } = require("node:worker_threads");

/** Each opens channels of names of the test's own, and closes them when it ends. */
const kinds = {
  async own(t) {
    const channels = [];
    t.after(() => channels.forEach((channel) => channel.close()));
    const names = new Map();
    const full = (name) => names.get(name) ?? names.set(name, `${unique()}-${name}`).get(name);
    return {
      open: (name) => {
        const channel = new BroadcastChannel(full(name));
        channels.push(channel);
        return channel;
      },
      make: (...names) => new BroadcastChannel(...names),
      worker: (name) => worker(t, { kind: "own", name: full(name) }),
    };
  },
  async group(t) {
    const { name: groupName, join } = meeting(t);
    const group = await join();
    return {
      open: (name) => group.broadcastChannel(name),
      make: (...names) => group.broadcastChannel(...names),
      worker: (name) => worker(t, { kind: "group", name, groupName }),
    };
  },
};

/** A thread with a channel, which posts what it is told, and tells what it hears. */
async function worker(t, workerData) {
  const thread = new Worker(fixture("broadcast-worker.js"), { workerData });
  t.after(() => thread.terminate());
  const heard = [];
  thread.on("message", ({ data }) => data !== undefined && heard.push(data));
  await within(once(thread, "message"), "the thread's channel");
  return {
    heard,
    post: (value) => thread.postMessage({ post: value }),
    hears: (count) => until(() => heard.length >= count, `${count} messages in the thread`),
  };
}

/** `differs` says how Node's own is not as the specification has it. */
const both = (name, body, { differs } = {}) => {
  for (const kind of Object.keys(kinds)) {
    const skip = kind === "own" && differs;
    test(`${kind}: ${name}`, { skip }, async (t) => body(await kinds[kind](t), t));
  }
};
const NO_ORDER = { differs: "each channel has an order of its own" };

const heardBy = (channel, type = "message") =>
  within(once(channel, type), `a ${type}`).then(([event]) => event);

both("a message is an event that has the value and nothing else", async ({ open }) => {
  const [one, other] = [open("a"), open("a")];
  one.postMessage("hello");
  const event = await heardBy(other);
  assert.ok(event instanceof MessageEvent);
  const { type, data, origin, source, lastEventId, ports } = event;
  assert.deepEqual(
    { type, data, origin, source, lastEventId, ports: [...ports] },
    { type: "message", data: "hello", origin: "", source: null, lastEventId: "", ports: [] },
  );
  assert.equal(event.target, other);
  assert.equal(event.currentTarget, null, "it is over");
});

both("all others hear it in the order in which they were made", async ({ open }) => {
  const channels = ["x", "y", "z"].map(() => open("order"));
  const [x, y, z] = channels;
  const heard = [];
  const done = new Promise((resolve) => {
    for (const channel of channels) {
      channel.onmessage = ({ target, data }) => {
        heard.push(["x", "y", "z"][channels.indexOf(target)] + data);
        if (heard.length === 6) resolve();
      };
    }
  });
  x.postMessage(1);
  z.postMessage(2);
  y.postMessage(3);
  await within(done, "six messages");
  assert.deepEqual(heard, ["y1", "z1", "x2", "y2", "x3", "z3"]);
}, NO_ORDER);

both("a name is heard by itself only, whatever it is", async ({ open }) => {
  const names = ["a", "A", "a.b", "a.*", ">", "*", "", " ", "%", "%20", "ä", "\u0000", "\ud800"];
  names.push("\udc00", "\ufffd", "x".repeat(2000), "x".repeat(2001), "💬");
  const heard = [];
  const pairs = names.map((name) => {
    const listener = open(name);
    listener.onmessage = ({ data }) => heard.push([names.indexOf(name), data]);
    return open(name);
  });
  pairs.forEach((channel, number) => channel.postMessage(number));
  await until(() => heard.length >= names.length, "all messages");
  heard.sort(([a], [b]) => a - b);
  assert.deepEqual(heard, names.map((_, number) => [number, number]));
});

both("a channel that was closed hears nothing", async ({ open }) => {
  const [poster, before, after, last] = [1, 2, 3, 4].map(() => open("closed"));
  for (const channel of [before, after])
    channel.onmessage = () => assert.fail("a closed channel hears");
  before.close();
  poster.postMessage("test");
  after.close();
  assert.equal((await heardBy(last)).data, "test");
});

both("channels come and go while messages are delivered", async ({ open }) => {
  const [one, two] = [open("in"), open("in")];
  const third = new Promise((resolve) => {
    two.onmessage = ({ data }) => {
      assert.equal(data, "first");
      two.close();
      const three = open("in");
      // What was posted before it was made is not for it.
      three.onmessage = ({ data }) => resolve(data);
      one.postMessage("last");
    };
  });
  one.postMessage("first");
  two.postMessage("second");
  assert.equal(await within(third, "the last message"), "last");
});

both("what lies ready for a channel that is closed is dropped", async ({ open }) => {
  const [one, two, three] = [1, 2, 3].map(() => open("ready"));
  const heard = [];
  one.onmessage = ({ data }) => heard.push(`one ${data}`);
  two.onmessage = ({ data }) => heard.push(`two ${data}`);
  two.addEventListener("message", () => two.close());
  three.onmessage = ({ data }) => heard.push(`three ${data}`);
  one.postMessage("first");
  one.postMessage("last");
  await until(() => heard.includes("three last"), "the last message");
  assert.deepEqual(heard, ["two first", "three first", "three last"]);
});

both("what was posted before a channel was closed is delivered", async ({ open }) => {
  const [one, two] = [open("last words"), open("last words")];
  one.postMessage("good bye");
  one.close();
  assert.equal((await heardBy(two)).data, "good bye");
});

both("any name will do, but none", async ({ make }, t) => {
  assert.throws(() => make(), TypeError);
  for (const [given, name] of [[null, "null"], [undefined, "undefined"], [123, "123"], ["", ""]]) {
    const channel = make(given);
    t.after(() => channel.close());
    assert.equal(channel.name, name);
  }
  assert.throws(() => make(Symbol("a")), TypeError);
});

both("what cannot be posted is refused at once", async ({ open }) => {
  const channel = open("refused");
  assert.throws(() => channel.postMessage(), TypeError);
  const refused = (name) => (error) => error instanceof DOMException && error.name === name;
  for (const value of [Symbol("a"), () => {}, { deep: [new WeakMap()] }, Promise.resolve()])
    assert.throws(() => channel.postMessage(value), refused("DataCloneError"), inspect(value));
  channel.postMessage(null);
  channel.close();
  channel.close();
  assert.throws(() => channel.postMessage(""), refused("InvalidStateError"));
  assert.throws(() => channel.postMessage(Symbol("a")), refused("InvalidStateError"));
});

both("a getter that throws while a value is cloned throws that", async ({ open }) => {
  const problem = new RangeError("mine");
  const value = { get it() { throw problem; } };
  assert.throws(() => open("getter").postMessage(value), (error) => error === problem);
});

both("onmessage keeps its place, and null takes it away", async ({ open }) => {
  const [one, two] = [open("handlers"), open("handlers")];
  assert.equal(two.onmessage, null);
  assert.equal(two.onmessageerror, null);
  const heard = [];
  const handler = function () { heard.push(this === two ? "handler" : "of something else"); };
  two.onmessage = () => assert.fail("it was replaced");
  assert.equal(typeof two.onmessage, "function");
  two.addEventListener("message", () => heard.push("listener"));
  two.addEventListener("message", { handleEvent: () => heard.push("object") }, { once: true });
  two.onmessage = handler;
  assert.equal(two.onmessage, handler);
  one.postMessage(1);
  await until(() => heard.length === 3, "three calls");
  two.onmessage = null;
  assert.equal(two.onmessage, null);
  one.postMessage(2);
  await until(() => heard.length === 4, "the fourth call");
  two.onmessage = handler;
  one.postMessage(3);
  await until(() => heard.length === 6, "six calls");
  const all = ["handler", "listener", "object", "listener", "listener", "handler"];
  assert.deepEqual(heard, all);
}, { differs: "the handler that is set again has its old place" });

both("values are cloned as they are", async ({ open }) => {
  const [one, two, three] = [1, 2, 3].map(() => open("clone"));
  const cyclic = { list: [1, , 3] };
  cyclic.self = cyclic;
  const values = [
    null, true, 0, -0, NaN, 1n << 70n, "ä\u0000\ud800", new Date(0), /a/gi,
    new Map([[{ a: 1 }, new Set([1, "b"])]]), new RangeError("far", { cause: 1 }), cyclic,
    new Uint16Array([1, 65535]), new Float64Array([0.5]), new Uint8Array([1, 2]).buffer,
    { bytes: new DataView(new ArrayBuffer(3)) }, Object(false), "x".repeat(100_000),
  ];
  const [atTwo, atThree] = [[], []];
  two.onmessage = ({ data }) => atTwo.push(data);
  three.onmessage = ({ data }) => atThree.push(data);
  for (const value of values) one.postMessage(value);
  await until(() => atThree.length === values.length, "all values");
  for (const [number, value] of values.entries()) {
    assert.deepStrictEqual(atTwo[number], value, inspect(value));
    assert.deepStrictEqual(atThree[number], value, inspect(value));
  }
  const objects = (value) => typeof value === "object" && value !== null;
  atTwo.forEach((value, number) =>
    assert.ok(!objects(value) || value !== atThree[number], "each has a value of its own"),
  );
});

both("a thousand messages come in order", async ({ open }) => {
  const [one, two] = [open("many"), open("many")];
  const heard = [];
  two.onmessage = ({ data }) => heard.push(data);
  const numbers = Array.from({ length: 1000 }, (_, number) => number);
  for (const number of numbers) one.postMessage(number);
  await until(() => heard.length >= 1000, "all messages");
  assert.deepEqual(heard, numbers);
});

both("threads hear each other", async ({ open, worker }) => {
  const [one, two] = [open("threads"), open("threads")];
  const heard = [];
  const thread = await worker("threads");
  one.onmessage = ({ data }) => heard.push(`one ${data}`);
  two.onmessage = ({ data }) => {
    heard.push(`two ${data}`);
    if (data !== "from thread") return;
    two.postMessage("from two");
    one.postMessage("done");
  };
  thread.post("from thread");
  await thread.hears(2);
  await until(() => heard.length >= 4, "four messages");
  assert.deepEqual(thread.heard, ["from two", "done"]);
  assert.deepEqual(heard, ["one from thread", "two from thread", "one from two", "two done"]);
}, NO_ORDER);

both("a channel looks like one", async ({ open }, t) => {
  const channel = open("looks");
  if (t.name.startsWith("group")) assert.equal(String(channel), "[object BroadcastChannel]");
  assert.match(inspect(channel), /^BroadcastChannel \{/);
  assert.ok(channel instanceof EventTarget);
  assert.equal(channel.ref(), channel);
  assert.equal(channel.unref(), channel);
  const { prototype } = channel.constructor;
  for (const key of ["name", "close", "postMessage", "onmessage", "onmessageerror"])
    assert.ok(Object.prototype.propertyIsEnumerable.call(prototype, key), key);
  assert.throws(() => prototype.postMessage.call({}, 1), TypeError);
});

for (const kind of Object.keys(kinds)) {
  test(`${kind}: a channel keeps its process alive, unless it is told not to`, async () => {
    const run = (end) => node(fixture("broadcast-process.js"), [kind, unique(), end]);
    for (const end of ["unref", "close"])
      assert.equal((await within(run(end).ended, `the end after ${end}`)).code, 0);
    const stays = run("stay");
    await stays.line("open");
    const other = run("close"); // It has come and gone, and so could have the first one.
    assert.equal((await within(other.ended, "the end of another")).code, 0);
    assert.equal(stays.exitCode, null);
  });
}

test("what lives in one process cannot be posted to others", async (t) => {
  const group = await meeting(t).join({ maxPayload: 1000 });
  const channel = group.broadcastChannel("local");
  const { port1 } = new MessageChannel();
  const values = [port1, Buffer.alloc(1001), new SharedArrayBuffer(1)];
  // Later ones take them for plain objects.
  if (parseInt(process.versions.node) <= 20)
    values.push(new Blob(["a"]), createSecretKey(Buffer.from("a")));
  for (const value of values) {
    const refused = (error) => error instanceof DOMException && error.name === "DataCloneError";
    assert.throws(() => channel.postMessage({ value }), refused, inspect(value));
  }
  assert.throws(() => channel.postMessage(Buffer.alloc(1001)), /1001 bytes.*maxPayload: 1000/);
  port1.close();
});

test("what cannot be read is a messageerror", async (t) => {
  const group = await meeting(t).join();
  const [one, other] = [group.broadcastChannel("a"), group.broadcastChannel("a")];
  const module = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  other.onmessage = () => assert.fail("it was read");
  const heard = new Promise((resolve) => (other.onmessageerror = resolve));
  one.postMessage(module);
  const event = await within(heard, "a messageerror");
  assert.ok(event instanceof MessageEvent);
  assert.equal(event.data, null);
});

test("bytes arrive as they are, also from members that only publish", async (t) => {
  const group = await meeting(t).join();
  const channel = group.broadcastChannel("a.b c");
  const heard = [];
  channel.onmessage = ({ data }) => heard.push(data);
  await group.publish("broadcast.a%2eb%20c.rust", Buffer.from("from Rust"));
  group.broadcastChannel("a.b c").postMessage(Buffer.from("from Node"));
  await until(() => heard.length === 2, "both");
  assert.deepEqual(heard, [Buffer.from("from Rust"), Buffer.from("from Node")]);
});
