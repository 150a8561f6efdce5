// A channel is used, and closed.
"use strict";
const { once } = require("node:events");
const { openChannel } = require("../..");

test("a channel that was closed leaves nothing open", async () => {
  const channel = openChannel(`jest-${process.pid}`, (socket) =>
    socket.on("data", (data) => socket.write(data)),
  );
  const socket = channel.connect();
  socket.write("hello");
  expect(String((await once(socket, "data"))[0])).toBe("hello");
  await channel.close();
});
