// The metrics of all workers, on any of them; what is dead or silent is named, and fails nothing.
//
//     pm2 start examples/metrics.js -i 4 && curl http://localhost:8080/metrics
//
//     requests{worker="0"} 17
//     requests{worker="1"} 12
//     silent{worker="2"} 1
//
// PM2 gives all workers one port. By hand, give each its own: `PORT=8081 node examples/metrics.js`.
"use strict";
const http = require("node:http");
const { Group } = require("open-channel/group");

const worker = String(process.env.NODE_APP_INSTANCE ?? process.pid);
let requests = 0;

async function main() {
  const group = await Group.join("example-metrics", { labels: { worker } });
  await group.serve("metrics", () => ({ requests }));

  const metrics = async () => {
    const labels = new Map(group.members.map(({ id, labels }) => [id, labels.worker]));
    const { answered, failed, timedOut } = await group.callAll("metrics", null, { timeout: 500 });
    const lines = [...answered].map(
      ([id, { requests }]) => `requests{worker="${labels.get(id)}"} ${requests}`,
    );
    for (const id of [...failed.keys(), ...timedOut])
      lines.push(`silent{worker="${labels.get(id)}"} 1`);
    return lines.sort().join("\n");
  };

  const server = http.createServer(async ({ url }, response) => {
    requests++;
    response.end(url === "/metrics" ? `${await metrics()}\n` : `hello from ${worker}\n`);
  });
  server.listen(Number(process.env.PORT ?? 8080), () =>
    console.log(`worker ${worker} listens on ${server.address().port}`),
  );
  const stop = async () => {
    server.close();
    await group.close();
    process.exit();
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);
}

main();
