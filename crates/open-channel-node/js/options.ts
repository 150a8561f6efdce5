// The options of `openChannel`, checked here: the addon would round, wrap or ignore wrong ones.
import { application } from "./entry.js";
import { channelError } from "./errors.js";
import type { OpenOptions } from "./native.js";

/** The options that `openChannel` takes instead of a name. Sizes are bytes, times milliseconds. */
export interface ChannelOptions {
  /** The channel's name: any text of up to 255 bytes. Default `"open-channel"`. */
  name?: string;
  /**
   * The processes that meet on the channel. `"app"`: processes of this user that belong to the same
   * application. `"user"`: every program of this user, Rust ones included. Default: `"app"` with
   * the option `app`, else `$OPEN_CHANNEL_SCOPE`, else `"app"`.
   */
  scope?: "app" | "user";
  /**
   * With scope `"app"`: the name of the application. Default: `$OPEN_CHANNEL_APP`, else the path of
   * the entry script, of which the README has a table for PM2, loaders, test runners and others.
   */
  app?: string;
  /**
   * When a message to this process as the host is acknowledged, and so never delivered again.
   * `"auto"`, the default: when its `data` listeners have returned, and the promises that they
   * returned are fulfilled. `"manual"`: when `ack()` of the `Message` is called, which the
   * `message` event brings; there are no `data` events. A socket of `connect()` has an option of
   * its own.
   */
  acknowledge?: "auto" | "manual";
  /** This process may host. Default: true when there is a listener. */
  host?: boolean;
  /** As of a net.Socket. Default false. */
  allowHalfOpen?: boolean;
  /** Where channels live, instead of the user's runtime directory. */
  runtimeDir?: string;
  /**
   * A file in which `generation` outlives the runtime directory, so that as a fencing token it
   * never comes again. The same for all processes of the channel, and for no other channel.
   * Default: none.
   */
  generationFile?: string;
  /**
   * The only link to use between processes. `"ring"`: shared memory, `"unix"`: a Unix socket,
   * `"tcp"`: TCP on the loopback interface, `"local"`: as `"unix"`, and within this process none
   * of them. Default: `$OPEN_CHANNEL_LINK`, else the fastest that both sides can use.
   */
  link?: "ring" | "unix" | "tcp" | "local";
  /** How long `connect()` looks for a host, at first and after a host was lost. Default 5000. */
  connectTimeout?: number;
  /** A host that is silent for so long is replaced. */
  hostTimeout?: number;
  /** How long a host keeps what belongs to a peer that lost its connection. */
  resumeTimeout?: number;
  /**
   * A socket is stalled when nothing of what it sent was handled for so long: then there is a
   * `stall` event, and nothing else happens. `Infinity`: never. Default 10 000.
   */
  stallAfter?: number;
  /** Bytes that a socket accepts before the other side has acknowledged them. */
  outboxBytes?: number;
  /** Bytes that a socket receives before they are acknowledged. */
  receiveWindow?: number;
  /**
   * The size of each of the two rings in shared memory that a socket brings to its host, one for
   * each direction.
   */
  ringBytes?: number;
  /**
   * The size of all rings that the process has, on all channels; beyond it a socket does without.
   */
  ringMemory?: number;
  /** The longest message. */
  maxMessage?: number;
  /** How many connections a host accepts at a time. */
  maxConnections?: number;
  /**
   * How often a message that this process writes is delivered at most, from 1 to 64. One that has
   * had its last attempt comes back with the event `undeliverable`. Default `Infinity`: as often as
   * it takes.
   */
  maxAttempts?: number;
  /**
   * Lets processes of this user see copies of the messages while this process hosts, without taking
   * part: `open-channel tap` does. Default: what `$OPEN_CHANNEL_TAP` says, 0 or 1; without it,
   * false.
   */
  tap?: boolean;
}

/** The options that `connect` takes besides, or instead of, a timeout. */
export interface ConnectOptions {
  /**
   * Milliseconds to find a host in, before the socket fails. Default: the channel's
   * `connectTimeout`.
   */
  timeout?: number;
  /**
   * Goes on with the next host when this one is lost or leaves. Default true. Protocols that keep a
   * state on the connection (HTTP, TLS, uploads in pieces) set it to false: the socket then fails
   * with its host (`ECONNRESET`), as a plain one would.
   */
  reconnect?: boolean;
  /** When a message from the host is acknowledged, as for a channel. Default `"auto"`. */
  acknowledge?: "auto" | "manual";
}

const STRINGS = ["app", "runtimeDir", "generationFile"] as const;
const BOOLEANS = ["host", "allowHalfOpen", "tap"] as const;
const NUMBERS = [
  "connectTimeout",
  "hostTimeout",
  "resumeTimeout",
  "stallAfter",
  "outboxBytes",
  "receiveWindow",
  "ringBytes",
  "ringMemory",
  "maxMessage",
  "maxConnections",
  "maxAttempts",
] as const;
const CHOICES = {
  scope: ["app", "user"],
  acknowledge: ["auto", "manual"],
  link: ["ring", "unix", "tcp", "local"],
} as const;

/** The addon's numbers have 32 bits. As a time it is 49 days. */
const MAX = 2 ** 32 - 1;

/**
 * The options with `scope` and `app` decided: an option counts before the environment, and that
 * before the default. An empty variable is one that is not set.
 */
export function meeting(options: ChannelOptions): ChannelOptions {
  let { scope, app } = options;
  if (scope === undefined && app === undefined) scope = scopeOfEnvironment();
  if (scope === "user") return { ...options, scope, app: undefined };
  if (app === undefined) app = process.env["OPEN_CHANNEL_APP"] || application();
  return { ...options, scope, app };
}

function scopeOfEnvironment(): ChannelOptions["scope"] {
  const variable = "OPEN_CHANNEL_SCOPE";
  const value = process.env[variable] || undefined;
  const choices: readonly (string | undefined)[] = CHOICES.scope;
  if (value !== undefined && !choices.includes(value)) {
    const allowed = among(CHOICES.scope);
    const message = `the environment variable ${variable} is ${show(value)}; ${allowed}`;
    throw channelError({ code: "EINVAL", message });
  }
  return value as ChannelOptions["scope"];
}

/** As the addon takes them, after `meeting`. */
export function openOptions(
  name: string,
  options: ChannelOptions,
  hasListener: boolean,
): OpenOptions {
  const open: OpenOptions = {
    name: typed(name, "string", "name"),
    host: options.host ?? hasListener,
  };
  for (const key of BOOLEANS) if (options[key] !== undefined) typed(options[key], "boolean", key);
  for (const key of ["scope", "acknowledge", "link"] as const)
    if (options[key] !== undefined) choose(options[key], key);
  if (options.link !== undefined) open.link = options.link;
  if (options.tap !== undefined) open.tap = options.tap;
  for (const key of STRINGS)
    if (options[key] !== undefined) open[key] = typed(options[key], "string", key);
  for (const key of NUMBERS) if (options[key] !== undefined) open[key] = amount(options[key], key);
  if (options.maxAttempts === Infinity) delete open.maxAttempts;
  else if (open.maxAttempts === 0)
    throw invalid("maxAttempts", "is 0: no message would ever be delivered");
  return open;
}

/** Checks what `connect` takes. */
export function connectOptions(
  given: number | ConnectOptions,
  timeout: number,
): Required<ConnectOptions> {
  const options = typeof given === "object" && given !== null ? given : { timeout: given };
  const { reconnect = true, acknowledge = "auto" } = options;
  choose(acknowledge, "acknowledge");
  return {
    timeout: amount(options.timeout ?? timeout, "timeout"),
    reconnect: typed(reconnect, "boolean", "reconnect"),
    acknowledge,
  };
}

export function choose(value: unknown, key: keyof typeof CHOICES): void {
  const choices: readonly unknown[] = CHOICES[key];
  if (!choices.includes(value)) throw invalid(key, `is ${show(value)}; ${among(CHOICES[key])}`);
}

/** A size or a time. */
export function amount(value: number, name: string): number {
  if (typed(value, "number", name) === Infinity) return MAX;
  if (!(value >= 0 && value <= MAX))
    throw invalid(name, `is ${value}; it must be between 0 and ${MAX}`);
  return Math.ceil(value);
}

export function typed<T>(value: T, type: "string" | "number" | "boolean", name: string): T {
  if (typeof value === type) return value;
  const error = new TypeError(`${name} must be a ${type}, not ${show(value)}`);
  throw Object.assign(error, { code: "ERR_INVALID_ARG_TYPE" });
}

function invalid(name: string, problem: string): Error {
  return channelError({ code: "EINVAL", message: `the option ${name} ${problem}` });
}

const among = (choices: readonly string[]) => `it can be ${choices.map(show).join(" or ")}`;

const show = (value: unknown) =>
  typeof value === "string" ? JSON.stringify(value) : String(value);
