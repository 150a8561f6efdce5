// Runs the tests one file at a time: they start many processes, and measure some.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(fileURLToPath(import.meta.url)), "..", "test");
const wanted = process.argv.slice(2);
const files = readdirSync(folder).filter((file) => file.endsWith(".test.js") && (wanted.length === 0 || wanted.some((name) => file.startsWith(name))));
const failed = files.filter((file) => {
  console.log(`\n# ${file}`);
  return spawnSync(process.execPath, ["--test", "--test-reporter", "spec", join(folder, file)], { stdio: "inherit" }).status !== 0;
});
if (failed.length > 0) {
  console.error(`\nfailed: ${failed.join(", ")}`);
  process.exit(1);
}
