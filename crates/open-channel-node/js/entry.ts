// Which application this process belongs to, for channels of scope "app".
import { realpathSync } from "node:fs";
import { basename, sep } from "node:path";
import { runtimeRequire } from "./load.js";
import { addon, isMainThread } from "./native.js";

let known: string | undefined;

/**
 * The entry script as a real path. Without one (`node -e`, the REPL, a script from standard input) the working
 * directory stands in for it. A worker thread belongs to the application of its process when the main thread has loaded
 * this package too, and else to its own script.
 */
export function application(): string {
  return (known ??= find());
}

function find(): string {
  if (!isMainThread) {
    const inherited = addon.entry();
    if (inherited != null) return inherited;
  }
  return script() ?? `[eval]${realpathSync(process.cwd())}`;
}

function script(): string | undefined {
  // Without an entry script the first argument is the user's, not Node's.
  if (isMainThread && evaluated()) return undefined;
  const main = runtimeRequire.main?.filename ?? process.argv[1];
  const managed = process.env["pm_exec_path"];
  // PM2 starts its own container, which then runs the script; its environment is inherited by grandchildren too.
  const candidates = managed !== undefined && isContainer(main) ? [managed] : [main, process.argv[1]];
  for (const candidate of candidates) {
    const path = candidate === undefined ? undefined : resolved(candidate);
    if (path !== undefined) return path;
  }
  return undefined;
}

function evaluated(): boolean {
  if ((process as { _eval?: string })._eval != null) return true;
  return process.argv[1] === undefined || process.argv[1] === "-";
}

function isContainer(path: string | undefined): boolean {
  return path !== undefined && path.includes(`${sep}pm2${sep}`) && basename(path).startsWith("ProcessContainer");
}

/** `node app` may mean app.js, or the main file of a folder. */
function resolved(path: string): string | undefined {
  try {
    return realpathSync(runtimeRequire.resolve(path));
  } catch {
    try {
      return realpathSync(path);
    } catch {
      return undefined;
    }
  }
}

if (isMainThread) addon.entry(application());
