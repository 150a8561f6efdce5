// A chat on all PM2 workers, without Redis: whoever is connected to one of them talks to all.
//
//     npm install open-channel socket.io socket.io-adapter
//     pm2 start examples/chat.js -i 4 && pm2 logs chat
//
// Open http://localhost:3000 in several windows, and reload, scale or kill workers meanwhile.
//
//     worker 2: Ada is here, with 1 other
//     worker 2: Ada says hello
"use strict";
const { createServer } = require("node:http");
const { Group } = require("open-channel/group");
const { createAdapter } = require("open-channel/socket.io");
const { Server } = require("socket.io");

const page = `<!doctype html>
<input id="text" autofocus placeholder="Say something"><ul id="list"></ul>
<script src="/socket.io/socket.io.js"></script>
<script>
  const name = prompt("Your name?");
  // Without long polling, a client needs no "sticky" worker.
  const socket = io({ transports: ["websocket"], query: { name } });
  socket.on("said", (who, text) => {
    list.appendChild(document.createElement("li")).textContent = who + ": " + text;
  });
  text.onchange = () => {
    socket.emit("say", text.value);
    text.value = "";
  };
</script>`;

const me = process.env.NODE_APP_INSTANCE ?? process.pid;
const log = (text) => console.log(`worker ${me}: ${text}`);

async function main() {
  const group = await Group.join("chat");
  group.on("error", (error) => log(error.message));
  const server = createServer((request, response) => {
    response.setHeader("content-type", "text/html; charset=utf-8").end(page);
  });
  const io = new Server(server, {
    adapter: createAdapter(group),
    transports: ["websocket"],
    // Who is cut off gets what was said meanwhile, from whichever worker it comes back to.
    connectionStateRecovery: {},
  });

  io.on("connection", async (socket) => {
    const name = String(socket.handshake.query.name);
    socket.on("say", (text) => {
      log(`${name} says ${text}`);
      io.emit("said", name, String(text));
    });
    const others = (await io.fetchSockets()).length - 1;
    log(`${name} is here, with ${others} other${others === 1 ? "" : "s"}`);
  });
  server.listen(process.env.PORT ?? 3000);

  process.once("SIGINT", async () => {
    await io.close();
    await group.close();
    process.exit();
  });
}

void main();
