// The package as npm would install it: from packed files.
"use strict";
const { scratch } = require("./harness.js");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { triple } = require("../dist/triple.js");

const root = path.join(__dirname, "..");
const platform = `open-channel-${triple()}`;
const addon = `open-channel.${triple()}.node`;

/** Packs what is in a folder, and returns what npm says about it. */
function pack(folder) {
  const args = ["pack", "--json", "--pack-destination", scratch, "--loglevel", "silent"];
  const output = execFileSync("npm", args, {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [packed] = JSON.parse(output.replace(/^[^[]*/, ""));
  return { ...packed, path: path.join(scratch, packed.filename) };
}

let main;
/** The package itself, packed once. */
const packMain = () => (main ??= pack(root));

function unpack(file, folder) {
  fs.mkdirSync(folder, { recursive: true });
  execFileSync("tar", ["xzf", file, "-C", folder, "--strip-components=1"]);
}

/** Makes a program's folder, with the package and that of this platform. */
function installed(app) {
  const source = path.join(scratch, "platform");
  const args = [path.join(root, "scripts", "pack.mjs"), "platform", triple(), source];
  execFileSync(process.execPath, args);
  unpack(packMain().path, path.join(app, "node_modules", "open-channel"));
  unpack(pack(source).path, path.join(app, "node_modules", platform));
  return app;
}

module.exports = { root, platform, addon, packMain, unpack, installed };
