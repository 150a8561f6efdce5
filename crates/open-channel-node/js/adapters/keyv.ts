// A store for Keyv that all processes of a group share.
import { EventEmitter } from "node:events";
import type { KeyvStoreAdapter, StoredData } from "keyv";
import type { Group } from "../group/group.js";
import type { SharedMap } from "../group/map.js";
import { checkGroup } from "./group.js";

/** Options of a `KeyvGroup`. */
export interface KeyvGroupOptions {
  /** The map of the group that has the entries. Default `"keyv"`. */
  map?: string;
}

/**
 * A storage adapter for Keyv on a map of a group: every process has all entries in its memory and
 * reads them there; a write returns when every process has it. Entries live while one process does.
 */
export class KeyvGroup extends EventEmitter implements KeyvStoreAdapter {
  /**
   * Keyv gives its `iterator()` only to stores with a dialect that it knows. Entries of this one
   * come as Redis's do: prefixed keys, with serialized values.
   */
  readonly opts: Record<string, unknown>;
  /** Set by Keyv: its keys begin with it and a colon. */
  namespace?: string;
  readonly #map: SharedMap;

  /** The group stays the caller's: `disconnect()` does not close it. */
  constructor(group: Group, { map = "keyv" }: KeyvGroupOptions = {}) {
    super();
    checkGroup(group, "KeyvGroup");
    this.opts = { dialect: "redis", url: `open-channel:${group.name}/${map}` };
    this.#map = group.map(map);
  }

  async get<Value>(key: string): Promise<StoredData<Value> | undefined> {
    return this.#map.get(key) as StoredData<Value> | undefined;
  }

  async getMany<Value>(keys: string[]): Promise<StoredData<Value | undefined>[]> {
    return keys.map((key) => this.#map.get(key) as StoredData<Value | undefined>);
  }

  async has(key: string): Promise<boolean> {
    return this.#map.has(key);
  }

  async hasMany(keys: string[]): Promise<boolean[]> {
    return keys.map((key) => this.#map.has(key));
  }

  /** `ttl` is in milliseconds. */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    await this.#map.set(key, value, ttl === undefined ? {} : { ttl });
    return true;
  }

  /** Whether the key was there. */
  delete(key: string): Promise<boolean> {
    return this.#map.delete(key);
  }

  /** Whether all of the keys were there. */
  async deleteMany(keys: string[]): Promise<boolean> {
    const deleted = await Promise.all(keys.map((key) => this.#map.delete(key)));
    return deleted.every(Boolean);
  }

  /** Deletes the keys of the namespace; all keys of the map without one. */
  async clear(): Promise<void> {
    const keys = [...this.#keys(this.namespace)];
    await Promise.all(keys.map((key) => this.#map.delete(key)));
  }

  async *iterator<Value>(
    namespace?: string,
  ): AsyncGenerator<(string | Awaited<Value> | undefined)[], void> {
    for (const key of this.#keys(namespace)) {
      const value = this.#map.get(key) as Awaited<Value> | undefined;
      // It may have gone since.
      if (value !== undefined) yield [key, value];
    }
  }

  async disconnect(): Promise<void> {}

  /** As they are now. */
  #keys(namespace: string | undefined): string[] {
    const prefix = namespace ? `${namespace}:` : "";
    return [...this.#map.keys()].filter((key) => key.startsWith(prefix));
  }
}
