// Builds the addon with cargo and puts it where `js/native.ts` looks first.
// OPEN_CHANNEL_PROFILE=dev builds without optimisation.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, realpathSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = realpathSync(join(dirname(fileURLToPath(import.meta.url)), ".."));
const { triple } = createRequire(import.meta.url)("../dist/triple.js");
const profile = process.env.OPEN_CHANNEL_PROFILE ?? "release";

const output = execFileSync(
  process.env.CARGO ?? "cargo",
  [
    "build", "--package", "open-channel-node", "--lib", "--examples",
    "--package", "open-channel-cli", "--bin", "open-channel",
    "--profile", profile, "--message-format", "json-render-diagnostics",
  ],
  { cwd: root, encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "inherit"] },
);
const built = output
  .split("\n")
  .filter((line) => line.startsWith("{"))
  .map((line) => JSON.parse(line))
  .filter((message) => message.reason === "compiler-artifact");
const artifacts = built.filter(({ manifest_path }) => manifest_path === join(root, "Cargo.toml"));
const library = artifacts.find((artifact) => artifact.target.kind.includes("cdylib"))?.filenames[0];
if (library === undefined) throw new Error("cargo built no library for open-channel-node");

// The Rust member of the tests with several languages, and one that only looks.
mkdirSync(join(root, "target"), { recursive: true });
for (const name of ["member", "look"]) {
  const example = artifacts.find(
    (artifact) => artifact.target.kind.includes("example") && artifact.target.name === name,
  );
  copyFileSync(example.executable, join(root, "target", name));
}

// The program, as the Rust member of the tests of groups.
const isProgram = ({ target }) => target.name === "open-channel" && target.kind.includes("bin");
copyFileSync(built.find(isProgram).executable, join(root, "target", "open-channel"));

// Renamed into place, so that a process that has the old file mapped keeps its own copy.
const addon = join(root, `open-channel.${triple()}.node`);
copyFileSync(library, `${addon}.new`);
renameSync(`${addon}.new`, addon);
