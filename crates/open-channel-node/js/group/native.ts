// The addon's side of groups. Nothing here is public.
import { addon, type Hub } from "../native.js";

export interface GroupFailure {
  code: string;
  message: string;
  /** The words of a handler or a worker. */
  reason?: string | null;
  /** A job that comes back. */
  data?: Buffer | null;
}

export interface Finished {
  request: number;
  failure?: GroupFailure | null;
  data?: Buffer | null;
  number?: number | null;
  flag?: boolean | null;
  answers?: NativeAnswers | null;
}

export interface NativeAnswers {
  answered: { id: string; data?: Buffer | null; reason?: string | null }[];
  died: string[];
  timedOut: string[];
}

export interface NativeMember {
  id: string;
  pid: number;
  program: string;
  language: string;
  /** Pairs of a name and a value, one after the other. */
  labels: string[];
  services: string[];
}

export interface NativeView {
  number: number;
  members: NativeMember[];
}

export interface NativeGroupEvent {
  kind: "serving" | "joined" | "left" | "putOut" | "over";
  generation?: number | null;
  member?: NativeMember | null;
  id?: string | null;
  reason?: string | null;
  failure?: GroupFailure | null;
}

export interface NativeJoinOptions {
  name: string;
  program: string;
  app?: string;
  runtimeDir?: string;
  generationFile?: string;
  link?: string;
  labels: string[];
  connectTimeout?: number;
  hostTimeout?: number;
  resumeTimeout?: number;
  stallTimeout?: number;
  window?: number;
  maxPayload?: number;
  mapBytes?: number;
  maxMembers?: number;
}

export interface NativeGroup {
  readonly id?: string | null;
  readonly isHost: boolean;
  readonly directory?: string | null;
  /** The operations that ended since the last call. */
  finished(): Finished[];
  /** Nobody waits for an operation any more. False if it has ended. */
  cancel(request: number): boolean;
  close(request: number): void;
  /** The group is over: nothing is left to do when the thread ends. */
  rest(): void;
  event(): NativeGroupEvent | null;
  /** Not older than any event that was taken. */
  view(): NativeView | null;
  publish(request: number, topic: string, payload: Uint8Array): void;
  call(
    request: number,
    service: string,
    payload: Uint8Array,
    timeout: number | undefined,
    idempotent: boolean,
    member: string | undefined,
  ): void;
  callAll(request: number, service: string, payload: Uint8Array, timeout?: number): void;
  push(request: number, queue: string, job: Uint8Array, attempts?: number): void;
  set(request: number, map: NativeMap, key: string, value: Uint8Array, ttl?: number): void;
  delete(request: number, map: NativeMap, key: string): void;
  compareAndSet(
    request: number,
    map: NativeMap,
    key: string,
    revision: number | undefined,
    value: Uint8Array | undefined,
    ttl?: number,
  ): void;
  increment(request: number, map: NativeMap, key: string, by: number, ttl?: number): void;
}

/** Messages of a subscription. */
export interface NativeBatch {
  /** The bytes of all, one after the other. */
  data: Buffer;
  /** For each message as many as `Cell` has. */
  cells: Float64Array;
  topics: string[];
  publishers: string[];
}

export const enum Cell {
  Number = 0,
  Length = 1,
  Topic = 2,
  Publisher = 3,
  Missed = 4,
  Interrupted = 5,
  Count = 6,
}

export interface NativeSubscription {
  opened(): boolean;
  failure(): GroupFailure | null;
  take(most: number): NativeBatch | null;
  handled(number: number): void;
  close(): void;
}

export const enum LockState {
  Waiting = 0,
  Held = 1,
  Denied = 2,
  Lost = 3,
  Failed = 4,
}

export interface NativeLock {
  state(): LockState;
  failure(): GroupFailure | null;
  token(): string | null;
  release(): void;
}

export interface Called {
  number: number;
  from: string;
  data: Buffer;
}

export interface NativeService {
  opened(): boolean;
  failure(): GroupFailure | null;
  take(most: number): Called[];
  /** The calls that nobody waits for any more. */
  cancelled(): number[];
  answer(number: number, payload: Uint8Array): GroupFailure | null;
  fail(number: number, reason: string): GroupFailure | null;
  close(): void;
}

export interface Attempted {
  number: number;
  from: string;
  attempt: number;
  data: Buffer;
}

export interface NativeWorker {
  failure(): GroupFailure | null;
  take(): Attempted[];
  /** The jobs that are not needed any more. */
  cancelled(): number[];
  ack(number: number): void;
  /** After a pause that grows, if there is no delay. */
  nak(number: number, delay?: number): void;
  term(number: number, reason: string): void;
  close(): void;
}

export interface NativeEntry {
  key: string;
  data: Buffer;
  revision: number;
}

export interface NativeMap {
  entry(key: string): NativeEntry | null;
  entries(): NativeEntry[];
}

export interface NativeWatch {
  take(most: number): { key?: string | null; missed?: number | null }[];
  close(): void;
}

interface GroupAddon {
  NativeGroup: new (
    hub: Hub,
    token: number,
    request: number,
    options: NativeJoinOptions,
  ) => NativeGroup;
  NativeSubscription: new (
    group: NativeGroup,
    token: number,
    pattern: string,
    latest: boolean,
  ) => NativeSubscription;
  NativeLock: new (
    group: NativeGroup,
    token: number,
    name: string,
    mode: "exclusive" | "shared" | "role",
    wait: "wait" | "try" | "steal",
  ) => NativeLock;
  NativeService: new (group: NativeGroup, token: number, service: string) => NativeService;
  NativeWorker: new (
    group: NativeGroup,
    token: number,
    queue: string,
    capacity: number,
  ) => NativeWorker;
  NativeMap: new (group: NativeGroup, name: string) => NativeMap;
  NativeWatch: new (
    group: NativeGroup,
    token: number,
    map: NativeMap,
    prefix: string,
  ) => NativeWatch;
}

export const groups = addon as unknown as GroupAddon;
