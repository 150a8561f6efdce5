// Nothing grows.
"use strict";
const { test, within, node, fixture } = require("./harness.js");
const assert = require("node:assert/strict");

test("memory does not grow over a million messages", { timeout: 120_000 }, async (t) => {
  const child = node(fixture("million.js"), [], {});
  assert.equal((await within(child.ended, "a million messages", 110_000)).code, 0);
  const { early, late } = JSON.parse(child.lines.at(-1));
  t.diagnostic(`host: ${early} MiB after 200 000 messages, ${late} MiB after 1 000 000`);
  assert.ok(late < early + 24, `${early} MiB, then ${late} MiB`);
});

test("a peer that is paused does not make memory grow", { timeout: 60_000 }, async (t) => {
  const child = node(fixture("paused.js"), [], {});
  assert.equal((await within(child.ended, "its end", 50_000)).code, 0);
  const { grown } = JSON.parse(child.lines.at(-1));
  t.diagnostic(`${grown} MiB more with a reader that is paused`);
  assert.ok(grown < 64, `${grown} MiB`);
});
