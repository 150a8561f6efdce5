// Builds the addons of all platforms that the package has, with zig's linker, against a glibc old
// enough for every Linux in use, and the programs, which are static and need none.
// `npm run build:platforms linux-arm64-gnu` builds one of them.
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { platform } from "./platform.mjs";

/** The glibc of 2013: CentOS 7, Amazon Linux 2, and what Node 18 itself needs at least. */
const GLIBC = "2.17";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const { napi } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const all = napi.targets.map((target) => ({ target, ...platform(target) }));
const named = process.argv.slice(2);
const wanted = named.length === 0 ? all : all.filter(({ name }) => named.includes(name));
const unknown = named.filter((name) => !all.some((known) => known.name === name));

const musl = wanted.map(({ target }) => target.replace(/gnu$/, "musl"));
const missing = lacking([...new Set([...wanted.map(({ target }) => target), ...musl])]);
if (unknown.length > 0)
  missing.push(
    `a platform named ${unknown.join(", ")}; there are ${all.map(({ name }) => name).join(", ")}`,
  );
if (missing.length > 0) {
  const list = missing.map((what) => `- ${what}`).join("\n");
  console.error(`The addons cannot be built. This is missing:\n${list}`);
  process.exit(1);
}
const { target_directory } = JSON.parse(
  output("cargo", ["metadata", "--no-deps", "--format-version", "1"]),
);
for (const one of wanted) {
  build(one);
  buildProgram(one);
}

function build({ target, name, abi }) {
  const musl = abi === "musl";
  // Node itself links musl dynamically, and there is one of it in a process.
  const env = musl ? { ...process.env, RUSTFLAGS: "-C target-feature=-crt-static" } : process.env;
  const args = [
    "zigbuild",
    "--release",
    "--package",
    "open-channel-node",
    "--lib",
    "--target",
    musl ? target : `${target}.${GLIBC}`,
  ];
  execFileSync("cargo", args, { cwd: root, env, stdio: "inherit" });
  const addon = join(root, `open-channel.${name}.node`);
  copyFileSync(
    join(target_directory, target, "release", "libopen_channel_node.so"),
    `${addon}.new`,
  );
  const bytes = readFileSync(`${addon}.new`);
  const needed = newestGlibc(bytes);
  if (musl ? needed !== undefined : compare(needed ?? "0", GLIBC) > 0) {
    const allowed = musl ? "any" : `one newer than ${GLIBC}`;
    throw new Error(`${name} needs glibc ${needed}, and must not need ${allowed}`);
  }
  renameSync(`${addon}.new`, addon);
  const library = musl ? "musl" : `glibc ${needed} or later`;
  console.log(`open-channel.${name}.node: ${(bytes.length / 1e6).toFixed(1)} MB, ${library}`);
}

/** One program serves every Linux of its processor. */
function buildProgram({ target, name }) {
  const musl = target.replace(/gnu$/, "musl");
  const args = ["zigbuild", "--release", "--package", "open-channel-cli", "--target", musl];
  const env = { ...process.env, CARGO_PROFILE_RELEASE_STRIP: "debuginfo" };
  execFileSync("cargo", args, { cwd: root, env, stdio: "inherit" });
  const program = join(root, `open-channel.${name}.bin`);
  copyFileSync(join(target_directory, musl, "release", "open-channel"), `${program}.new`);
  renameSync(`${program}.new`, program);
  const megabytes = readFileSync(program).length / 1e6;
  console.log(`open-channel.${name}.bin: ${megabytes.toFixed(1)} MB, static`);
}

/** The programs that have to be installed first, each with the command for it. */
function lacking(targets) {
  const lacks = [];
  if (output("cargo", ["zigbuild", "--help"]) === undefined) {
    lacks.push(
      "cargo-zigbuild with zig: `python3 -m venv zig && zig/bin/pip install cargo-zigbuild`, " +
        "and zig/bin in PATH",
    );
  }
  const installed = output("rustup", ["target", "list", "--installed"])?.split("\n");
  // Without rustup, cargo itself says what is missing.
  const absent =
    installed === undefined ? [] : targets.filter((target) => !installed.includes(target));
  if (absent.length > 0)
    lacks.push(`Rust's standard library for it: \`rustup target add ${absent.join(" ")}\``);
  return lacks;
}

function output(program, args) {
  try {
    return execFileSync(program, args, {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 1 << 28,
    });
  } catch {
    return undefined;
  }
}

/** The newest version of glibc among those that the symbols of an ELF file ask for. */
function newestGlibc(bytes) {
  const versions = [...bytes.toString("latin1").matchAll(/\0GLIBC_([0-9.]+)(?=\0)/g)].map(
    ([, version]) => version,
  );
  return versions.sort(compare).at(-1);
}

function compare(one, other) {
  const [a, b] = [one, other].map((version) => version.split(".").map(Number));
  for (let i = 0; i < Math.max(a.length, b.length); i++)
    if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) - (b[i] ?? 0);
  return 0;
}
