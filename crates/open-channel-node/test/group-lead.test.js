// Roles.
"use strict";
const { test, until, within } = require("./harness.js");
const { meeting } = require("./group-harness.js");
const assert = require("node:assert/strict");

const leader = async (group, { say, asked }) => {
  const done = group.lead("cron", async (signal, token) => {
    say("leads", token);
    await new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      asked("done").then(resolve);
    });
    return "done";
  });
  done.then(
    (result) => say("ended", result),
    (error) => say("failed", error.code),
  );
  say("ready");
  await asked("leave");
  await group.close();
  say("left");
};

test("a role is one member's, and the next one's when that is killed or leaves", async (t) => {
  const { member } = meeting(t);
  const [one, two, three] = [member(leader), member(leader), member(leader)];
  const all = [one, two, three];
  await Promise.all(all.map((other) => other.line("ready")));
  const leads = (other) => other.lines.some((line) => line.startsWith("leads"));
  const [first] = await until(() => {
    const leaders = all.filter(leads);
    return leaders.length > 0 && leaders;
  });
  first.kill("SIGKILL");
  const second = await until(() => all.find((other) => other !== first && leads(other)));
  const third = all.find((other) => other !== first && other !== second);
  assert.equal(leads(third), false);
  second.ask("leave");
  await second.line("failed ERR_OPEN_CHANNEL_CLOSED");
  await third.line(/^leads/);
  await second.line("left");
  third.ask("done");
  await third.line("ended done");
  const tokens = [first, second, third].map((other) =>
    BigInt(other.lines.find((line) => line.startsWith("leads")).split(" ")[1]),
  );
  assert.ok(tokens[0] < tokens[1] && tokens[1] < tokens[2], tokens.join());
});

test("a task whose role is stolen runs again when it is free", async (t) => {
  const { join } = meeting(t);
  const [one, two] = [await join(), await join()];
  const runs = [];
  let finish;
  const led = one.lead("cron", async (signal) => {
    runs.push(signal);
    if (runs.length === 2) return "the second time";
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    throw signal.reason;
  });
  await until(() => runs.length === 1);
  const thief = two.lead(
    "cron",
    () => new Promise((resolve) => (finish = resolve)),
    { steal: true },
  );
  await until(() => runs[0].aborted && finish);
  assert.equal(runs[0].reason.code, "ERR_OPEN_CHANNEL_LOST");
  assert.equal(runs.length, 1);
  finish("stolen");
  assert.equal(await thief, "stolen");
  assert.equal(await within(led, "the second run"), "the second time");
});

test("a signal ends the waiting, and tells a task that runs", async (t) => {
  const { join } = meeting(t);
  const group = await join();
  const [first, second] = [new AbortController(), new AbortController()];
  const reason = new Error("enough");
  let runs = 0;
  const led = group.lead(
    "cron",
    (signal) => {
      runs++;
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    },
    { signal: first.signal },
  );
  const waits = group.lead("cron", () => assert.fail(), { signal: second.signal });
  await until(() => runs === 1);
  second.abort(reason);
  await assert.rejects(waits, reason);
  first.abort(reason);
  await assert.rejects(led, reason);
  assert.equal(await group.lead("cron", () => "free"), "free");
  await assert.rejects(
    group.lead("cron", () => {
      throw new Error("failed");
    }),
    /failed/,
  );
  assert.equal(await group.lead("cron", () => "free again"), "free again");
  await assert.rejects(group.lead("cron", 5), { code: "ERR_INVALID_ARG_TYPE" });
});
