// Shared maps.
import { AsyncResource } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { forget, guard, register } from "../hub.js";
import { amount } from "../options.js";
import { nextTick, setImmediate } from "../timers.js";
import { checkText, type Core, type Part } from "./core.js";
import { invalidArgument, raised } from "./errors.js";
import { groups, type NativeMap, type NativeWatch } from "./native.js";
import { decodeEntry, encodeEntry } from "./values.js";

/** Changes that are taken from the addon together. */
const BATCH = 256;

export interface WriteOptions {
  /** Milliseconds after which the key is deleted. Default: never. */
  ttl?: number;
  /** Waits no longer. The key may be written or not. */
  signal?: AbortSignal;
}

/** A value of a map. */
export interface MapEntry<T = unknown> {
  value: T;
  /** It grows with each write, of any key. */
  revision: number;
}

/** A change of a map. */
export type MapChange<T = unknown> =
  /** This key was written, deleted, or has expired; `value` is what it has now. */
  | { key: string; value: T | undefined; missed?: undefined }
  /**
   * So many changes were not kept before those that follow: look at the whole map. This member was
   * out of the view, or nobody read for long.
   */
  | { key?: undefined; value?: undefined; missed: number };

/**
 * A map that all members share. Every member has all of it in memory, so that it is read at once. A
 * write is fulfilled when every member has it. The map lives while one member does.
 *
 * Whole numbers are kept in decimal digits, so that `increment` and members in other languages know
 * them.
 */
export class SharedMap<T = unknown> extends EventEmitter {
  readonly name: string;
  readonly #core: Core;
  readonly #native: NativeMap;
  #emitting: MapWatch<T> | undefined;

  /** @internal */
  constructor(core: Core, name: string) {
    super();
    core.check();
    this.name = checkText(name, "name");
    this.#core = core;
    this.#native = raising(() => new groups.NativeMap(core.native, name));
    this.on("newListener", (event) => {
      if (event === "change") this.#emitting ??= this.#emit();
    });
    this.on("removeListener", (event) => {
      if (event !== "change" || this.listenerCount("change") > 0) return;
      this.#emitting?.close();
      this.#emitting = undefined;
    });
  }

  /**
   * The value of a key, from this process's own memory. Never older than what a write of this
   * process was fulfilled for.
   * @throws While this member is out of the view; when the group is over.
   */
  get(key: string): T | undefined {
    return this.entry(key)?.value;
  }

  has(key: string): boolean {
    return this.entry(key) !== undefined;
  }

  /** The value of a key and its revision. */
  entry(key: string): MapEntry<T> | undefined {
    checkText(key, "key");
    const entry = raising(() => this.#native.entry(key));
    if (entry === null) return undefined;
    return { value: decodeEntry(entry.data) as T, revision: entry.revision };
  }

  /** All keys and values, in the order of the keys, at one moment. */
  entries(): IterableIterator<[string, T]> {
    const entries = raising(() => this.#native.entries());
    return entries.map(({ key, data }): [string, T] => [key, decodeEntry(data) as T]).values();
  }

  keys(): IterableIterator<string> {
    return raising(() => this.#native.entries())
      .map(({ key }) => key)
      .values();
  }

  values(): IterableIterator<T> {
    return [...this.entries()].map(([, value]) => value).values();
  }

  [Symbol.iterator](): IterableIterator<[string, T]> {
    return this.entries();
  }

  get size(): number {
    return raising(() => this.#native.entries()).length;
  }

  /** Sets a key. Fulfilled with its revision when every member has it. */
  async set(key: string, value: T, options: WriteOptions = {}): Promise<number> {
    const [native, map] = this.#write(key);
    const bytes = encodeEntry(value);
    const ttl = lifetime(options);
    const { number } = await this.#core.operate(
      (request) => native.set(request, map, key, bytes, ttl),
      options.signal,
    );
    return number!;
  }

  /** Deletes a key. Fulfilled with whether it was there. */
  async delete(key: string, options: { signal?: AbortSignal } = {}): Promise<boolean> {
    const [native, map] = this.#write(key);
    const { flag } = await this.#core.operate(
      (request) => native.delete(request, map, key),
      options.signal,
    );
    return flag!;
  }

  /**
   * Sets a key if it has this revision; `null` if it must be absent. Fulfilled with whether that
   * was so.
   */
  async compareAndSet(
    key: string,
    revision: number | null,
    value: T,
    options: WriteOptions = {},
  ): Promise<boolean> {
    return this.#compare(key, revision, encodeEntry(value), options);
  }

  /** Deletes a key if it has this revision. Fulfilled with whether that was so. */
  async compareAndDelete(
    key: string,
    revision: number,
    options: { signal?: AbortSignal } = {},
  ): Promise<boolean> {
    return this.#compare(key, revision, undefined, options);
  }

  async #compare(
    key: string,
    revision: number | null,
    bytes: Uint8Array | undefined,
    options: WriteOptions,
  ): Promise<boolean> {
    const [native, map] = this.#write(key);
    if (revision !== null && !(Number.isSafeInteger(revision) && revision >= 0))
      throw invalidArgument(`revision must be a revision or null, not ${String(revision)}`);
    const ttl = lifetime(options);
    const { flag } = await this.#core.operate(
      (request) => native.compareAndSet(request, map, key, revision ?? undefined, bytes, ttl),
      options.signal,
    );
    return flag!;
  }

  /**
   * Adds to a whole number; an absent one is 0. Fulfilled with the sum. With `ttl`, the key is
   * deleted so long after the last increment.
   */
  async increment(key: string, by = 1, options: WriteOptions = {}): Promise<number> {
    const [native, map] = this.#write(key);
    if (!Number.isSafeInteger(by)) throw invalidArgument(`by must be a whole number, not ${by}`);
    const ttl = lifetime(options);
    const { number } = await this.#core.operate(
      (request) => native.increment(request, map, key, by, ttl),
      options.signal,
    );
    return number!;
  }

  /** The changes from here on of keys that begin with `prefix`, for a loop. */
  watch(prefix = ""): MapWatch<T> {
    return new MapWatch(this.#core, this, this.#native, checkText(prefix, "prefix"));
  }

  #emit(): MapWatch<T> {
    const emit = (change: MapChange<T>) => guard(() => this.emit("change", change));
    return new MapWatch(this.#core, this, this.#native, "", emit);
  }

  #write(key: string): [Core["native"], NativeMap] {
    this.#core.check();
    checkText(key, "key");
    return [this.#core.native, this.#native];
  }
}

function lifetime({ ttl }: WriteOptions): number | undefined {
  return ttl === undefined || ttl === Infinity ? undefined : amount(ttl, "ttl");
}

function raising<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw raised(error);
  }
}

/**
 * The changes of a map, from `map.watch()`: an async iterator. A key that changes again before its
 * change is read comes once.
 */
export class MapWatch<T = unknown> {
  readonly #core: Core;
  readonly #map: SharedMap<T>;
  readonly #native: NativeWatch;
  readonly #token: number;
  readonly #listener: ((change: MapChange<T>) => void) | undefined;
  readonly #context: AsyncResource;
  readonly #part: Part = { end: (error) => this.#end(error) };
  #waiting: (() => void) | undefined;
  #iterating = false;
  #over = false;
  #error: Error | undefined;
  #resting = false;

  /** @internal */
  constructor(
    core: Core,
    map: SharedMap<T>,
    native: NativeMap,
    prefix: string,
    listener?: (change: MapChange<T>) => void,
  ) {
    core.check();
    this.#core = core;
    this.#map = map;
    this.#listener = listener;
    this.#token = register(() => this.#look());
    this.#native = new groups.NativeWatch(core.native, this.#token, native, prefix);
    this.#context = new AsyncResource("open-channel:watch", { requireManualDestroy: true });
    core.add(this.#part);
    // The addon tells of the first change when it was asked for one.
    nextTick(() => this.#look());
  }

  /** Ends it, and the loop. */
  close(): void {
    this.#end();
  }

  #end(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#native.close();
    forget(this.#token);
    this.#core.delete(this.#part);
    this.#context.emitDestroy();
    this.#waiting?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MapChange<T>, void, void> {
    if (this.#iterating) throw invalidArgument("the changes of this watch go to another loop");
    this.#iterating = true;
    try {
      while (!this.#over) {
        const [next] = this.#native.take(1);
        if (next !== undefined) yield this.#change(next);
        else {
          await new Promise<void>((resolve) => (this.#waiting = resolve));
          this.#waiting = undefined;
        }
      }
      if (this.#error !== undefined) throw this.#error;
    } finally {
      this.#end();
    }
  }

  #look(): void {
    if (this.#over) return;
    if (this.#listener === undefined) return this.#waiting?.();
    if (this.#resting) return;
    const taken = this.#native.take(BATCH);
    for (const change of taken) {
      if (this.#over) return;
      this.#context.runInAsyncScope(this.#listener, undefined, this.#change(change));
    }
    if (taken.length < BATCH) return;
    this.#resting = true;
    setImmediate(() => {
      this.#resting = false;
      this.#look();
    });
  }

  #change({ key, missed }: { key?: string | null; missed?: number | null }): MapChange<T> {
    if (key == null) return { missed: missed ?? 0 };
    return { key, value: this.#value(key) };
  }

  #value(key: string): T | undefined {
    try {
      return this.#map.get(key);
    } catch {
      // This member is out of the view: when it is back, a change with `missed` follows.
      return undefined;
    }
  }
}

export interface SharedMap<T> {
  on(event: "change", listener: (change: MapChange<T>) => void): this;
  on(event: "newListener" | "removeListener", listener: (event: string | symbol) => void): this;
  once(event: "change", listener: (change: MapChange<T>) => void): this;
  off(event: "change", listener: (change: MapChange<T>) => void): this;
}
