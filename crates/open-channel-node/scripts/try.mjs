// Builds this package and installs it, as it is here, for the program in the current folder.
// Another build serves it at once, because npm installs a folder as a link.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const npm = (cwd, ...args) => execFileSync("npm", args, { cwd, stdio: "inherit" });

if (!existsSync(join(root, "node_modules", ".package-lock.json"))) npm(root, "ci");
npm(root, "run", "build");
npm(process.cwd(), "install", root);
