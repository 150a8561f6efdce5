// Builds the addon and the program with cargo and puts them where `js/load.ts` and
// `bin/open-channel.js` look first.
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
const program = built.find(
  ({ target, executable }) => target.name === "open-channel" && executable,
)?.executable;
if (program === undefined) throw new Error("cargo built no program open-channel");
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
copyFileSync(program, join(root, "target", "open-channel"));

// Renamed into place, so that a process that has the old file mapped keeps its own copy.
for (const [from, ending] of [
  [library, "node"],
  [program, "bin"],
]) {
  const to = join(root, `open-channel.${triple()}.${ending}`);
  copyFileSync(from, `${to}.new`);
  if (ending === "bin") strip(`${to}.new`);
  renameSync(`${to}.new`, to);
}

/** What a debugger needs is most of the program. Without the tool it stays. */
function strip(file) {
  try {
    execFileSync("strip", ["--strip-debug", file], { stdio: "ignore" });
  } catch {
    // It is only larger.
  }
}
