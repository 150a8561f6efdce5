// The package is loaded, and not used.
"use strict";
test("it has its exports", () => {
  expect(typeof require("../..").openChannel).toBe("function");
});
