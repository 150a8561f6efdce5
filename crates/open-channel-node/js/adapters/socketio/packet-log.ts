// The packets of the last minutes, in a map of the group: the same at every server.
import { setImmediate } from "node:timers";
import { debuglog } from "node:util";
import type { BroadcastOptions } from "socket.io-adapter";
import type { Group } from "../../group/group.js";
import type { MapWatch, SharedMap } from "../../group/map.js";
import { decode, encode, isId, isTarget } from "./messages.js";

const debug = debuglog("open-channel");

/** A packet on its way to clients. */
export interface LoggedPacket {
  type: number;
  data: unknown[];
}

interface Limits {
  packets: number;
  bytes: number;
  /** Milliseconds for which a packet is kept. */
  duration: number;
}

interface Face {
  deliver(packet: LoggedPacket, opts: BroadcastOptions): void;
  publish(packet: unknown, opts: BroadcastOptions, offset: string): void;
  warn(error: unknown): void;
}

/** A packet of the log. */
interface Logged {
  /** Its server, and its number there. */
  uid: string;
  seq: number;
  rooms: string[];
  except: string[];
  data: unknown[];
  revision: number;
  size: number;
  /** When it came here; 0 before. */
  at: number;
}

/**
 * The packets that a client has seen: those of the log up to `revision`, and those of the server
 * `uid` up to `seq`. A server delivers its own packets at once, before they are in the log; `seq`
 * is 0 when all of them were there.
 */
export interface Seen {
  revision: number;
  uid: string;
  seq: number;
}

/** The last element of each packet that a client gets, and what it comes back with. */
const offsetOf = ({ revision, uid, seq }: Seen) => `${revision}.${uid}.${seq}`;

/** `undefined` if it is none: it comes from a client. */
export function parseOffset(text: string): Seen | undefined {
  const [, revision, uid, seq] = /^(\d{1,15})\.([\w-]{1,64})\.(\d{1,15})$/.exec(text) ?? [];
  if (revision === undefined) return undefined;
  return { revision: Number(revision), uid: uid!, seq: Number(seq) };
}

/** The number of Socket.IO's packets with an event. */
export const EVENT = 2;

/** The key that has the highest revision of a packet that may be gone from the log. */
const TRIMMED = "trimmed";

/** Packets younger than this are not trimmed, in milliseconds: a slow server may not have them. */
const YOUNG = 10_000;

/** The most packets that are trimmed at once. */
const TRIM = 256;

/** How many packets that came without the log are remembered. */
const UNLOGGED = 1_000;

/** For how long a restore waits for what its client has seen, in milliseconds. */
const LATE = 1_000;

export class PacketLog {
  readonly #map: SharedMap;
  readonly #uid: string;
  readonly #limits: Limits;
  readonly #face: Face;
  /** By key, in the order of their revisions. */
  readonly #logged = new Map<string, Logged>();
  /** Packets of this server that are not in the log yet, by number. */
  readonly #own = new Map<number, Logged>();
  /** Keys of packets that came without the log. */
  readonly #unlogged = new Set<string>();
  readonly #waiting = new Set<() => void>();
  /** Keys that have changed and were not looked at yet. */
  #changed: string[] = [];
  #looking = false;
  /** The whole map must be looked at. */
  #hasMissed = false;
  #seq = 0;
  /** All packets up to it were delivered here. */
  #revision = 0;
  /** All packets after it are in `#logged`. */
  #trimmed = 0;
  #bytes = 0;
  #watch: MapWatch | undefined;

  constructor(group: Group, topic: string, uid: string, limits: Limits, face: Face) {
    this.#map = group.map(`${topic} packets`);
    this.#uid = uid;
    this.#limits = limits;
    this.#face = face;
  }

  /** Takes what is there without delivering it, and then what comes. */
  start(): void {
    const watch = this.#map.watch("");
    this.#watch = watch;
    this.#revision = this.#trimmed = this.#marked();
    for (const [key, packet] of this.#entries()) this.#append(key, packet);
    this.#follow(watch).catch((error) => this.#face.warn(error));
  }

  close(): void {
    this.#watch?.close();
  }

  /** Puts a packet of this server into the log, and returns its offset. */
  add(data: unknown[], { rooms, except = new Set() }: BroadcastOptions): string {
    const seq = ++this.#seq;
    const { duration } = this.#limits;
    const packet = { rooms: [...rooms], except: [...except], data: [...data] };
    const bytes = encode({ uid: this.#uid, seq, ...packet });
    const own = { uid: this.#uid, seq, ...packet, revision: 0, size: bytes.length, at: 0 };
    this.#own.set(seq, own);
    const written = this.#map.set(`${this.#uid}.${seq}`, bytes, { ttl: duration });
    written.then(
      () => (own.at = performance.now()),
      (error: unknown) => this.#failed(own, error),
    );
    return offsetOf({ revision: this.#revision, uid: this.#uid, seq });
  }

  /** A packet has found no place in the log: it goes to the other servers without it. */
  #failed(own: Logged, cause: unknown): void {
    this.#own.delete(own.seq);
    const { code, message } = cause as { code?: string; message: string };
    const error = new Error(`packets are not kept for clients that come back: ${message}`);
    this.#face.warn(Object.assign(error, { code, cause }));
    this.#gap();
    const opts = { rooms: new Set(own.rooms), except: new Set(own.except) };
    const packet = { type: EVENT, data: own.data };
    this.#face.publish(packet, opts, `${this.#uid}.${own.seq}`);
  }

  takeUnlogged(data: unknown[], opts: BroadcastOptions, key: string): void {
    if (this.#logged.has(key) || this.#unlogged.has(key)) return;
    this.#unlogged.add(key);
    const [oldest] = this.#unlogged;
    if (this.#unlogged.size > UNLOGGED) this.#unlogged.delete(oldest!);
    this.#gap();
    this.#deliver(data, opts);
  }

  /** A packet is missing in the log: no client that was there goes on from before it. */
  #gap(): void {
    this.#trimmed = Math.max(this.#trimmed, this.#revision + 1);
  }

  /** Waits until this server has what a client has seen. Whether the log reaches back so far. */
  async reaches(seen: Seen): Promise<boolean> {
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      this.#wake();
    }, LATE);
    while (!this.#has(seen) && !isLate)
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    clearTimeout(deadline);
    return this.#revision >= seen.revision && this.#trimmed <= seen.revision;
  }

  #has({ revision, uid, seq }: Seen): boolean {
    if (this.#trimmed > revision) return true;
    const isLogged = seq === 0 || uid === this.#uid || this.#logged.has(`${uid}.${seq}`);
    return this.#revision >= revision && isLogged;
  }

  /** The packets for a client in these rooms that it has not seen, each with its offset. */
  missed(rooms: string[], seen: Seen): unknown[][] {
    const missed: unknown[][] = [];
    for (const packet of this.#logged.values()) {
      if (packet.revision <= seen.revision || isSeen(packet, seen)) continue;
      if (!isFor(packet, rooms)) continue;
      const offset = offsetOf({ ...seen, revision: packet.revision });
      missed.push([...packet.data, offset]);
    }
    for (const packet of this.#own.values()) {
      if (isSeen(packet, seen) || !isFor(packet, rooms)) continue;
      const { uid, seq } = packet;
      missed.push([...packet.data, offsetOf({ revision: this.#revision, uid, seq })]);
    }
    return missed;
  }

  /** Deletes the oldest packets beyond the limits. One server does it for all. */
  async trim(): Promise<void> {
    const now = performance.now();
    const { duration, packets, bytes } = this.#limits;
    const expiring = now - duration + Math.min(YOUNG, duration / 2);
    const marked = this.#marked();
    let [count, size] = [this.#logged.size, this.#bytes];
    let mark = Math.max(marked, this.#trimmed);
    const trimmed: string[] = [];
    for (const [key, packet] of this.#logged) {
      const isOver = (count > packets || size > bytes) && packet.at < now - YOUNG;
      if (!isOver && packet.at > expiring) break;
      mark = Math.max(mark, packet.revision);
      if (!isOver) continue;
      trimmed.push(key);
      count -= 1;
      size -= packet.size;
    }
    // A newcomer that sees the packets gone has seen this.
    if (mark > marked) await this.#map.set(TRIMMED, mark);
    for (let at = 0; at < trimmed.length; at += TRIM)
      await Promise.all(trimmed.slice(at, at + TRIM).map((key) => this.#map.delete(key)));
  }

  /** What newcomers know of `#trimmed`. */
  #marked(): number {
    return Number(this.#map.get(TRIMMED)) || 0;
  }

  async #follow(watch: MapWatch): Promise<void> {
    for await (const { key } of watch) {
      if (key === undefined) this.#hasMissed = true;
      else this.#changed.push(key);
      if (this.#looking) continue;
      this.#looking = true;
      // In a turn of its own: a socket that is being restored is connected before.
      setImmediate(() => this.#look());
    }
  }

  #look(): void {
    this.#looking = false;
    for (const [key, packet] of this.#read()) {
      if (packet === undefined) this.#forget(key);
      else if (!this.#logged.has(key)) this.#take(key, packet);
    }
    this.#wake();
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }

  /** What has changed. A packet is `undefined` if it is gone. */
  #read(): [string, Logged | undefined][] {
    const changed = this.#changed.splice(0).filter((key) => key !== TRIMMED);
    try {
      if (this.#hasMissed) changed.push(...this.#differences());
      this.#hasMissed = false;
      return changed.map((key) => [key, this.#packet(key)]);
    } catch (error) {
      // This member is out of the view. When it is back it is told to look at the whole map.
      this.#hasMissed = true;
      debug("the packets for clients that come back cannot be read now: %s", error);
      return [];
    }
  }

  /** The keys of packets that are gone, and of those that came, in the order of the revisions. */
  #differences(): string[] {
    const there = this.#entries().map(([key]) => key);
    const keys = new Set(there);
    const written = [...this.#own.values()].filter((own) => own.at > 0);
    const known = [...this.#logged.keys(), ...written.map((own) => `${own.uid}.${own.seq}`)];
    const gone = known.filter((key) => !keys.has(key));
    return [...gone, ...there.filter((key) => !this.#logged.has(key))];
  }

  #take(key: string, packet: Logged): void {
    this.#append(key, packet);
    // It was delivered already.
    if (packet.uid === this.#uid || this.#unlogged.delete(key)) return;
    const opts = { rooms: new Set(packet.rooms), except: new Set(packet.except) };
    this.#deliver(packet.data, opts);
  }

  /** To the clients of this server. */
  #deliver(data: unknown[], opts: BroadcastOptions): void {
    const seq = this.#own.size === 0 ? 0 : this.#seq;
    const offset = offsetOf({ revision: this.#revision, uid: this.#uid, seq });
    try {
      this.#face.deliver({ type: EVENT, data: [...data, offset] }, opts);
    } catch (error) {
      // A listener of the application has failed. The other packets are delivered all the same.
      process.nextTick(() => {
        throw error;
      });
    }
  }

  #append(key: string, packet: Logged): void {
    if (packet.uid === this.#uid) this.#own.delete(packet.seq);
    this.#logged.set(key, packet);
    this.#bytes += packet.size;
    this.#revision = Math.max(this.#revision, packet.revision);
  }

  /** It has expired, or was trimmed. */
  #forget(key: string): void {
    const packet = this.#logged.get(key);
    if (packet === undefined) {
      // It was gone before this server saw it.
      const [uid, seq] = key.split(".");
      if (uid === this.#uid) this.#own.delete(Number(seq));
      return this.#gap();
    }
    this.#logged.delete(key);
    this.#bytes -= packet.size;
    this.#trimmed = Math.max(this.#trimmed, packet.revision);
  }

  /** All packets of the map, in the order of their revisions. */
  #entries(): [string, Logged][] {
    const entries: [string, Logged][] = [];
    for (const key of this.#map.keys()) {
      const packet = this.#packet(key);
      if (packet !== undefined) entries.push([key, packet]);
    }
    return entries.sort(([, a], [, b]) => a.revision - b.revision);
  }

  /**
   * `undefined` if it is not there, or nonsense.
   * @throws While this member is out of the view.
   */
  #packet(key: string): Logged | undefined {
    const entry = this.#map.entry(key);
    if (entry === undefined || key === TRIMMED) return undefined;
    try {
      const { uid, seq, data, ...target } = decode(entry.value);
      if (!isId(uid) || !Number.isSafeInteger(seq) || !Array.isArray(data)) return undefined;
      if (!isTarget(target)) return undefined;
      const { rooms, except } = target as { rooms: string[]; except: string[] };
      const size = (entry.value as Uint8Array).length;
      const at = performance.now();
      return { uid, seq: seq as number, data, rooms, except, revision: entry.revision, size, at };
    } catch {
      return undefined;
    }
  }
}

const isSeen = (packet: Logged, seen: Seen) => packet.uid === seen.uid && packet.seq <= seen.seq;

/** Whether a packet is for a client in these rooms. */
function isFor({ rooms, except }: Logged, joined: string[]): boolean {
  const included = rooms.length === 0 || joined.some((room) => rooms.includes(room));
  return included && !joined.some((room) => except.includes(room));
}
