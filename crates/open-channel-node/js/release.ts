// Paths that stay the same from one deployment to the next.
import { lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, parse, resolve, sep } from "node:path";

/** A system may have these as links, and nobody deploys by them. */
const SYSTEM = new Set(
  "bin etc home lib media mnt opt private root run sbin srv tmp usr var Users Volumes".split(" "),
);

/**
 * The real path of the file or folder `given`, except that the link of a deployment stays in it: a
 * link to a folder below the one that holds the link, as from `current` to `releases/7`. Other
 * links are how a disk is laid out.
 * @param given Absolute, as whoever started the process wrote it.
 * @param real Its real path.
 * @param managed Started by a process manager, which starts it again by this path: a link to a
 * folder counts wherever it leads, and a link to a file below its own folder counts, too.
 */
export function stable(given: string, real: string, managed = false): string {
  return throughLink(given, real, managed) ?? besideLink(real) ?? real;
}

/**
 * The working directory as Node has it. It may have been removed, with the release that it was in.
 */
export function realDirectory(): string {
  return look(() => process.cwd()) ?? process.env["PWD"] ?? sep;
}

/** The working directory as the shell has it, which may lead through links. */
export function workingDirectory(): string {
  const real = realDirectory();
  const logical = process.env["PWD"];
  return logical !== undefined && isAbsolute(logical) && realPath(logical) === real
    ? resolve(logical)
    : real;
}

/** `undefined` if nothing is there. */
export function realPath(path: string): string | undefined {
  return look(() => realpathSync(path));
}

function throughLink(given: string, real: string, managed: boolean): string | undefined {
  const { root } = parse(given);
  let folder = root;
  for (const name of given.slice(root.length).split(sep)) {
    const path = join(folder, name);
    const target = realPath(path);
    if (target === undefined) return undefined;
    if (isLink(path) && within(real, target) && deploys(folder, name, target, managed)) {
      return join(path, real.slice(target.length));
    }
    folder = target;
  }
  return undefined;
}

function deploys(folder: string, name: string, target: string, managed: boolean): boolean {
  if (folder === dirname(folder) && SYSTEM.has(name)) return false;
  // Package managers have links of their own, which no deployment moves.
  if (folder.split(sep).includes("node_modules")) return false;
  return isFolder(target) ? managed || within(target, folder) : managed && within(target, folder);
}

/**
 * The usual layout, for a process that was started in the release itself: `releases/7` with the
 * link `current` beside it.
 */
function besideLink(real: string): string | undefined {
  for (let release = real; release !== dirname(release); release = dirname(release)) {
    const releases = dirname(release);
    if (basename(releases) !== "releases" || !isFolder(release)) continue;
    const folder = dirname(releases);
    const current = join(folder, "current");
    // It may lead to the next release already, or to one that was removed.
    const target = look(() => readlinkSync(current));
    if (target !== undefined && within(resolve(folder, target), releases)) {
      return join(current, real.slice(release.length));
    }
  }
  return undefined;
}

const within = (path: string, folder: string) =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

/** A path that cannot be looked at is neither a folder nor a file nor a link. */
function look<T>(at: () => T): T | undefined {
  try {
    return at();
  } catch {
    return undefined;
  }
}

export const isFile = (path: string) => look(() => statSync(path).isFile()) ?? false;

const isFolder = (path: string) => look(() => statSync(path).isDirectory()) ?? false;

const isLink = (path: string) => look(() => lstatSync(path).isSymbolicLink()) ?? false;
