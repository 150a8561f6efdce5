// Counts of express-rate-limit that all processes of a group share.
import { createHash, randomBytes } from "node:crypto";
import type { ClientRateLimitInfo, IncrementResponse, Options, Store } from "express-rate-limit";
import type { Group } from "../group/group.js";
import type { SharedMap } from "../group/map.js";
import { checkGroup } from "./group.js";

/** Options of a `GroupStore`. */
export interface GroupStoreOptions {
  /**
   * Keeps the counts of one limiter apart from those of others. Limiters of one group that should
   * not count together need different ones. Default `"rate-limit"`.
   */
  prefix?: string;
}

/** The time in which hits of one client count together. It begins with the first of them. */
interface Window {
  /** Milliseconds since 1970: the processes of one machine have one clock. */
  resetTime: number;
  /** The key of its count. A new window never goes on with an old count. */
  id: string;
}

/** Longer keys are hashed, because clients may choose them: a name in a group has its limit. */
const LONGEST_KEY = 256;

/** How much longer than its window a count is kept, for a process that is late. */
const GRACE = 1_000;

/**
 * A store for express-rate-limit: hits on all processes of a group count together, each of them
 * once, and all processes give a client the same reset time. The counts live while one process
 * does. Each limiter needs a store of its own.
 */
export class GroupStore implements Store {
  /** Other instances see the keys. */
  readonly localKeys = false;
  readonly prefix: string;
  readonly #windows: SharedMap;
  readonly #counts: SharedMap;
  #windowMs: number | undefined;

  /** The group stays the caller's: the store does not close it. */
  constructor(group: Group, { prefix = "rate-limit" }: GroupStoreOptions = {}) {
    checkGroup(group, "GroupStore");
    this.prefix = prefix;
    this.#windows = group.map(`${prefix} windows`);
    this.#counts = group.map(`${prefix} counts`);
  }

  /** express-rate-limit calls it with the options of the limiter. */
  init({ windowMs }: Pick<Options, "windowMs">): void {
    this.#windowMs = windowMs;
  }

  /** From this process's own memory. */
  async get(key: string): Promise<ClientRateLimitInfo | undefined> {
    const window = this.#present(clientOf(key));
    if (window === undefined) return undefined;
    return { totalHits: this.#count(window), resetTime: new Date(window.resetTime) };
  }

  async increment(key: string): Promise<IncrementResponse> {
    const window = await this.#open(clientOf(key));
    const ttl = Math.max(0, window.resetTime - Date.now()) + GRACE;
    const totalHits = await this.#counts.increment(window.id, 1, { ttl });
    return { totalHits: Number(totalHits), resetTime: new Date(window.resetTime) };
  }

  /** Takes a hit back, for `skipFailedRequests` and `skipSuccessfulRequests`. */
  async decrement(key: string): Promise<void> {
    const window = this.#present(clientOf(key));
    if (window === undefined || this.#count(window) <= 0) return;
    const ttl = Math.max(0, window.resetTime - Date.now()) + GRACE;
    await this.#counts.increment(window.id, -1, { ttl });
  }

  async resetKey(key: string): Promise<void> {
    const client = clientOf(key);
    const window = this.#windows.get(client) as Window | undefined;
    await this.#windows.delete(client);
    if (window !== undefined) await this.#counts.delete(window.id);
  }

  async resetAll(): Promise<void> {
    for (const map of [this.#windows, this.#counts])
      await Promise.all([...map.keys()].map((key) => map.delete(key)));
  }

  /** The window of a client, if it has one that is not over. */
  #present(client: string): Window | undefined {
    const window = this.#windows.get(client) as Window | undefined;
    return window !== undefined && window.resetTime > Date.now() ? window : undefined;
  }

  #count(window: Window): number {
    return Number(this.#counts.get(window.id) ?? 0);
  }

  /** The window of a client. If processes begin one at once, the first of them does. */
  async #open(client: string): Promise<Window> {
    const windowMs = this.#windowMs;
    if (windowMs === undefined)
      throw new Error("this store has no window: pass it to rateLimit(), which calls init()");
    for (;;) {
      const found = this.#windows.entry(client);
      const window = found?.value as Window | undefined;
      if (window !== undefined && window.resetTime > Date.now()) return window;
      const resetTime = Date.now() + windowMs;
      const next: Window = { resetTime, id: randomBytes(12).toString("base64url") };
      const revision = found?.revision ?? null;
      if (await this.#windows.compareAndSet(client, revision, next, { ttl: windowMs })) return next;
    }
  }
}

function clientOf(key: string): string {
  if (key.length > 0 && Buffer.byteLength(key) <= LONGEST_KEY) return `=${key}`;
  return `#${createHash("sha256").update(key).digest("base64url")}`;
}
