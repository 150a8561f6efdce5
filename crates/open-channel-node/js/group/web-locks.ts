// The Web Locks interface over the locks of a group. docs/FACES.md says what is different.
import { hold, release } from "../hub.js";
import type { Core } from "./core.js";
import { GroupError } from "./errors.js";
import { Claim } from "./locks.js";

export type LockMode = "exclusive" | "shared";

export interface LockRequestOptions {
  /** Whether others may hold it at the same time, if theirs is shared, too. Default exclusive. */
  mode?: LockMode;
  /** Does not wait: if the lock is not free, the callback is called with `null`. */
  ifAvailable?: boolean;
  /** Takes it from its holders, before all who wait. Their requests fail with an `AbortError`. */
  steal?: boolean;
  /** Ends the request while it waits. */
  signal?: AbortSignal;
}

export interface LockInfo {
  name: string;
  mode: LockMode;
  /** The id of the member. */
  clientId: string;
}

export interface LockManagerSnapshot {
  /** In the order in which they were given. */
  held: LockInfo[];
  /** In the order in which they were asked for. */
  pending: LockInfo[];
}

/** Longest name of a lock in a group, in bytes. */
const LONGEST = 1024;

const KEY = Symbol("Lock");

/** A lock that is held for as long as its callback takes. */
export class Lock {
  readonly #name: string;
  readonly #mode: LockMode;
  readonly #claim: Claim;

  /** @internal */
  constructor(key: typeof KEY, name: string, mode: LockMode, claim: Claim) {
    if (key !== KEY) throw new TypeError("Illegal constructor");
    this.#name = name;
    this.#mode = mode;
    this.#claim = claim;
  }

  get name(): string {
    return this.#name;
  }

  get mode(): LockMode {
    return this.#mode;
  }

  /** Beyond the interface: the fencing token, which is greater for each later holder. */
  get token(): bigint {
    return this.#claim.token;
  }

  /** Beyond the interface: aborted when the lock is lost. */
  get signal(): AbortSignal {
    return this.#claim.lost;
  }

  get [Symbol.toStringTag](): string {
    return "Lock";
  }
}

export type LockCallback<T, L = Lock> = (lock: L) => T;

/** `navigator.locks`, for all processes and threads of a group. */
export class LockManager {
  readonly #core: Core;

  /** @internal */
  constructor(key: typeof KEY, core: Core) {
    if (key !== KEY) throw new TypeError("Illegal constructor");
    this.#core = core;
  }

  /**
   * Waits for a lock, calls `callback` with it, and lets it go when what that returns has settled.
   * The promise settles in the same way then.
   */
  request<T>(name: string, callback: LockCallback<T>): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: LockRequestOptions & { ifAvailable: true },
    callback: LockCallback<T, Lock | null>,
  ): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: LockRequestOptions & { ifAvailable?: false },
    callback: LockCallback<T>,
  ): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: LockRequestOptions,
    callback: LockCallback<T, Lock | null>,
  ): Promise<Awaited<T>>;
  async request(name: unknown, second: unknown, ...rest: unknown[]): Promise<unknown> {
    const core = this.#core;
    if (arguments.length < 2) throw new TypeError("request takes a name and a callback");
    const text = `${name}`;
    const options = converted(rest.length > 0 ? second : undefined);
    const callback = rest.length > 0 ? rest[0] : second;
    if (typeof callback !== "function") throw new TypeError("the callback is not a function");
    if (core.closing) throw new DOMException("the group was left", "InvalidStateError");
    check(text, options);
    if (options.signal?.aborted) throw options.signal.reason;
    return run(core, text, options, callback as LockCallback<unknown, Lock | null>);
  }

  /** The locks of the whole group that are held, and those that are waited for. */
  async query(): Promise<LockManagerSnapshot> {
    const core = this.#core;
    if (core.closing) throw new DOMException("the group was left", "InvalidStateError");
    const { claims } = await core.operate((request) => core.native.queryLocks(request));
    const snapshot: LockManagerSnapshot = { held: [], pending: [] };
    for (const { name, role, shared, member, held } of claims ?? []) {
      if (role) continue;
      const mode: LockMode = shared ? "shared" : "exclusive";
      const info = { name: unescaped(name), mode, clientId: member };
      (held ? snapshot.held : snapshot.pending).push(info);
    }
    return snapshot;
  }

  get [Symbol.toStringTag](): string {
    return "LockManager";
  }
}

for (const [prototype, key] of [
  [Lock.prototype, "name"],
  [Lock.prototype, "mode"],
  [LockManager.prototype, "request"],
  [LockManager.prototype, "query"],
] as const) {
  const property = Object.getOwnPropertyDescriptor(prototype, key)!;
  Object.defineProperty(prototype, key, { ...property, enumerable: true });
}

export const lockManager = (core: Core): LockManager => new LockManager(KEY, core);

interface Converted {
  ifAvailable: boolean;
  mode: LockMode;
  signal?: AbortSignal;
  steal: boolean;
}

/** As Web IDL converts a dictionary: one member after the other, in the order of their names. */
function converted(options: unknown): Converted {
  const given = options ?? {};
  if (typeof given !== "object" && typeof given !== "function")
    throw new TypeError("the options are not an object");
  const { ifAvailable, mode = "exclusive", signal, steal } = given as Record<string, unknown>;
  const text = `${mode}`;
  if (text !== "exclusive" && text !== "shared")
    throw new TypeError(`the mode "${text}" is neither "exclusive" nor "shared"`);
  if (signal !== undefined && !isSignal(signal))
    throw new TypeError("the signal is not an AbortSignal");
  return { ifAvailable: Boolean(ifAvailable), mode: text, signal, steal: Boolean(steal) };
}

/** That of another context, a test runner's for one, is no instance of this one's class. */
function isSignal(signal: unknown): signal is AbortSignal {
  if (signal instanceof AbortSignal) return true;
  if (typeof signal !== "object" || signal === null) return false;
  const { aborted, addEventListener } = signal as Partial<AbortSignal>;
  return typeof aborted === "boolean" && typeof addEventListener === "function";
}

function check(name: string, { ifAvailable, mode, signal, steal }: Converted): void {
  const unsupported = (problem: string) => new DOMException(problem, "NotSupportedError");
  if (name.startsWith("-")) throw unsupported(`the name "${name}" begins with "-"`);
  if (steal && ifAvailable) throw unsupported("steal and ifAvailable exclude each other");
  if (steal && mode !== "exclusive") throw unsupported(`steal goes with the mode "exclusive"`);
  if (signal !== undefined && (steal || ifAvailable))
    throw unsupported("a signal goes neither with steal nor with ifAvailable");
  const length = Buffer.byteLength(escaped(name));
  if (length > LONGEST)
    throw unsupported(`the name takes ${length} bytes, more than the ${LONGEST} of a group`);
}

async function run(
  core: Core,
  name: string,
  { ifAvailable, mode, signal, steal }: Converted,
  callback: LockCallback<unknown, Lock | null>,
): Promise<unknown> {
  const wait = steal ? "steal once" : ifAvailable ? "try" : "wait once";
  const claim = new Claim(core, escaped(name), mode, wait);
  if (!(await granted(claim, signal))) {
    if (ifAvailable) return callback(null);
    throw stolen();
  }
  try {
    signal?.throwIfAborted();
    if (claim.lost.aborted) throw stolen();
    return await whileHeld(claim, callback(new Lock(KEY, name, mode, claim)));
  } finally {
    claim.release();
  }
}

async function granted(claim: Claim, signal: AbortSignal | undefined): Promise<boolean> {
  hold();
  try {
    return await claim.held(signal);
  } catch (error) {
    if (error instanceof GroupError) throw aborted(error.message);
    throw error;
  } finally {
    release();
  }
}

/** What the callback comes to, unless the lock is lost before. */
function whileHeld(claim: Claim, result: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const lose = () => reject(aborted("the lock was stolen, or the group is over"));
    claim.lost.addEventListener("abort", lose, { once: true });
    Promise.resolve(result).then(resolve, reject);
  });
}

const stolen = () => aborted("another request has stolen the lock");
const aborted = (problem: string) => new DOMException(problem, "AbortError");

/**
 * The name of the group's lock. It is the same, but for names that a group cannot have: these begin
 * with `-`, as no other name of a web lock does.
 */
function escaped(name: string): string {
  return name === "" || /\p{Surrogate}/u.test(name) ? `-${JSON.stringify(name)}` : name;
}

function unescaped(name: string): string {
  if (!name.startsWith("-\"")) return name;
  try {
    const text: unknown = JSON.parse(name.slice(1));
    return typeof text === "string" && escaped(text) === name ? text : name;
  } catch {
    return name;
  }
}
