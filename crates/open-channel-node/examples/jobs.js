// A job queue: whoever has room takes the next job, and none is lost when its worker is killed.
//
// In any number of terminals, or under PM2 with `-i 4 -- work`:
//
//     $ node examples/jobs.js work
//     thumbnail of 1.jpg, attempt 1
//     thumbnail of 2.jpg, attempt 1
//     thumbnail of 3.jpg, attempt 1
//
//     $ node examples/jobs.js push 1.jpg 2.jpg 3.jpg
//     1.jpg is done
//     2.jpg is done
//     3.jpg is done
//
// A job lives in the process that pushed it, which waits until it is done. A worker that is killed
// gives its jobs to others, who see that it is the second attempt.
"use strict";
const { setTimeout: work } = require("node:timers/promises");
const { Group } = require("open-channel/group");

const [task, ...images] = process.argv.slice(2);

async function main() {
  const group = await Group.join("example-jobs");
  const thumbnails = group.queue("thumbnails");

  const push = async (image) => {
    await thumbnails.push(image, { maxAttempts: 5 });
    console.log(`${image} is done`);
  };
  if (task === "push") {
    await Promise.all(images.map(push));
    return group.close();
  }

  thumbnails.process(2, async ({ value, attempt }) => {
    console.log(`thumbnail of ${value}, attempt ${attempt}`);
    await work(200);
  });
  for (const signal of ["SIGINT", "SIGTERM"])
    process.once(signal, () => group.close().then(() => process.exit()));
}

main();
