// Runs the tests one file at a time, because they start many processes and measure some. However a
// test fails, the run ends: a file that takes too long is killed with everything it started, and so
// is what a file leaves behind.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** For one file. On a quiet machine none takes half a minute. */
const LIMIT = Number(process.env.TEST_FILE_LIMIT ?? 180) * 1000;

const folder = join(dirname(fileURLToPath(import.meta.url)), "..", "test");
const wanted = process.argv.slice(2);
const files = readdirSync(folder).filter(
  (file) =>
    file.endsWith(".test.js") &&
    (wanted.length === 0 || wanted.some((name) => file.startsWith(name))),
);

let stop = () => {};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => {
    stop();
    process.exit(1);
  });
}

const failed = [];
for (const file of files) {
  const problem = await run(file);
  if (problem !== undefined) failed.push(`${file} (${problem})`);
}
if (failed.length > 0) {
  console.error(`\nfailed: ${failed.join(", ")}`);
  process.exit(1);
}

/** The problem with a file, if there is one. */
async function run(file) {
  console.log(`\n# ${file}`);
  const scratch = mkdtempSync(join(tmpdir(), "oc-test-"));
  mkdirSync(join(scratch, "tmp"));
  // Without a runner process in between, which would wait for every pipe that a grandchild may
  // hold.
  const child = spawn(process.execPath, ["--test-reporter", "spec", join(folder, file)], {
    stdio: ["ignore", "inherit", "inherit"],
    // A process group of its own, so that all of it can be killed at once.
    detached: true,
    env: { ...process.env, TEST_SCRATCH: scratch, TMPDIR: join(scratch, "tmp") },
  });
  stop = () => {
    killGroup(child.pid);
    killMarked(scratch);
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  };
  let late = false;
  const watchdog = setTimeout(() => {
    late = true;
    killGroup(child.pid);
  }, LIMIT);
  const [code, signal] = await new Promise((resolve) =>
    child.once("exit", (...end) => resolve(end)),
  );
  clearTimeout(watchdog);
  stop();
  stop = () => {};
  if (late) {
    console.error(`\n✖ ${file} did not end within ${LIMIT / 1000} s: killed`);
    return `not over after ${LIMIT / 1000} s`;
  }
  if (code !== 0) return signal === null ? `exit code ${code}` : signal;
}

function killGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody of it is left.
  }
}

/**
 * A daemon has left the group, PM2 for one. It is found by the environment that it was started
 * with.
 */
function killMarked(scratch) {
  let processes = [];
  try {
    processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    // Not Linux: what the tests themselves clean up has to do.
  }
  for (const pid of processes) {
    try {
      if (readFileSync(`/proc/${pid}/environ`, "latin1").includes(`TEST_SCRATCH=${scratch}\0`))
        process.kill(Number(pid), "SIGKILL");
    } catch {
      // Another user's, or gone.
    }
  }
}
