// A limit of requests for each client, over all workers together.
//
//     LIMIT=3 pm2 start examples/rate-limit.js -i 4
//
// Whichever worker answers, the fourth request within a minute is too many:
//
//     $ for i in 1 2 3 4; do curl http://localhost:8080; done
//     request 1 of 3
//     request 2 of 3
//     request 3 of 3
//     too many requests
//
// PM2 gives all workers one port. By hand, give each its own: `PORT=8081 node …`.
"use strict";
const http = require("node:http");
const { Group } = require("open-channel/group");

const LIMIT = Number(process.env.LIMIT ?? 100);
const WINDOW = 60_000;

async function main() {
  const group = await Group.join("example-rate-limit");
  const counts = group.map("requests");

  /** How many requests a client has made in this minute, with this one. */
  const count = (client) => {
    const minute = Math.floor(Date.now() / WINDOW);
    return counts.increment(`${client} ${minute}`, 1, { ttl: WINDOW });
  };

  const server = http.createServer(async (request, response) => {
    const number = await count(request.socket.remoteAddress);
    if (number > LIMIT) response.writeHead(429).end("too many requests\n");
    else response.end(`request ${number} of ${LIMIT}\n`);
  });
  server.listen(Number(process.env.PORT ?? 8080), () =>
    console.log(`listens on ${server.address().port}`),
  );
  const stop = async () => {
    server.close();
    await group.close();
    process.exit();
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);
}

main();
