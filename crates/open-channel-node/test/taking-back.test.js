// A message that nobody has taken comes back to its writer, and is never delivered.
"use strict";
const { test, until, within, next, unique } = require("./harness.js");
const assert = require("node:assert/strict");
const { openChannel } = require("..");

/** Both ends of a socket whose listener acknowledges by hand. */
async function pair(options) {
  let far;
  const channel = openChannel(
    { name: unique(), app: "taking-back", acknowledge: "manual", ...options },
    (socket) => {
      far = socket;
    },
  );
  const near = channel.connect();
  await next(near, "connect");
  await until(() => far !== undefined, "the other end");
  return { channel, near, far };
}

const texts = (buffers) => buffers.map(String);

test("a message that the other side has not taken comes back, and it never gets it", async () => {
  const { channel, near, far } = await pair();
  const taken = [];
  far.on("message", (message) => {
    taken.push(message);
    if (taken.length === 2) far.pause();
  });
  for (const text of ["1", "2"]) near.write(text);
  await until(() => taken.length === 2, "two messages");
  for (const text of ["3", "4", "5"]) near.write(text);
  const back = await within(near.takeBack(), "what nobody has taken");
  assert.deepEqual(texts(back), ["3", "4", "5"]);
  assert.deepEqual(await within(near.takeBack(), "nothing more"), []);
  for (const message of taken) message.ack();
  await within(near.flush(), "flush");
  far.resume();
  near.write("6");
  await until(() => taken.length === 3, "the next one");
  assert.deepEqual(taken.map((message) => String(message.data)), ["1", "2", "6"]);
  taken[2].ack();
  await channel.close();
});

test("a message that waits for a host comes back at once", async () => {
  const channel = openChannel({ name: unique(), app: "taking-back", connectTimeout: 30_000 });
  const socket = channel.connect();
  socket.write("work");
  assert.deepEqual(texts(await within(socket.takeBack(), "what was never sent")), ["work"]);
  socket.destroy();
  await channel.close();
});

test("a socket that is destroyed takes nothing back", async () => {
  const { channel, near } = await pair();
  near.write("work");
  near.destroy();
  await assert.rejects(near.takeBack(), { code: "EPIPE" });
  await channel.close();
});
