// AsyncLocalStorage: listeners run in the context in which those of node:net run.
"use strict";
const { test, fixture, within, node } = require("./harness.js");
const assert = require("node:assert/strict");

async function contexts(...args) {
  const child = node(fixture("contexts.js"), args);
  assert.deepEqual(await within(child.ended, "its end"), { code: 0, signal: null });
  return JSON.parse(child.lines[0]);
}

for (const [where, ...args] of [["the main thread"], ["a worker thread", "worker"]]) {
  test(`listeners run in the contexts of node:net, on ${where}`, async () => {
    const theirs = await contexts("net", ...args);
    const ours = await contexts("channel", ...args);
    // Node gives a socket that a server accepted no context. Here it has that of the listener.
    for (const name of ["accepted data", "accepted end", "accepted close"]) {
      if (theirs[name] === "none") theirs[name] = "listen";
    }
    assert.deepEqual(ours, theirs);
    assert.equal(ours["client data"], "connect");
    assert.equal(ours.listener, "listen");
  });
}
