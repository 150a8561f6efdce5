// The store for express-rate-limit, with the real package in several processes.
"use strict";
const { test, until, within } = require("./harness.js");
const { members, member, hostOf } = require("./members.js");
const assert = require("node:assert/strict");
const http = require("node:http");

/** Starts a server with a limit in a member, and returns its port. */
const serve = (one, limit) =>
  one.run(
    async ({ group, require, kept }, { prefix, ...limit }) => {
      const express = require("express");
      const { rateLimit } = require("express-rate-limit");
      const { GroupStore } = require("open-channel/express-rate-limit");
      kept.store = new GroupStore(group, { prefix });
      const key = (request) => request.get("x-client");
      const settings = { legacyHeaders: false, standardHeaders: "draft-6", ...limit };
      const app = express();
      app.use(rateLimit({ ...settings, keyGenerator: key, store: kept.store }));
      app.get("/", (request, response) => {
        response.status(Number(request.get("x-status"))).send(".");
      });
      const server = app.listen(0, "127.0.0.1");
      await require("node:events").once(server, "listening");
      return server.address().port;
    },
    limit,
  );

/** One request; its status and headers. */
const get = (port, client = "ada", status = 200) =>
  new Promise((resolve, reject) => {
    const headers = { "x-client": client, "x-status": String(status) };
    const request = http.get({ host: "127.0.0.1", port, headers, agent: false }, (response) => {
      response.resume().on("end", () => resolve(response));
    });
    request.on("error", reject);
  });

const statuses = (responses) => {
  const counts = {};
  for (const { statusCode } of responses) counts[statusCode] = (counts[statusCode] ?? 0) + 1;
  return counts;
};

const hits = (one, key) => one.run(({ kept }, key) => kept.store.get(key), key);

test("requests to four workers are counted exactly", async () => {
  const workers = await members(4);
  const ports = await Promise.all(
    workers.map((one) => serve(one, { windowMs: 60_000, limit: 150 })),
  );
  const requests = Array.from({ length: 400 }, (_, i) => get(ports[i % 4]));
  const responses = await within(Promise.all(requests), "the answers");
  assert.deepEqual(statuses(responses), { 200: 150, 429: 250 });

  const counts = await Promise.all(workers.map((one) => hits(one, "ada")));
  for (const { totalHits, resetTime } of counts) {
    assert.equal(totalHits, 400);
    assert.equal(resetTime, counts[0].resetTime, "one window for all");
  }
  const others = await get(ports[2], "bob");
  assert.equal(others.headers["ratelimit-remaining"], "149", "others have their own count");
});

test("each request is counted once while the host is killed", async () => {
  const all = await members(4);
  const { host, others } = await hostOf(all);
  const limit = { windowMs: 60_000, limit: 10_000 };
  const ports = await Promise.all(others.map((one) => serve(one, limit)));
  let sent = 0;
  let over = false;
  const traffic = ports.map(async (port) => {
    while (!over) {
      assert.equal((await get(port)).statusCode, 200);
      sent += 1;
    }
  });
  await until(() => sent > 100, "traffic");
  host.kill("SIGKILL");
  const before = sent;
  await until(() => sent > before + 100, "traffic after the kill");
  over = true;
  await within(Promise.all(traffic), "the last answers");
  for (const one of others) assert.equal((await hits(one, "ada")).totalHits, sent);
});

test("a window begins with its first hit, and a new one counts anew", async () => {
  const [one, two] = await members(2);
  const limit = { windowMs: 700, limit: 1 };
  const ports = [await serve(one, limit), await serve(two, limit)];
  const begun = Date.now();
  assert.equal((await get(ports[0])).statusCode, 200);
  const { resetTime } = await hits(two, "ada");
  assert.ok(Date.parse(resetTime) >= begun + 700, "the window is as long as it should be");
  assert.equal((await get(ports[1])).statusCode, 429);
  await until(async () => (await hits(two, "ada")) === undefined, "the end of the window");
  assert.ok(Date.now() >= Date.parse(resetTime));
  assert.equal((await get(ports[1])).statusCode, 200);
  assert.equal((await hits(one, "ada")).totalHits, 1);
});

test("hits are taken back, and a client is reset everywhere", async () => {
  const [one, two] = await members(2);
  const limit = { windowMs: 60_000, limit: 2, skipFailedRequests: true };
  const ports = [await serve(one, limit), await serve(two, limit)];
  assert.equal((await get(ports[0])).statusCode, 200);
  for (let i = 0; i < 3; i++) {
    assert.equal((await get(ports[i % 2], "ada", 500)).statusCode, 500);
    await until(async () => (await hits(two, "ada")).totalHits === 1, "failures do not count");
  }

  await one.run(({ kept }) => kept.store.resetKey("ada"));
  assert.equal(await hits(two, "ada"), undefined);
  await one.run(({ kept }) => kept.store.decrement("ada"));
  assert.equal(await hits(two, "ada"), undefined, "nobody has fewer hits than none");

  await Promise.all([get(ports[0], "ada"), get(ports[1], "bob")]);
  await one.run(({ kept }) => kept.store.resetAll());
  for (const key of ["ada", "bob"]) assert.equal(await hits(two, key), undefined);
});

test("stores with other prefixes count apart, and keys may be anything", async () => {
  const [one, two] = await members(2);
  const limit = { windowMs: 60_000, limit: 5 };
  const ports = [
    await serve(one, { ...limit, prefix: "login" }),
    await serve(two, { ...limit, prefix: "search" }),
  ];
  for (const port of ports)
    assert.equal((await get(port)).headers["ratelimit-remaining"], "4", "apart");
  const increment = ({ kept }, key) => kept.store.increment(key);
  for (const key of ["", "=", "#", "a\0b", "ä".repeat(100_000), "\ud800"]) {
    assert.equal((await one.run(increment, key)).totalHits, 1, JSON.stringify(key).slice(0, 80));
    assert.equal((await one.run(increment, key)).totalHits, 2);
  }
});

test("a store that no limiter was given says so, and counts outlive their process", async () => {
  const [one, two] = await members(2);
  const limit = { windowMs: 60_000, limit: 5 };
  await assert.rejects(
    one.run(({ group, require }) => {
      const { GroupStore } = require("open-channel/express-rate-limit");
      return new GroupStore(group).increment("ada");
    }),
    /pass it to rateLimit\(\)/,
  );
  await get(await serve(one, limit));
  one.kill("SIGKILL");
  await within(one.ended, "its end");
  await get(await serve(two, limit));
  const third = await member(await two.run(({ group }) => group.name));
  await serve(third, limit);
  assert.equal((await hits(third, "ada")).totalHits, 2);
});
