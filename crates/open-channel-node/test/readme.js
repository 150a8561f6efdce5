// The programs of the README, each with what its comments promise.
"use strict";
const { scratch } = require("./harness.js");
const { installed } = require("./packed.js");
const fs = require("node:fs");
const path = require("node:path");

const text = fs.readFileSync(path.join(__dirname, "..", "README.md"), "utf8");

const snippets = [...text.matchAll(/^```js\n([^]*?)^```$/gm)].map(([, code], index) => ({
  name: `snippet ${index + 1} of the README`,
  file: `snippet-${index + 1}.${/^import /m.test(code) ? "mjs" : "js"}`,
  code,
  promises: [...code.matchAll(/console\.log\(.*\);? \/\/ (.*)$/gm)].map((match) => match[1]),
  ends: code.includes("process.exit()"),
}));

/** Puts a snippet where `open-channel` is installed from what npm packs, and returns its path. */
function place(snippet) {
  const app = path.join(scratch, "readme");
  if (!fs.existsSync(app)) {
    installed(app);
    const manifest = { private: true, type: "commonjs", dependencies: { "open-channel": "*" } };
    fs.writeFileSync(path.join(app, "package.json"), JSON.stringify(manifest));
  }
  const script = path.join(app, snippet.file);
  fs.writeFileSync(script, snippet.code);
  return script;
}

module.exports = { text, snippets, place };
