// Rust and Node processes on one channel, either as host.
"use strict";
const { test, until, within, unique, start, node, fixture, Ledger } = require("./harness.js");
const assert = require("node:assert/strict");
const path = require("node:path");

const rust = path.join(__dirname, "..", "target", "member");

test("the host goes from Rust to Node to Rust, killed each time, and nothing is lost", async (t) => {
  const ledger = new Ledger();
  const env = {
    LEDGER: ledger.file,
    CHANNEL: unique(),
    OPTIONS: JSON.stringify({ scope: "user" }),
  };
  const startRust = () => start(rust, [], { env });
  const startNode = () => node(fixture("member.js"), [], { env });
  const hostNow = () =>
    ledger
      .entries()
      .filter((entry) => entry.handled)
      .at(-1)
      ?.by.split(".")[0];
  const connected = (member) =>
    until(() => ledger.entries().some((entry) => entry.connected === member.pid), "a connection");

  const hosts = [];
  // One at a time, so that it is known who hosts next.
  let host = startRust();
  await connected(host);
  for (const next of [startNode, startRust, startNode]) {
    await until(() => hostNow() === String(host.pid), "messages at the host");
    hosts.push(path.basename(host.spawnfile));
    const successor = next();
    await connected(successor);
    await until(
      () =>
        ledger.entries().filter((entry) => entry.writer?.startsWith(`${successor.pid}.`)).length >
        50,
      "messages of both",
    );
    host.kill("SIGKILL");
    await host.ended;
    host = successor;
  }
  await until(() => hostNow() === String(host.pid), "messages at the last host");
  host.kill("SIGTERM");
  await within(host.ended, "its end");
  const figures = ledger.audit();
  t.diagnostic(JSON.stringify({ hosts: [...hosts, path.basename(host.spawnfile)], ...figures }));
  assert.equal(figures.writers, 1);
  assert.equal(figures.lost, 0, "lost");
  assert.equal(figures.duplicatesUnmarked, 0, "duplicates without the mark");
});

test("a Node host and a Rust host serve peers of both languages", async (t) => {
  const user = { OPTIONS: JSON.stringify({ scope: "user" }) };
  const places = [
    ["rust", user],
    ["node", user],
    ["rust", { OPEN_CHANNEL_SCOPE: "user" }],
    ["node", { OPEN_CHANNEL_APP: "shop" }],
  ];
  for (const [first, place] of places) {
    const ledger = new Ledger();
    const env = { LEDGER: ledger.file, CHANNEL: unique(), ...place };
    const members = [];
    for (const kind of first === "rust" ? ["rust", "node", "rust"] : ["node", "rust", "node"]) {
      const member =
        kind === "rust" ? start(rust, [], { env }) : node(fixture("member.js"), [], { env });
      members.push([kind, member]);
      await until(
        () => ledger.entries().some((entry) => entry.connected === member.pid),
        "a connection",
      );
    }
    await until(() => ledger.handled > 500, "traffic");
    for (const [kind, member] of members.reverse()) {
      if (kind === "rust") member.stdin.end();
      else member.kill("SIGTERM");
      await within(member.ended, "its end");
    }
    const figures = ledger.audit();
    t.diagnostic(`${first} first, ${JSON.stringify(place)}: ${JSON.stringify(figures)}`);
    assert.equal(figures.writers, 3);
    assert.equal(figures.lost, 0, "lost");
    assert.equal(
      figures.duplicatesMarked + figures.duplicatesUnmarked,
      0,
      "nothing was killed, so nothing comes twice",
    );
  }
});
