// Finds the addon. The `require` of each platform's package is written out, for a bundler sees no
// other. A file that no bundler has to know is looked for where a program takes it along.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { realDirectory } from "./release.js";
import { triples } from "./triple.js";

/**
 * Where this script is. An ES module that a bundler made of it does not know; some bundlers say it
 * relative to the working directory.
 */
export const here =
  typeof __dirname === "string" ? resolve(realDirectory(), __dirname) : undefined;

/** `require` as the running program has it. Bundlers put another one in the place of `require`. */
export const runtimeRequire = createRequire(join(here ?? realDirectory(), "index.js"));

const SUPPORTED = ["linux-x64-gnu", "linux-arm64-gnu", "linux-x64-musl", "linux-arm64-musl"];

/** @throws Says whether there is no addon, or one that cannot be loaded, and why. */
export function load(): unknown {
  const given = process.env.OPEN_CHANNEL_ADDON;
  if (given) return loadGiven(resolve(given));
  const broken: unknown[] = [];
  for (const name of triples()) {
    const file = `open-channel.${name}.node`;
    const attempts = [
      () => (here === undefined ? undefined : fromFile(join(here, "..", file))),
      () => fromPackage(name),
      ...besideProgram().map((folder) => () => fromFile(join(folder, file))),
    ];
    for (const attempt of attempts) {
      try {
        const addon = attempt();
        if (addon !== undefined) return addon;
      } catch (error) {
        broken.push(error);
      }
    }
  }
  throw broken.length > 0 ? cannotLoad(broken) : notFound();
}

function loadGiven(path: string): unknown {
  if (!existsSync(path)) {
    throw coded("MODULE_NOT_FOUND", `OPEN_CHANNEL_ADDON names ${path}, and there is no such file`);
  }
  try {
    return runtimeRequire(path);
  } catch (error) {
    throw cannotLoad([error]);
  }
}

function fromFile(path: string): unknown {
  return existsSync(path) ? runtimeRequire(path) : undefined;
}

function fromPackage(name: string): unknown {
  // Node warns of every other `require` than of its own modules there.
  if (process.getBuiltinModule?.("node:sea")?.isSea?.()) return undefined;
  try {
    switch (name) {
      case "linux-x64-gnu":
        return require("open-channel-linux-x64-gnu");
      case "linux-arm64-gnu":
        return require("open-channel-linux-arm64-gnu");
      case "linux-x64-musl":
        return require("open-channel-linux-x64-musl");
      case "linux-arm64-musl":
        return require("open-channel-linux-arm64-musl");
    }
  } catch (error) {
    if (!isAbsence(error)) throw error;
  }
}

/** The package is not there, or the program has no `require` to look for it. */
function isAbsence(error: unknown): boolean {
  if (error instanceof ReferenceError) return true;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return /^Dynamic require of /.test(message);
  return ["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND", "ERR_UNKNOWN_BUILTIN_MODULE"].includes(code);
}

/** Where a bundled program, or a single executable, has the addon beside it. */
function besideProgram(): string[] {
  const script = process.argv[1];
  const folders = [here, script && dirname(resolve(script)), dirname(process.execPath)];
  return [...new Set(folders.filter((folder) => folder !== undefined))];
}

function notFound(): Error {
  const names = triples();
  const system = `${process.platform}-${process.arch}`;
  if (!names.some((name) => SUPPORTED.includes(name))) {
    const message = `open-channel has no addon for ${system}, only for ${SUPPORTED.join(", ")}`;
    return coded("MODULE_NOT_FOUND", message);
  }
  const root = here === undefined ? undefined : dirname(here);
  if (root !== undefined && existsSync(join(root, "Cargo.toml"))) {
    const message = `the addon of open-channel is not built: run \`npm run build\` in ${root}`;
    return coded("MODULE_NOT_FOUND", message);
  }
  const packages = names.map((name) => `open-channel-${name}`).join(" nor ");
  return coded(
    "MODULE_NOT_FOUND",
    `open-channel found no addon for ${system}: neither ${packages} is installed. npm installs ` +
      "the one for the platform that it runs on, unless with --omit=optional. " +
      `A bundled program finds open-channel.${names[0]}.node beside it, or where the ` +
      "environment variable OPEN_CHANNEL_ADDON says.",
  );
}

function cannotLoad(errors: unknown[]): Error {
  const reasons = errors.map((error) => `\n  ${error instanceof Error ? error.message : error}`);
  const message = `open-channel found its addon, and it cannot be loaded:${reasons.join("")}`;
  return coded("ERR_DLOPEN_FAILED", message, errors[0]);
}

function coded(code: string, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, cause === undefined ? {} : { cause }), { code });
}
