// Time stands still, before the package is loaded and while it is.
/** @jest-environment node */
"use strict";
const { once } = require("node:events");

jest.useFakeTimers();
const { openChannel } = require("../..");

test("messages go both ways, and closing ends", async () => {
  expect(jest.isMockFunction(setTimeout) || "clock" in setTimeout).toBe(true);
  const channel = openChannel(`jest-${process.pid}`, (socket) =>
    socket.on("data", (data) => socket.write(data)),
  );
  const socket = channel.connect();
  for (const text of ["one", "two"]) {
    socket.write(text);
    expect(String((await once(socket, "data"))[0])).toBe(text);
  }
  await socket.flush();
  await channel.close();
});
