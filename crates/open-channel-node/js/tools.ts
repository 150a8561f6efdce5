// Scripts that are not the user's own: test runners, and other tools that run the user's code in
// their own process.
import { readFileSync } from "node:fs";
import { dirname, join, resolve, sep } from "node:path";
import { here, runtimeRequire } from "./load.js";
import { isMainThread } from "./native.js";
import { isFile, realDirectory, realPath } from "./release.js";

/** Packages that run tests in a process or thread of their own script. */
const RUNNERS = new Set(
  (
    "@cucumber/cucumber @hapi/lab @playwright/test @tapjs/run ava borp jasmine jest jest-cli lab " +
    "mocha playwright tap tape uvu vitest"
  ).split(" "),
);
/** Packages that test runners use, and others, too: a test runner sets one of the variables. */
const POOLS = new Set("jest-worker piscina react-scripts tinypool workerpool".split(" "));
const MARKS = ["JEST_WORKER_ID", "MOCHA_WORKER_ID", "VITEST"];

const SCRIPT = /\.[cm]?[jt]sx?$/;

/** A package in a `node_modules` folder. */
export interface Package {
  name: string;
  folder: string;
}

/** The package that a script belongs to; `undefined` for a script outside of `node_modules`. */
export function packageOf(script: string): Package | undefined {
  const segment = `${sep}node_modules${sep}`;
  const end = script.lastIndexOf(segment) + segment.length;
  if (end < segment.length) return undefined;
  const [first = "", second = ""] = script.slice(end).split(sep);
  const name = first.startsWith("@") ? `${first}/${second}` : first;
  return { name, folder: join(script.slice(0, end), name) };
}

/** Whether this process or thread exists to run tests. */
export function runsTests(): boolean {
  // Node's own runner, where files get no process of their own, which would have them as scripts.
  const { NODE_TEST_CONTEXT } = process.env;
  if (process.execArgv.includes("--test") && NODE_TEST_CONTEXT === undefined) return true;
  const script = process.argv[1];
  const tool = script === undefined ? undefined : packageOf(realPath(script) ?? script);
  if (tool === undefined) return false;
  return (
    RUNNERS.has(tool.name) ||
    (POOLS.has(tool.name) && MARKS.some((mark) => process.env[mark] !== undefined))
  );
}

let runner: string | undefined;

/**
 * The application of a test: of its process or thread alone, and of its file where the runner says
 * which that is. The workers of a cluster belong to the test that forked them.
 */
export function testApplication(): string {
  return `[test]${testFile() ?? ""}#${(runner ??= runnerName())}`;
}

/** With the name of the machine: in several containers, processes have the same number. */
function runnerName(): string {
  const { hostname } = runtimeRequire("node:os") as typeof import("node:os");
  if (!isMainThread) {
    const { threadId } = runtimeRequire(
      "node:worker_threads",
    ) as typeof import("node:worker_threads");
    return `${process.pid}.${threadId}@${hostname()}`;
  }
  const { isWorker } = runtimeRequire("node:cluster") as typeof import("node:cluster").default;
  return `${isWorker ? process.ppid : process.pid}@${hostname()}`;
}

function testFile(): string | undefined {
  const { __vitest_worker__: vitest } = globalThis as {
    __vitest_worker__?: { filepath?: unknown };
  };
  if (typeof vitest?.filepath === "string") return vitest.filepath;
  const main = mainModule();
  return main !== undefined && packageOf(main) === undefined ? main : undefined;
}

/** Jest gives each file a `require` of its own. */
function mainModule(): string | undefined {
  try {
    return require.main?.filename;
  } catch {
    // An ES module that a bundler made of this has none.
    return undefined;
  }
}

/**
 * Options whose value is a file that is not the program: `-c`, `--config`, `--require` and such. A
 * script may follow most others, as `--watch`.
 */
const FILES = "config|file|import|loader|plugin|preset|require|setup";
const FILE_OPTION = new RegExp(`^(-[cfr]|--([\\w-]+-)?(${FILES})|--\\w+(file|Config|File))$`);

/**
 * The user's code that a tool runs: the first of the arguments that is a script, or the project
 * in `directory`. A program that depends on open-channel is a tool of its own, with neither.
 */
export function runByTool(tool: Package, directory: string): { script?: string; project?: string } {
  // A program that uses open-channel itself, or brings it along.
  if (here?.startsWith(tool.folder + sep) || depends(tool.folder)) return {};
  const given = process.argv.slice(2);
  const own = given
    .filter((_, index) => !FILE_OPTION.test(given[index - 1] ?? ""))
    .map((argument) => resolve(realDirectory(), argument))
    .find((path) => SCRIPT.test(path) && isScript(path));
  if (own !== undefined) return { script: own };
  for (let folder = directory; ; folder = dirname(folder)) {
    if (isFile(join(folder, "package.json"))) return { project: folder };
    if (folder === dirname(folder)) return {};
  }
}

function isScript(path: string): boolean {
  const real = realPath(path);
  return real !== undefined && packageOf(real) === undefined && isFile(real);
}

type Manifest = Record<string, Record<string, unknown> | undefined>;

const DEPENDENCIES = [
  "dependencies",
  "devDependencies",
  "optionalDependencies",
  "peerDependencies",
];

function depends(folder: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
    return DEPENDENCIES.some((kind) => manifest[kind]?.["open-channel"] !== undefined);
  } catch {
    return false;
  }
}
