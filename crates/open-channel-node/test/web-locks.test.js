// The Web Locks interface, over one group; and over Node's own `navigator.locks`, if it is there.
//
// Of the web-platform-tests in `web-locks`, what these files check is checked here: acquire, held,
// ifAvailable, mode-exclusive, mode-mixed, mode-shared, query, query-empty, query-ordering,
// resource-names, signal, steal, workers. The others are about things that a process has not:
// bfcache, frames and non-fully-active (documents), clientids (service workers), opaque-origin,
// partitioned-web-locks, secure-context, storage-buckets.
"use strict";
const { test, fixture, until, within, unique } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");
const { once } = require("node:events");
const { inspect } = require("node:util");
const { Worker } = require("node:worker_threads");

/** Each gives the locks of a manager, and threads that use the same ones. */
const kinds = {
  async group(t) {
    const { name, join } = meeting(t);
    const group = await join();
    return { locks: group.locks, worker: () => worker(t, name), group };
  },
};
// Node 24 has its own.
if (globalThis.navigator?.locks !== undefined)
  kinds.own = async (t) => ({ locks: navigator.locks, worker: () => worker(t) });

/** A thread that requests locks, and lets them go when it is told. */
async function worker(t, group) {
  const thread = new Worker(fixture("locks-worker.js"), { workerData: { group } });
  t.after(() => thread.terminate());
  const answers = new Map();
  let last = 0;
  await within(once(thread, "message"), "the thread's group");
  thread.on("message", ({ id, ...answer }) => answers.get(id)(answer));
  const ask = (question) =>
    new Promise((resolve) => {
      answers.set(++last, resolve);
      thread.postMessage({ id: last, ...question });
    });
  return {
    request: (name, options) => ask({ request: [name, options] }),
    release: (lock) => ask({ release: lock }),
    clientId: () => ask({ clientId: true }).then(({ clientId }) => clientId),
    terminate: () => thread.terminate(),
  };
}

const all = (name, body) => {
  for (const kind of Object.keys(kinds))
    test(`${kind}: ${name}`, async (t) => body(await kinds[kind](t), t));
};

/** A promise, and what settles it. */
function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/** Holds a lock until what it resolves to is called; `over` is the promise of its request. */
async function holds(locks, name, options = {}) {
  const { promise, resolve } = deferred();
  const held = deferred();
  const over = handled(
    locks.request(name, options, (lock) => (held.resolve(lock), promise)),
  );
  const lock = await within(held.promise, `the lock ${name}`);
  return Object.assign(() => (resolve(), over.catch(() => {})), { over, lock });
}

/** A promise whose failure is looked at later. */
const handled = (promise) => (promise.catch(() => {}), promise);

const never = new Promise(() => {});
const fail = () => assert.fail("the callback runs");
const isDOM = (name) => (error) =>
  error instanceof DOMException && error.name === name || assert.fail(inspect(error));
const modes = (infos, name) => infos.filter((info) => info.name === name).map(({ mode }) => mode);
const clients = (infos, name) =>
  infos.filter((info) => info.name === name).map(({ clientId }) => clientId);

all("a request takes a name and a callback", async ({ locks }) => {
  const name = unique();
  await assert.rejects(locks.request(), TypeError);
  await assert.rejects(locks.request(name), TypeError);
  for (const wrong of [undefined, null, 123, "abc", [], {}, Promise.resolve()]) {
    await assert.rejects(locks.request(name, wrong), TypeError, inspect(wrong));
    await assert.rejects(locks.request(name, {}, wrong), TypeError, inspect(wrong));
  }
  await assert.rejects(locks.request(Symbol("a"), () => {}), TypeError);
  assert.equal(await locks.request(12, (lock) => lock.name), "12");
});

all("the options are what they can be", async ({ locks }) => {
  const name = unique();
  for (const mode of ["foo", null, "Shared", ""])
    await assert.rejects(locks.request(name, { mode }, fail), TypeError, inspect(mode));
  for (const mode of ["exclusive", "shared"])
    assert.equal(await locks.request(name, { mode }, (lock) => lock.mode), mode);
  assert.equal(await locks.request(name, { mode: undefined }, ({ mode }) => mode), "exclusive");
  for (const options of [undefined, null])
    assert.equal(await locks.request(name, options, ({ mode }) => mode), "exclusive");
  for (const options of [1, "a", true])
    await assert.rejects(locks.request(name, options, fail), TypeError, inspect(options));
  for (const signal of ["string", 12.34, false, {}, Symbol("a"), () => {}, globalThis, null])
    await assert.rejects(locks.request(name, { signal }, fail), TypeError, inspect(signal));
});

all("options that exclude each other are not supported", async ({ locks }) => {
  const { signal } = new AbortController();
  for (const options of [
    { steal: true, ifAvailable: true },
    { steal: true, mode: "shared" },
    { steal: true, signal },
    { ifAvailable: true, signal },
  ])
    await assert.rejects(locks.request(unique(), options, fail), isDOM("NotSupportedError"));
});

all("a name is any text that does not begin with a hyphen", async ({ locks }) => {
  for (const name of ["-", "-foo"])
    await assert.rejects(locks.request(name, fail), isDOM("NotSupportedError"));
  const names = ["", "abc\0def", "\ud800", "\udc00", "\udc00\ud800", "\uffff", "a-b", "ä💬"];
  for (const name of names) {
    await locks.request(name, async (lock) => {
      assert.equal(lock.name, name);
      const { held } = await locks.query();
      assert.deepEqual(modes(held, name), ["exclusive"], inspect(name));
    });
  }
  // Not one name for two of them.
  await locks.request("\ud800", () => locks.request("\ufffd", ({ name }) => name));
});

all("a request settles as its callback does, after the lock was let go", async ({ locks }) => {
  const name = unique();
  const request = locks.request(name, () => 123);
  assert.equal(Promise.resolve(request), request);
  assert.equal(await request, 123);
  const { promise, resolve } = deferred();
  const order = [];
  const held = locks.request(name, () => promise);
  held.then(() => order.push("request"));
  promise.then(() => order.push("callback"));
  resolve("done");
  assert.equal(await held, "done");
  assert.deepEqual(order, ["callback", "request"]);
  let thened = false;
  const problems = [{ name: "test" }, { then: () => (thened = true) }, undefined];
  for (const problem of problems) {
    for (const callback of [() => { throw problem; }, async () => { throw problem; }]) {
      const failed = locks.request(name, callback);
      assert.deepEqual(await failed.then(fail, (error) => [error]), [problem]);
    }
  }
  assert.equal(thened, false, "what is thrown is not waited for");
});

all("a lock is held until its callback's promise settles", async ({ locks }) => {
  for (const end of ["resolve", "reject"]) {
    const name = unique();
    const hold = deferred();
    const order = [];
    const called = deferred();
    const callback = () => (called.resolve(), hold.promise);
    const first = locks.request(name, callback).catch(() => {});
    const second = locks.request(name, () => order.push("second"));
    await called.promise;
    // In line behind both.
    await locks.query();
    order.push("first");
    hold[end](new Error("expected"));
    await Promise.all([first, second]);
    assert.deepEqual(order, ["first", "second"]);
  }
});

all("a client does not have a lock twice", async ({ locks }) => {
  const name = unique();
  const inner = () => locks.request(name, { ifAvailable: true }, (lock) => lock);
  assert.equal(await locks.request(name, inner), null);
});

all("shared locks are held together and granted in order", async ({ locks }) => {
  const [a, b, c] = [unique(), unique(), unique()];
  const granted = [];
  const shared = (name, number) =>
    locks.request(name, { mode: "shared" }, () => void granted.push(number));
  const requests = [shared(a, 1), shared(b, 2), shared(c, 3)];
  requests.push(shared(a, 4), shared(b, 5), shared(c, 6));
  await Promise.all(requests);
  assert.deepEqual(granted, [1, 2, 3, 4, 5, 6]);
  const inner = () => locks.request(a, { mode: "shared" }, () => "both");
  assert.equal(await locks.request(a, { mode: "shared" }, inner), "both");
});

all("an exclusive request waits for shared ones, and later ones for it", async ({ locks }) => {
  const [name, other] = [unique(), unique()];
  const granted = [];
  const [readers, writer] = [deferred(), deferred()];
  const request = (mode, what, until) =>
    locks.request(name, { mode }, () => (granted.push(what), until));
  const first = [1, 2, 3].map((n) => request("shared", `shared ${n}`, readers.promise));
  const exclusive = request("exclusive", "exclusive", writer.promise);
  const last = [4, 5].map((n) => request("shared", `shared ${n}`));
  await locks.request(other, () => void granted.push("other"));
  const state = await locks.query();
  assert.deepEqual(modes(state.held, name), ["shared", "shared", "shared"]);
  assert.deepEqual(modes(state.pending, name), ["exclusive", "shared", "shared"]);
  readers.resolve();
  await Promise.all(first);
  await until(() => granted.includes("exclusive"));
  assert.deepEqual(modes((await locks.query()).held, name), ["exclusive"]);
  writer.resolve();
  await Promise.all([exclusive, ...last]);
  const order = ["shared 1", "shared 2", "shared 3", "other", "exclusive", "shared 4", "shared 5"];
  assert.deepEqual(granted, order);
});

all("ifAvailable does not wait", async ({ locks }) => {
  const name = unique();
  const tries = (mode, callback = (lock) => lock?.mode ?? null) =>
    locks.request(name, { mode, ifAvailable: true }, callback);
  assert.equal(await tries("exclusive"), "exclusive");
  const release = await holds(locks, name);
  assert.equal(await tries("exclusive"), null);
  assert.equal(await tries("shared"), null);
  const other = await locks.request(unique(), { ifAvailable: true }, ({ mode }) => mode);
  assert.equal(other, "exclusive");
  const problem = { name: "test" };
  const thrown = (callback) => tries("exclusive", callback).then(fail, (error) => error);
  assert.equal(await thrown(() => { throw problem; }), problem);
  assert.equal(await thrown(async () => { throw problem; }), problem);
  await release();
  const shares = await holds(locks, name, { mode: "shared" });
  assert.equal(await tries("shared"), "shared");
  assert.equal(await tries("exclusive"), null);
  await shares();
  // As soon as the one before is let go.
  await locks.request(name, () => {});
  assert.equal(await tries("exclusive"), "exclusive");
});

all("a signal ends a request that waits", async ({ locks }) => {
  const name = unique();
  const controller = new AbortController();
  const release = await holds(locks, name);
  const aborted = locks.request(name, { signal: controller.signal }, fail);
  const next = locks.request(name, () => "next");
  assert.deepEqual(modes((await locks.query()).pending, name), ["exclusive", "exclusive"]);
  controller.abort();
  await assert.rejects(aborted, isDOM("AbortError"));
  assert.deepEqual(modes((await locks.query()).pending, name), ["exclusive"]);
  await release();
  assert.equal(await next, "next");
  const again = locks.request(name, { signal: controller.signal }, fail);
  await assert.rejects(again, (error) => error === controller.signal.reason);
  for (const early of [true, false]) {
    const controller = new AbortController();
    if (early) controller.abort("my dog ate it");
    const request = locks.request(name, { signal: controller.signal }, fail);
    if (!early) controller.abort("my dog ate it"); // Though it could be granted.
    assert.equal(await request.then(fail, (error) => error), "my dog ate it");
    assert.equal(await locks.request(name, () => "free"), "free");
  }
});

all("a signal that aborts while a callback is about to be called ends it", async ({ locks }) => {
  const controller = new AbortController();
  const first = locks.request(unique(), () => controller.abort());
  const second = locks.request(unique(), { signal: controller.signal }, fail);
  await assert.rejects(second, isDOM("AbortError"));
  await first;
});

all("a signal does nothing to a lock that is held", async ({ locks }) => {
  const name = unique();
  for (const early of [true, false]) {
    const controller = new AbortController();
    const [held, hold] = [deferred(), deferred()];
    const request = locks.request(name, { signal: controller.signal }, () => {
      held.resolve();
      return hold.promise;
    });
    await held.promise;
    if (early) controller.abort();
    hold.resolve("fine");
    if (!early) controller.abort();
    assert.equal(await request, "fine");
  }
  const { signal } = new AbortController();
  assert.equal(await locks.request(name, { signal }, ({ mode }) => mode), "exclusive");
});

all("a lock is stolen from its holders, before those who wait", async ({ locks }) => {
  const name = unique();
  assert.equal(await locks.request(name, { steal: true }, ({ mode }) => mode), "exclusive");
  const order = [];
  // Not yet held here when it is stolen.
  const first = handled(locks.request(name, () => never));
  const waiting = locks.request(name, () => void order.push("waited"));
  await locks.request(name, { steal: true }, () => void order.push("stole"));
  await assert.rejects(first, isDOM("AbortError"));
  await waiting;
  assert.deepEqual(order, ["stole", "waited"]);
  const held = await holds(locks, name);
  const shared = await locks.request(name, { steal: true }, () => "stolen");
  assert.equal(shared, "stolen");
  await assert.rejects(held.over, isDOM("AbortError"));
  const sharers = [1, 2].map(() => holds(locks, name, { mode: "shared" }));
  const both = await Promise.all(sharers);
  await locks.request(name, { steal: true }, () => {});
  for (const { over } of both) await assert.rejects(over, isDOM("AbortError"));
});

all("the last thief has it", async ({ locks }) => {
  const name = unique();
  const held = handled(locks.request(name, () => never));
  const thief = handled(locks.request(name, { steal: true }, () => never));
  assert.equal(await locks.request(name, { steal: true }, () => "last"), "last");
  await assert.rejects(held, isDOM("AbortError"));
  await assert.rejects(thief, isDOM("AbortError"));
  assert.equal(await locks.request(name, () => "free"), "free");
});

all("what a callback does after its lock was stolen is nobody's business", async ({ locks }) => {
  const name = unique();
  const hold = deferred();
  const called = deferred();
  const request = handled(locks.request(name, () => (called.resolve(), hold.promise)));
  await called.promise;
  const next = await holds(locks, name, { steal: true });
  hold.reject(new Error("too late"));
  await assert.rejects(request, isDOM("AbortError"));
  assert.equal(await locks.request(name, { ifAvailable: true }, (lock) => lock), null);
  await next();
});

all("a query tells the locks that are held and waited for", async ({ locks }) => {
  const [one, other] = [unique(), unique()];
  const release = await holds(locks, one);
  const shares = await holds(locks, other, { mode: "shared" });
  const sharesToo = await holds(locks, other, { mode: "shared" });
  const waiting = ["shared", "exclusive", "shared"].map((mode) =>
    locks.request(one, { mode }, () => {}),
  );
  const state = await locks.query();
  assert.deepEqual(Object.keys(state).sort(), ["held", "pending"]);
  for (const info of [...state.held, ...state.pending])
    assert.deepEqual(Object.keys(info).sort(), ["clientId", "mode", "name"]);
  assert.deepEqual(modes(state.held, one), ["exclusive"]);
  assert.deepEqual(modes(state.held, other), ["shared", "shared"]);
  assert.deepEqual(modes(state.pending, one), ["shared", "exclusive", "shared"]);
  assert.deepEqual(modes(state.pending, other), []);
  const ids = new Set([...state.held, ...state.pending].map(({ clientId }) => clientId));
  assert.equal(ids.size, 1, "all of them are of one client");
  await Promise.all([release(), shares(), sharesToo(), ...waiting]);
  const after = await locks.query();
  assert.deepEqual([...modes(after.held, one), ...modes(after.pending, one)], []);
});

all("threads share locks, and each is a client of its own", async ({ locks, worker }) => {
  const [name, other] = [unique(), unique()];
  const thread = await worker();
  const { lock } = await thread.request(name, { mode: "shared" });
  const release = await holds(locks, name, { mode: "shared" });
  const ids = clients((await locks.query()).held, name);
  assert.equal(new Set(ids).size, 2);
  await thread.release(lock);
  await release();
  // Exclusive ones keep each other out.
  const { lock: exclusive } = await thread.request(other);
  let granted = false;
  const blocked = locks.request(other, () => (granted = true));
  assert.equal(await locks.request(other, { ifAvailable: true }, (lock) => lock), null);
  assert.equal(granted, false);
  await thread.release(exclusive);
  assert.equal(await blocked, true);
});

all("a thread that is terminated lets its locks go", async ({ locks, worker }) => {
  const name = unique();
  const thread = await worker();
  await thread.request(name);
  const blocked = locks.request(name, () => "mine");
  assert.equal(await locks.request(name, { ifAvailable: true }, (lock) => lock), null);
  await thread.terminate();
  assert.equal(await within(blocked, "the lock"), "mine");
});

all("a query shows a deadlock", async ({ locks, worker }) => {
  const [one, other] = [unique(), unique()];
  const thread = await worker();
  await thread.request(one);
  const release = await holds(locks, other);
  const theirs = thread.request(other);
  assert.equal((await thread.request(other, { ifAvailable: true })).lock, null);
  const controller = new AbortController();
  const mine = locks.request(one, { signal: controller.signal }, fail);
  const { held, pending } = await locks.query();
  const [here] = clients(held, other);
  const [there] = clients(held, one);
  assert.notEqual(here, there);
  assert.deepEqual(clients(pending, one), [here]);
  assert.deepEqual(clients(pending, other), [there]);
  controller.abort();
  await assert.rejects(mine, isDOM("AbortError"));
  await release();
  await theirs;
});

all("requests of several clients are in the order in which they were made", async (made) => {
  const { locks, worker } = made;
  const name = unique();
  const threads = await Promise.all([worker(), worker(), worker()]);
  const ids = await Promise.all(threads.map((thread) => thread.clientId()));
  const release = await holds(locks, name);
  const line = [2, 0, 1, 0, 2];
  const requests = [];
  for (const [place, number] of line.entries()) {
    requests.push(threads[number].request(name));
    await until(
      async () => modes((await locks.query()).pending, name).length === place + 1,
      "its place in the line",
    );
  }
  const wanted = line.map((number) => ids[number]);
  assert.deepEqual(clients((await locks.query()).pending, name), wanted);
  await release();
  for (const [place, request] of requests.entries()) {
    const { lock } = await within(request, `lock ${place}`);
    assert.deepEqual(clients((await locks.query()).held, name), [wanted[place]]);
    await threads[line[place]].release(lock);
  }
});

all("the objects are as the interface has them", async ({ locks }) => {
  assert.equal(String(locks), "[object LockManager]");
  assert.equal(locks.request.length, 2);
  assert.equal(locks.query.length, 0);
  const { prototype } = locks.constructor;
  assert.throws(() => new locks.constructor(), TypeError);
  await assert.rejects(prototype.request.call({}, "a", fail), TypeError);
  await assert.rejects(prototype.query.call({}), TypeError);
  const enumerable = (object, key) => Object.prototype.propertyIsEnumerable.call(object, key);
  for (const key of ["request", "query"]) assert.ok(enumerable(prototype, key), key);
  await locks.request(unique(), (lock) => {
    assert.equal(String(lock), "[object Lock]");
    assert.throws(() => new lock.constructor(), TypeError);
    for (const key of ["name", "mode"])
      assert.ok(enumerable(Object.getPrototypeOf(lock), key), key);
  });
});
