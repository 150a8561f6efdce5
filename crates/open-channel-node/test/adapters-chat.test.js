// The chat of the examples under the real PM2, which reloads, scales and loses workers.
"use strict";
const { test, until, scratch } = require("./harness.js");
const { pm2, pids } = require("./pm2.js");
const { connect } = require("./socket-io.js");
const assert = require("node:assert/strict");
const { once } = require("node:events");
const net = require("node:net");
const path = require("node:path");

const chat = path.join(__dirname, "..", "examples", "chat.js");

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A client that writes, and keeps the texts that it got. */
async function guest(port, name) {
  const options = { query: { name } };
  // The workers come up one after the other.
  const client = await connect(port, [], options);
  client.on("said", (who, text) => client.texts.push(`${who}: ${text}`));
  client.texts = [];
  return client;
}

test("a chat under PM2 goes on while its workers are reloaded, scaled and killed", {
  timeout: 150_000,
}, async (t) => {
  t.after(() => pm2("kill"));
  const port = await freePort();
  const name = `chat-${path.basename(scratch)}`;
  const settings = { PORT: String(port) };
  await pm2("start", chat, "--name", name, "-i", "3", "--kill-timeout", "10000", settings);
  await until(async () => (await pids()).length === 3, "three workers", 30_000);
  const guests = [];
  for (const who of ["ada", "bob", "cy", "dan"]) guests.push(await guest(port, who));

  let said = 0;
  const expected = [];
  /** One after the other says something, and everybody gets it once. */
  const talk = async () => {
    for (const [i, client] of guests.entries()) {
      await until(() => client.connected, "a connection", 30_000);
      const text = `text ${++said}`;
      expected.push(`${["ada", "bob", "cy", "dan"][i]}: ${text}`);
      client.emit("say", text);
      for (const [j, each] of guests.entries())
        await until(
          () => each.texts.length === expected.length,
          `text ${said} at guest ${j}, who has ${each.texts.length}`,
          30_000,
        );
    }
  };
  await talk();
  await pm2("reload", name);
  await talk();
  await pm2("scale", name, "5");
  await talk();
  await pm2("scale", name, "2");
  await talk();
  const [victim] = await pids();
  process.kill(victim, "SIGKILL");
  await until(async () => {
    const now = await pids();
    return now.length === 2 && !now.includes(victim);
  }, "a new worker", 30_000);
  await talk();
  for (const client of guests) assert.deepEqual(client.texts, expected);
  await pm2("delete", name);
});
