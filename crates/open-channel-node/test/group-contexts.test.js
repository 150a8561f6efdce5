// AsyncLocalStorage: what is called for a group runs in the context in which it was given.
"use strict";
const { test, until } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");
const { AsyncLocalStorage } = require("node:async_hooks");

const storage = new AsyncLocalStorage();

test("listeners and handlers run in the contexts of the calls that took them", async (t) => {
  const { join } = meeting(t);
  const seen = {};
  const note = (name) => void (seen[name] = storage.getStore());
  const group = await storage.run("join", () => join());
  storage.run("on", () => group.on("join", () => note("join")));
  const topics = storage.run("subscribe", () => group.subscribe("a", () => note("subscribe")));
  await topics.ready;
  await storage.run("serve", () => group.serve("s", () => note("serve")));
  storage.run("process", () => group.queue("q").process(() => note("process")));
  const map = group.map("m");
  storage.run("change", () => map.on("change", () => note("change")));
  storage.run("lead", () => group.lead("r", () => note("lead")));
  await storage.run("caller", async () => {
    await group.publish("a", 1);
    note("caller of publish");
    await group.call("s");
    note("caller of call");
    await group.queue("q").push(1);
    await map.set("k", 1);
    (await group.lock("l")).release();
    note("caller of lock");
  });
  await join();
  await until(() => seen.change && seen.join && seen.lead);
  assert.deepEqual(seen, {
    "caller of publish": "caller",
    "caller of call": "caller",
    "caller of lock": "caller",
    join: "join",
    subscribe: "subscribe",
    serve: "serve",
    process: "process",
    change: "change",
    lead: "lead",
  });
});
