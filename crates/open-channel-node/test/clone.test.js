// Trying the package from a clone of the repository.
"use strict";
const { test, scratch } = require("./harness.js");
const { root } = require("./packed.js");
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

test(
  "from a clone, the one command of the README installs it for a program",
  { timeout: 170_000 },
  () => {
    const readme = fs.readFileSync(path.join(root, "README.md"), "utf8");
    const [, script] = /^node \.\.\/open-channel\/crates\/open-channel-node\/(\S+)$/m.exec(readme);
    const app = path.join(scratch, "trial");
    fs.mkdirSync(app);
    const manifest = path.join(app, "package.json");
    fs.writeFileSync(manifest, JSON.stringify({ private: true }));
    execFileSync(process.execPath, [path.join(root, script)], { cwd: app, stdio: "pipe" });
    assert.equal(
      Object.keys(JSON.parse(fs.readFileSync(manifest, "utf8")).dependencies)[0],
      "open-channel",
    );
    const say =
      "const channel = require('open-channel').openChannel((socket) => socket.end('hello'));" +
      "channel.connect().on('data', (data) => console.log(String(data)))";
    assert.equal(
      execFileSync(process.execPath, ["-e", say], { cwd: app, encoding: "utf8" }),
      "hello\n",
    );
  },
);
