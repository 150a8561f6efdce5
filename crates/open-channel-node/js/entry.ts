// The application of this process, for channels of scope "app". The README has it as a table.
import { basename, resolve, sep } from "node:path";
import { runtimeRequire } from "./load.js";
import { addon, isMainThread } from "./native.js";
import { realDirectory, realPath, stable, workingDirectory } from "./release.js";
import { packageOf, runByTool, runsTests, testApplication } from "./tools.js";

let known: string | undefined;
let testing: boolean | undefined;

/**
 * The path of the entry script, as a real path but for a link that deployments move. A worker
 * thread belongs to the application of its process when the main thread has loaded this package
 * too, and else to its own script. A test runner has one application for each process or thread
 * that runs tests, and for each file where it says which that is.
 */
export function application(): string {
  // The next file may come to the same process.
  if ((testing ??= runsTests())) return published(testApplication());
  return (known ??= published(find()));
}

/** For the worker threads. */
function published(found: string): string {
  if (isMainThread) addon.entry(found);
  return found;
}

function find(): string {
  const inherited = isMainThread ? undefined : addon.entry();
  return inherited ?? ofScript() ?? `[eval]${ofFolder(workingDirectory())}`;
}

/** A script: its path as somebody wrote it, and its real path. */
interface Script {
  given: string;
  real: string;
}

function ofScript(): string | undefined {
  const main = runtimeRequire.main?.filename ?? process.argv[1];
  const managed = managedScript(main);
  // PM2's own list distinguishes its applications by the path that they were started with.
  if (managed !== undefined) {
    const directory = process.env["pm_cwd"] ?? workingDirectory();
    return ofTool(managed.real, directory) ?? stable(managed.given, managed.real, true);
  }
  // Without an entry script the first argument is the user's, not Node's.
  if (isMainThread && evaluated()) return undefined;
  const script = located(main) ?? located(process.argv[1]);
  if (script === undefined) return undefined;
  return ofTool(script.real, workingDirectory()) ?? stable(asWritten(script), script.real);
}

/** The script that PM2 started this process with. Its children inherit the variable, too. */
function managedScript(main: string | undefined): Script | undefined {
  const given = process.env["pm_exec_path"];
  const script = given === undefined || given === "" ? undefined : located(given);
  if (script === undefined) return undefined;
  const own =
    isContainer(main) || isContainer(process.argv[1]) || located(main)?.real === script.real;
  return own ? script : undefined;
}

/** PM2 starts its own container, which then runs the script. */
function isContainer(path: string | undefined): boolean {
  return (
    path !== undefined &&
    path.includes(`${sep}pm2${sep}`) &&
    basename(path).startsWith("ProcessContainer")
  );
}

function evaluated(): boolean {
  if ((process as { _eval?: string })._eval != null) return true;
  return process.argv[1] === undefined || process.argv[1] === "-";
}

/** For a script that is some tool's and runs the user's code. */
function ofTool(script: string, directory: string): string | undefined {
  const tool = packageOf(script);
  if (tool === undefined) return undefined;
  const run = runByTool(tool, directory);
  const own = located(run.script);
  if (own !== undefined) return stable(asWritten(own), own.real);
  return run.project === undefined ? undefined : `[${tool.name}]${ofFolder(run.project)}`;
}

function ofFolder(path: string): string {
  return stable(path, realPath(path) ?? path);
}

/** With the name that the user has for the working directory, and for the script itself. */
function asWritten({ given, real }: Script): string {
  const argument = process.argv[1];
  const written =
    argument !== undefined && located(argument)?.real === real ? resolve(argument) : given;
  const [physical, logical] = [realDirectory(), workingDirectory()];
  return written.startsWith(physical + sep) ? logical + written.slice(physical.length) : written;
}

/** `node app` may mean app.js, or the main file of a folder. */
function located(path: string | undefined): Script | undefined {
  if (path === undefined) return undefined;
  let real: string | undefined;
  try {
    real = realPath(runtimeRequire.resolve(resolve(path)));
  } catch {
    real = realPath(path);
  }
  return real === undefined ? undefined : { given: resolve(path), real };
}

if (isMainThread) {
  try {
    application();
  } catch {
    // It is tried again for each channel that needs it. Loading the package is no time to fail.
  }
}
