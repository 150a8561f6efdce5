// A job that runs on time in one of many workers, and in the next one when that is gone.
//
//     pm2 start examples/cron.js -i 4 && pm2 logs cron
//
// Works the same for processes started by hand: `node examples/cron.js` in several terminals. Then
// kill the one that runs the jobs.
//
//     worker 0 is there
//     worker 0 runs the jobs
//     worker 1 is there
//     worker 0: report 1
//     worker 0: report 2
//     worker 1 runs the jobs
//     worker 1: report 3
"use strict";
const { setInterval } = require("node:timers/promises");
const { Group } = require("open-channel/group");

const EVERY = Number(process.argv[2] ?? 1000);
const me = process.env.NODE_APP_INSTANCE ?? process.pid;

async function main() {
  const group = await Group.join("example-cron");
  const reports = group.map("reports");
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stop.abort());

  console.log(`worker ${me} is there`);
  const jobs = async (signal) => {
    console.log(`worker ${me} runs the jobs`);
    for await (const _ of setInterval(EVERY, undefined, { signal }))
      console.log(`worker ${me}: report ${await reports.increment("number")}`);
  };
  await group.lead("cron", jobs, { signal: stop.signal }).catch((error) => {
    if (!stop.signal.aborted) throw error;
  });
  await group.close();
  process.exit(); // PM2's own connection would keep it alive
}

main();
