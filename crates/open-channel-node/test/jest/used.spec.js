// A channel is used, and closed.
"use strict";
const { once } = require("node:events");
const { openChannel } = require("../..");

test("a group that was left leaves nothing open", async () => {
  const { Group } = require("../../dist/group.js");
  const group = await Group.join(`jest-${process.pid}`);
  const heard = [];
  await group.subscribe("a", ({ value }) => void heard.push(value)).ready;
  const service = await group.serve("s", (value) => value + 1);
  const worker = group.queue("q").process(() => {});
  group.map("m").on("change", () => {});
  await group.publish("a", { n: 1 });
  await group.queue("q").push("job");
  expect(await group.call("s", 1)).toBe(2);
  expect(heard).toEqual([{ n: 1 }]);
  (await group.lock("l")).release();
  await expect(group.call("nothing")).rejects.toThrow("no member serves this");
  await worker.close();
  await service.close();
  await group.close();
  await expect(Group.join("x".repeat(300))).rejects.toThrow();
});

test("a channel that was closed leaves nothing open", async () => {
  const channel = openChannel(`jest-${process.pid}`, (socket) =>
    socket.on("data", (data) => socket.write(data)),
  );
  const socket = channel.connect();
  socket.write("hello");
  expect(String((await once(socket, "data"))[0])).toBe("hello");
  await channel.close();
});
