// Under test runners, which load a package once for each file of tests, look for what stays open,
// and let time stand still.
"use strict";
const { test, fixture, within, start, node } = require("./harness.js");
const assert = require("node:assert/strict");
const path = require("node:path");

test("loading it starts no thread, and opens nothing", async () => {
  const child = node(fixture("loaded.js"));
  await within(child.ended, "its end");
  assert.deepEqual(JSON.parse(child.lines[0]), { threads: 0, resources: [] });
});

test("Jest finds nothing open, and its fake timers stop nothing", { timeout: 90_000 }, async () => {
  const jest = path.join(path.dirname(require.resolve("jest/package.json")), "bin", "jest.js");
  const args = ["--rootDir", path.join(__dirname, "jest"), "--testMatch", "**/*.spec.js"];
  const run = [jest, ...args, "--detectOpenHandles", "--no-cache", "--ci"];
  const child = start(process.execPath, run, { stdio: ["ignore", "pipe", "pipe"] });
  let report = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (report += text));
  const { code } = await within(child.ended, "its end", 80_000);
  assert.equal(code, 0, report);
  assert.match(report, /Tests: +4 passed, 4 total/);
  assert.doesNotMatch(report, /open handle/);
});

for (const whose of ["Sinon", "node:test"]) {
  for (const when of ["before", "after"]) {
    test(`the clock of ${whose}, stopped ${when} it is loaded, does not stop it`, async () => {
      const child = node(fixture("faked.js"), [whose, when]);
      assert.deepEqual(await within(child.ended, "its end"), { code: 0, signal: null });
      const said = ["3000 messages", "3000 publications", "flush: ETIMEDOUT", "closed, and not handled"];
      assert.deepEqual(child.lines, said);
    });
  }
}
