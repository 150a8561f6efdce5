// The programs of the README, each with what its comments promise.
"use strict";
const { scratch } = require("./harness.js");
const { installed } = require("./packed.js");
const fs = require("node:fs");
const path = require("node:path");

const readme = path.join(__dirname, "..", "README.md");
const text = fs.readFileSync(readme, "utf8");

/** The programs on a page. */
function snippetsOf(page) {
  const found = fs.readFileSync(page, "utf8").matchAll(/^```js\n([^]*?)^```$/gm);
  return [...found].map(([, code], index) => ({
    name: `snippet ${index + 1} of ${path.basename(page, ".md")}`,
    file: `snippet-${index + 1}.${/^import /m.test(code) ? "mjs" : "js"}`,
    code,
    promises: [...code.matchAll(/console\.log\(.*\);? \/\/ (.*)$/gm)].map((match) => match[1]),
    ends: code.includes("process.exit()"),
  }));
}

const snippets = snippetsOf(readme);

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

module.exports = { text, snippets, snippetsOf, place };
