// Metrics of all workers on any of them, with the real prom-client.
"use strict";
const { test, within, until } = require("./harness.js");
const { members } = require("./members.js");
const assert = require("node:assert/strict");

/** Every worker has metrics of all kinds, with its own figures. */
const tell = (one, number) =>
  one.run(
    async ({ group, require, kept }, number) => {
      const { Counter, Gauge, Histogram, Registry } = require("prom-client");
      const { workerMetrics } = require("open-channel/prom-client");
      const registry = new Registry();
      const registers = [registry];
      const requests = new Counter({
        name: "requests",
        help: "Requests.",
        labelNames: ["way"],
        registers,
      });
      requests.inc({ way: "in" }, number);
      requests.inc({ way: `out-${number}` }, 1);
      const jobs = new Gauge({ name: "jobs", help: "Jobs.", aggregator: "max", registers });
      jobs.set(number);
      const times = new Histogram({ name: "times", help: "Times.", buckets: [1, 10], registers });
      times.observe(number);
      const trap = new Gauge({
        name: "trap",
        help: "What a test does.",
        registers,
        collect: async () => kept.collect?.(),
      });
      trap.set(0);
      kept.metrics = await workerMetrics(group, { registry });
    },
    number,
  );

const collect = (one, options = {}) =>
  one.run(async ({ kept }, options) => {
    const { failed, ...collected } = await kept.metrics.collect(options);
    const reasons = [...failed].map(([id, error]) => [id, error.message]);
    return { ...collected, failed: Object.fromEntries(reasons) };
  }, options);

const value = (text, metric) => {
  const line = text.split("\n").find((line) => line.startsWith(`${metric} `));
  return line === undefined ? undefined : Number(line.slice(metric.length + 1));
};

async function workers() {
  const all = await members(3);
  for (const [i, one] of all.entries()) await tell(one, [2, 5, 20][i]);
  return all;
}

test("any worker has the metrics of all", async () => {
  const all = await workers();
  const ids = all.map((one) => one.id).sort();
  for (const one of all) {
    const { text, contentType, answered, ...rest } = await collect(one);
    assert.deepEqual(answered.sort(), ids);
    assert.deepEqual(rest, { died: [], timedOut: [], failed: {} });
    assert.match(contentType, /^text\/plain; version=0\.0\.4/);
    assert.equal(value(text, 'requests{way="in"}'), 27);
    assert.equal(value(text, 'requests{way="out-5"}'), 1);
    assert.equal(value(text, "jobs"), 20, "aggregated as the metric says");
    assert.equal(value(text, 'times_bucket{le="10"}'), 2);
    assert.equal(value(text, "times_sum"), 27);
    assert.equal(value(text, 'open_channel_workers{state="answered"}'), 3);
  }
});

test("a worker that is killed meanwhile is named, and the others' metrics are there", async () => {
  const [one, two, three] = await workers();
  await two.run(({ kept }) => {
    kept.collect = () => new Promise(() => (kept.asked = true));
  });
  const collected = collect(one, { timeout: 60_000 });
  await until(() => two.run(({ kept }) => kept.asked === true), "the question");
  two.kill("SIGKILL");
  const { text, died, answered, timedOut } = await within(collected, "the metrics");
  assert.deepEqual(died, [two.id]);
  assert.deepEqual(timedOut, []);
  assert.deepEqual(answered.sort(), [one.id, three.id].sort());
  assert.equal(value(text, 'requests{way="in"}'), 22);
  assert.equal(value(text, 'open_channel_workers{state="died"}'), 1);
});

test("a silent worker and a failing one are named, with the reason", async () => {
  const [one, two, three] = await workers();
  two.kill("SIGSTOP");
  await three.run(({ kept }) => {
    kept.collect = () => {
      throw new Error("no database");
    };
  });
  const { text, answered, timedOut, died, failed } = await collect(one, { timeout: 500 });
  two.kill("SIGCONT");
  assert.deepEqual(answered, [one.id]);
  assert.deepEqual(timedOut, [two.id]);
  assert.deepEqual(died, []);
  assert.deepEqual(Object.keys(failed), [three.id]);
  assert.match(failed[three.id], /no database/);
  assert.equal(value(text, 'requests{way="in"}'), 2);
  assert.equal(value(text, 'open_channel_workers{state="timed_out"}'), 1);
  assert.equal(value(text, 'open_channel_workers{state="failed"}'), 1);
});

test("a member that answers nonsense is named, and hurts nobody", async () => {
  const [one, two, three] = await workers();
  await two.run(async ({ kept, group }) => {
    await kept.metrics.close();
    await group.serve("prom-client", () => '[[{"name":"x","values":[],"aggregator":"toString"}]]');
  });
  const { text, failed, answered } = await collect(one);
  assert.deepEqual(answered.sort(), [one.id, three.id].sort());
  assert.match(failed[two.id], new RegExp(`member ${two.id}`));
  assert.equal(value(text, 'requests{way="in"}'), 22);
  await two.run(async ({ group }) => group.close());
  assert.equal(value((await collect(one)).text, 'open_channel_workers{state="failed"}'), 0);
});

test("without options it tells the global registry", async () => {
  const [one, two] = await members(2);
  const start = async ({ group, require, kept }) => {
    const { Counter } = require("prom-client");
    const { workerMetrics } = require("open-channel/prom-client");
    new Counter({ name: "global", help: "A counter." }).inc();
    kept.metrics = await workerMetrics(group);
  };
  await Promise.all([one.run(start), two.run(start)]);
  assert.equal(value((await collect(two)).text, "global"), 2);
});
