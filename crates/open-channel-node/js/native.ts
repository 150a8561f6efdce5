// The addon, and what each of its numbers means. Nothing here is public.
import { load, runtimeRequire } from "./load.js";
import type { SocketStats } from "./stats.js";

export const enum Reason {
  Readable = 1,
  Writable = 2,
  Accepted = 4,
  Event = 8,
  Flushed = 16,
  Connection = 32,
  Returned = 64,
  Operation = 128,
}

export const enum Write {
  Done = 0,
  /** The addon keeps it, and wakes us when it is accepted. */
  Full = 1,
  Failed = 2,
}

/** Added by `read` to a message's length for each attempt before this one. */
export const ATTEMPT = 2 ** 32;

/** Why a `read` stopped. */
export const enum Read {
  More = 0,
  Drained = 1,
  Ended = 2,
  Broken = 3,
}

export interface Failure {
  code: string;
  message: string;
  /** The other side left on purpose: an end rather than an error. */
  left?: boolean;
  /** This process hosts no longer: the other side goes on with the next host. */
  handedOver?: boolean;
}

export interface Completion {
  request: number;
  failure?: Failure | null;
}

export interface Connection {
  connected: boolean;
  links: number;
  over: boolean;
  /** This process hosts it, and hands over. */
  handingOver?: boolean;
}

export interface NativeStall {
  id: string;
  accepted: boolean;
  oldest?: number | null;
  messages?: number | null;
  bytes?: number | null;
  lasted?: number | null;
  acknowledged?: boolean | null;
}

export interface NativeChannelStats {
  hosting?: number | null;
  sockets: SocketStats[];
  hosted: SocketStats[];
}

export interface NativeEvent {
  kind:
    | "connected"
    | "becameHost"
    | "hostLost"
    | "handedOver"
    | "fenced"
    | "stalled"
    | "stallEnded"
    | "closed";
  role: Role;
  generation: number;
  failure?: Failure | null;
  stall?: NativeStall | null;
}

/** A message that is not delivered any more. */
export interface Returned {
  data: Buffer;
  seq: number;
  attempts: number;
  reason: string;
}

export type Role = "none" | "peer" | "host";

export interface OpenOptions {
  name: string;
  host: boolean;
  app?: string;
  runtimeDir?: string;
  generationFile?: string;
  link?: string;
  connectTimeout?: number;
  hostTimeout?: number;
  resumeTimeout?: number;
  stallAfter?: number;
  outboxBytes?: number;
  receiveWindow?: number;
  ringBytes?: number;
  ringMemory?: number;
  maxMessage?: number;
  maxConnections?: number;
  maxAttempts?: number;
  tap?: boolean;
}

export interface NativeSocket {
  readonly id: string;
  readonly peerPid?: number | null;
  readonly linkKind?: string | null;
  readonly generation: number;
  readonly maxMessage: number;
  write(bytes: Uint8Array, length: number): Write;
  written(): Write;
  read(handled: number, slab: Uint8Array, begin: number, meta: Float64Array): number;
  handled(count: number): void;
  acknowledge(seq: number): void;
  /**
   * One message is not handled: it comes again after a pause in milliseconds, or the usual one if
   * that is negative. Whether it was there.
   */
  giveBack(seq: number, pause: number): boolean;
  /** Nobody is to try it again. */
  reject(seq: number, reason: string): boolean;
  /** The last ones that were read are not handled here. */
  giveBackLast(count: number): void;
  /**
   * From here on only acknowledgements. True if they are of no use any more; else raises
   * `Connection` when that is so.
   */
  linger(): boolean;
  connection(): Connection;
  failure(): Failure | null;
  idle(): void;
  flush(request: number): void;
  /** Withdraws a `flush`. False if it has completed. */
  withdraw(request: number): boolean;
  flushed(): void;
  /** Takes back what nobody has taken; when it completes, `takenBack` has it. */
  takeBack(request: number): void;
  takenBack(request: number): Buffer[];
  undeliverable(): Returned | null;
  stats(): SocketStats;
  finish(): boolean;
  destroy(): void;
}

export interface NativeChannel {
  readonly key: string;
  readonly hostTimeout: number;
  readonly role: Role;
  readonly generation: number;
  readonly directory: string;
  connect(token: number, timeout: number, reconnect: boolean): NativeSocket;
  /** Connections that can be accepted. */
  readonly waiting: number;
  accept(token: number): NativeSocket;
  event(): NativeEvent | null;
  stats(): NativeChannelStats;
  join(request: number): void;
  /** The first step of `close`: nothing more from other processes is delivered. */
  retire(): void;
  close(request: number): void;
}

export interface Hub {
  /** `wake` is called, until `rest`, with pairs of an object's number and reasons. */
  listen(wake: (pairs: number[]) => void): void;
  rest(): void;
  completed(): Completion[];
  /** Milliseconds that this thread's event loop took to answer, the last time and at most. */
  delays(): [last: number, longest: number];
  /** Keeps the process alive, until `release`. */
  hold(): void;
  release(): void;
}

export interface Addon {
  Hub: new (readable?: (token: number) => void) => Hub;
  NativeChannel: new (hub: Hub, token: number, options: OpenOptions) => NativeChannel;
  /** Whether this is the thread that the process began with. */
  isMainThread(): boolean | null;
  /** The global object of the process. A script may have been given another one. */
  globals(): { process?: NodeJS.Process };
  /** The application that the main thread of this process found last, for its worker threads. */
  entry(found?: string): string | null;
}

export const addon = load() as Addon;

/** As in `node:worker_threads`, which takes longer to load than the addon. */
export const isMainThread: boolean =
  addon.isMainThread() ?? runtimeRequire("node:worker_threads").isMainThread;
