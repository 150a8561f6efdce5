// Calls and services.
"use strict";
const { test, until, within } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");

const server = async (group, { say, asked }) => {
  await group.serve("double", (n) => n * 2);
  await group.serve("where", () => group.id);
  await group.serve("fail", () => {
    throw new RangeError("too small");
  });
  await group.serve("never", (_, { signal }) => {
    say("asked");
    signal.addEventListener("abort", () => say("given up", signal.reason.code));
    return new Promise(() => {});
  });
  say("ready", group.id);
  await asked("leave");
  await group.close();
};

test("a service in another process answers with values, and fails with words", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  await member(server).line(/^ready/);
  assert.equal(await group.call("double", 21), 42);
  assert.ok(Number.isNaN(await group.call("double")));
  const failed = group.call("fail");
  await assert.rejects(failed, {
    code: "ERR_OPEN_CHANNEL_FAILED",
    reason: "RangeError: too small",
    message: "the handler failed: RangeError: too small",
  });
  await assert.rejects(group.call("nothing"), { code: "ERR_OPEN_CHANNEL_NO_SUCH_SERVICE" });
  await assert.rejects(group.call("double", 1, { member: group.id }), {
    code: "ERR_OPEN_CHANNEL_NO_SUCH_SERVICE",
  });
  await assert.rejects(group.call("double", 1, { member: "none" }), {
    code: "ERR_OPEN_CHANNEL_DIED",
  });
  await assert.rejects(group.call("double", Symbol("x")), { name: "DataCloneError" });
  await assert.rejects(group.call("double", Buffer.alloc(64 << 20)), {
    code: "ERR_OPEN_CHANNEL_TOO_LARGE",
  });
  await assert.rejects(group.call("", 1), { code: "ERR_OPEN_CHANNEL_INVALID_NAME" });
});

test("an answer that cannot be sent fails its call only", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  await group.serve("function", () => () => {});
  await group.serve("large", () => Buffer.alloc(64 << 20));
  await group.serve("good", () => Buffer.from("good"));
  await group.serve("odd", () => {
    throw Object.assign(new Error(), { message: { code: 7 } });
  });
  await group.serve("bare", () => {
    throw Object.create(null);
  });
  const reason = /^DataCloneError: .*could not be cloned/;
  await assert.rejects(group.call("function"), { reason });
  await assert.rejects(group.call("large"), { reason: /too large/ });
  await assert.rejects(group.call("odd"), { reason: "[object Object]" });
  await assert.rejects(group.call("bare"), { reason: "it threw what cannot be told" });
  assert.equal(String(await group.call("good")), "good");
});

test("the death of whoever has the call is known at once", async (t) => {
  const { join, member } = meeting(t);
  const other = member(server); // and host
  await other.line(/^ready/);
  const group = await join();
  const call = group.call("never");
  await other.line("asked");
  const before = Date.now();
  other.kill("SIGKILL");
  await assert.rejects(call, { code: "ERR_OPEN_CHANNEL_DIED" });
  assert.ok(Date.now() - before < 2_500, "this is no timeout");
});

test("an idempotent call goes on to the next one", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const dying = member(async (group, { say }) => {
    await group.serve("where", () => {
      process.kill(process.pid, "SIGKILL");
    });
    say("ready");
  });
  await dying.line("ready");
  const others = member(server);
  const id = (await others.line(/^ready/)).split(" ")[1];
  const calls = [1, 2].map(() => group.call("where", 0, { idempotent: true }));
  assert.deepEqual(await within(Promise.all(calls), "both"), [id, id]);
  assert.equal((await within(dying.ended, "its end")).signal, "SIGKILL");
});

test("a call is given up by its timeout and its signal, and its handler learns so", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const other = member(server);
  await other.line(/^ready/);
  await assert.rejects(group.call("never", 0, { timeout: 50 }), {
    code: "ERR_OPEN_CHANNEL_TIMED_OUT",
  });
  await other.line("given up ERR_OPEN_CHANNEL_CANCELLED");
  const reason = new Error("enough");
  const abort = new AbortController();
  const call = group.call("never", 0, { signal: abort.signal });
  await until(() => other.lines.filter((line) => line === "asked").length === 2);
  abort.abort(reason);
  await assert.rejects(call, reason);
  await until(() => other.lines.filter((line) => line.startsWith("given up")).length === 2);
  await assert.rejects(group.call("double", 1, { signal: AbortSignal.abort(reason) }), reason);
  await assert.rejects(group.call("double", 1, { timeout: -1 }), { code: "EINVAL" });
  assert.equal(await group.call("double", 1, { timeout: Infinity }), 2);
});

test("all are asked, and the dead, the late and the failing are named", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const [good, bad, late, dead] = ["good", "bad", "late", "dead"].map((role) =>
    member(
      async (group, { say }) => {
        const { role } = group.members.find(({ id }) => id === group.id).labels;
        await group.serve("metrics", async (value) => {
          say("asked");
          if (role === "bad") throw new Error("broken");
          if (role !== "good") await new Promise(() => {});
          return { role, value };
        });
        say("ready", group.id);
      },
      { labels: { role } },
    ),
  );
  const ids = [];
  for (const other of [good, bad, late, dead]) ids.push((await other.line(/^ready/)).split(" ")[1]);
  const all = group.callAll("metrics", 7, { timeout: 1_500 });
  await dead.line("asked");
  dead.kill("SIGKILL");
  const { answered, failed, died, timedOut } = await all;
  assert.deepEqual([...answered], [[ids[0], { role: "good", value: 7 }]]);
  assert.deepEqual([...failed.keys()], [ids[1]]);
  assert.equal(failed.get(ids[1]).reason, "broken");
  assert.deepEqual(timedOut, [ids[2]]);
  assert.deepEqual(died, [ids[3]]);
  const none = await group.callAll("nothing");
  assert.equal(none.answered.size, 0);
});

test("calls go on when the host dies, and run once", async (t) => {
  const { join, member } = meeting(t);
  const hosts = [];
  const start = async () => {
    const host = member(async (group, { say }) => say("here"));
    await host.line("here");
    hosts.push(host);
  };
  await start();
  const serving = await join();
  await start();
  const calling = await join();
  const ran = new Map();
  await serving.serve("n", async (n) => {
    ran.set(n, (ran.get(n) ?? 0) + 1);
    return n + 1;
  });
  let number = 0;
  for (let round = 0; round < 3; round++) {
    const calls = Array.from({ length: 200 }, () => {
      const n = number++;
      return calling.call("n", n).then((answer) => assert.equal(answer, n + 1));
    });
    hosts.shift().kill("SIGKILL");
    await within(Promise.all(calls), "the calls");
    if (round < 2) await start();
    else break;
    if (hosts.length === 0) break;
  }
  assert.deepEqual([...new Set(ran.values())], [1]);
  assert.equal(ran.size, number);
});

test("a service is served once by a member, and closing it waits for what runs", async (t) => {
  const { join } = meeting(t);
  const [one, two] = [await join(), await join()];
  let finish;
  const running = new Promise((started) => {
    one
      .serve("a", () => {
        started();
        return new Promise((resolve) => (finish = resolve));
      })
      .then(async (service) => {
        await assert.rejects(one.serve("a", () => {}), { code: "ERR_OPEN_CHANNEL_ALREADY_SERVED" });
        const call = two.call("a");
        await running;
        let closed = false;
        const closing = service.close().then(() => (closed = true));
        await until(() => two.members.every(({ services }) => services.length === 0));
        assert.equal(closed, false);
        finish("the end");
        assert.equal(await call, "the end");
        await closing;
        finish(undefined);
      });
  });
  await within(running, "the call");
  await until(() => two.members.every(({ services }) => services.length === 0));
  const again = await within(one.serve("a", () => 5), "the service again");
  assert.equal(await two.call("a"), 5);
  await again.close();
  await assert.rejects(one.serve("a", 5), { code: "ERR_INVALID_ARG_TYPE" });
});

test("a group that is left answers what runs, and takes no more", async (t) => {
  const { join, member } = meeting(t);
  const group = await join();
  const other = member(async (group, { say, asked }) => {
    await group.serve("slow", async () => {
      say("asked");
      await asked("answer");
      return "answered";
    });
    say("ready");
    await asked("leave");
    await group.close();
    say("left");
  });
  await other.line("ready");
  const call = group.call("slow");
  await other.line("asked");
  other.ask("leave");
  await until(() => group.members.every(({ services }) => services.length === 0));
  await assert.rejects(group.call("slow"), { code: "ERR_OPEN_CHANNEL_NO_SUCH_SERVICE" });
  other.ask("answer");
  assert.equal(await call, "answered");
  await other.line("left");
  assert.deepEqual(await within(other.ended, "its end"), { code: 0, signal: null });
});
