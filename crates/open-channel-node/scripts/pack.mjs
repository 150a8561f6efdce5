// Before packing: names the platform packages as optional dependencies and drops what only
// developers need. After packing: puts the working copy back. `platform <triple> <folder>` makes
// one platform package.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { platform } from "./platform.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const manifest = join(root, "package.json");
const original = `${manifest}.orig`;
const [command, name, folder] = process.argv.slice(2);

const read = () => JSON.parse(readFileSync(existsSync(original) ? original : manifest, "utf8"));
const write = (file, value) => writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);

if (command === "prepare") {
  const { devDependencies, scripts, ...kept } = read();
  if (!existsSync(original)) copyFileSync(manifest, original);
  const packages = kept.napi.targets.map((target) => [
    `open-channel-${platform(target).name}`,
    kept.version,
  ]);
  // npm looks for postpack in what it packed from.
  write(manifest, {
    ...kept,
    scripts: { postpack: scripts.postpack },
    optionalDependencies: Object.fromEntries(packages),
  });
} else if (command === "restore") {
  if (existsSync(original)) renameSync(original, manifest);
} else if (command === "platform") {
  const { version, license, repository, engines, napi } = read();
  const target = napi.targets.map(platform).find((target) => target.name === name);
  if (target === undefined) throw new Error(`${name} is not among the targets of package.json`);
  const addon = `open-channel.${name}.node`;
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(root, addon), join(folder, addon));
  copyFileSync(join(root, `open-channel.${name}.bin`), join(folder, "open-channel"));
  copyFileSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  writeFileSync(
    join(folder, "README.md"),
    `# open-channel-${name}\n\n` +
      "The addon of [open-channel](https://www.npmjs.com/package/open-channel), and its " +
      `program, for ${name}.\n`,
  );
  write(join(folder, "package.json"), {
    name: `open-channel-${name}`,
    version, license, repository, engines,
    main: addon,
    files: [addon, "open-channel"],
    os: [target.os],
    cpu: [target.arch],
    ...(target.os === "linux" && { libc: [target.abi === "musl" ? "musl" : "glibc"] }),
  });
} else {
  throw new Error("usage: pack.mjs prepare | restore | platform <name> <folder>");
}
