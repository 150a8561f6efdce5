#!/usr/bin/env node
// `npx open-channel`: the program, which the package of this platform has beside the addon.
"use strict";
const { spawn } = require("node:child_process");
const { accessSync, constants } = require("node:fs");
const { constants: numbers } = require("node:os");
const { dirname, join } = require("node:path");
const { isatty } = require("node:tty");
const { triples } = require("../dist/triple.js");

const program = find();
if (program === undefined) {
  const names = triples().map((name) => `open-channel-${name}`);
  console.error(
    `open-channel: there is no program for ${process.platform}-${process.arch}: neither ` +
      `${names.join(" nor ")} is installed. npm installs the one for the platform that it runs ` +
      "on, unless with --omit=optional. `cargo install open-channel-cli` builds it anywhere.",
  );
  process.exit(1);
}
run(program, process.argv.slice(2));

function find() {
  for (const name of triples()) {
    const places = [() => join(__dirname, "..", `open-channel.${name}.bin`), () => inPackage(name)];
    for (const place of places) {
      try {
        const file = place();
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // The next place.
      }
    }
  }
}

function inPackage(name) {
  return join(dirname(require.resolve(`open-channel-${name}/package.json`)), "open-channel");
}

function run(file, args) {
  let child;
  // Not `process.stdin.isTTY`: that makes a pipe non-blocking, and the program reads from it.
  const isTerminal = [0, 1, 2].some((fd) => isatty(fd));
  // A terminal sends these two to the program, too. Twice would end it at once.
  for (const signal of ["SIGINT", "SIGHUP"]) {
    process.on(signal, () => {
      if (!isTerminal) child.kill(signal);
    });
  }
  // Before the program runs, which may be signalled at once.
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child = spawn(file, args, { stdio: "inherit" });
  child.on("error", (error) => {
    console.error(`open-channel: could not run ${file}: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + numbers.signals[signal]));
}
