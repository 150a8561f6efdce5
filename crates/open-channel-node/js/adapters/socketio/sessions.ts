// The sessions of clients, in a map of the group: whichever server they come back to has them.
import { setImmediate } from "node:timers";
import type { Session } from "socket.io-adapter";
import type { Group } from "../../group/group.js";
import type { SharedMap } from "../../group/map.js";
import { decode, encode, isId, areRooms } from "./messages.js";

/** What is used of Socket.IO's sockets. */
export interface SocketLike {
  id: string;
  pid?: string;
  rooms: Set<string>;
  data: unknown;
  disconnect(close?: boolean): unknown;
}

type SessionToPersist = Omit<Session, "missedPackets">;

/** A session in the map, under its private id. */
export interface SavedSession extends SessionToPersist {
  /** Its server. */
  uid: string;
  /** The member that has the server; empty once the client is away. */
  member: string;
}

interface Face {
  sockets(): Map<string, SocketLike>;
  warn(error: unknown): void;
}

/** A key that is no session's. */
const NOTHING = ".";

/**
 * A session is saved when its client connects, and when it joins or leaves a room: the kill of a
 * server takes none away. It is there for as long as its client is connected, and then for the
 * duration of the recovery.
 */
export class Sessions {
  readonly #group: Group;
  readonly #map: SharedMap;
  readonly #uid: string;
  readonly #duration: number;
  readonly #face: Face;
  /** What was saved of connected sockets: the private id, and the bytes. */
  readonly #saved = new Map<string, { pid: string; bytes: Buffer }>();
  readonly #dirty = new Set<string>();
  readonly #writes = new Set<Promise<unknown>>();
  readonly #back = () => this.#again();

  constructor(group: Group, topic: string, uid: string, duration: number, face: Face) {
    this.#group = group;
    this.#map = group.map(`${topic} sessions`);
    this.#uid = uid;
    this.#duration = duration;
    this.#face = face;
  }

  start(): void {
    this.#group.on("back", this.#back);
  }

  async close(): Promise<void> {
    this.#group.off("back", this.#back);
    await Promise.allSettled(this.#writes);
  }

  /** A socket is in other rooms. It is saved after all that happens with it in this turn. */
  changed(sid: string): void {
    if (this.#dirty.size === 0) setImmediate(() => this.#save());
    this.#dirty.add(sid);
  }

  /** A socket is gone, and its session with it, unless that was persisted before. */
  gone(sid: string): void {
    const saved = this.#saved.get(sid);
    this.#saved.delete(sid);
    this.#dirty.delete(sid);
    if (saved === undefined) return;
    // Another server may have taken it over.
    if (this.#ownerOf(saved.pid) === this.#uid) this.#write(this.#map.delete(saved.pid));
  }

  /** The client is away, unless another server has it. */
  persist({ sid, pid, rooms, data }: SessionToPersist): void {
    this.#saved.delete(sid);
    this.#dirty.delete(sid);
    if ((this.#ownerOf(pid) ?? this.#uid) !== this.#uid) return;
    const bytes = this.#encode({ sid, pid, rooms, data }, "");
    if (bytes !== undefined) this.#write(this.#map.set(pid, bytes, { ttl: this.#duration }));
  }

  /** Takes a session out of the map: of several servers, one gets it. */
  async take(pid: string): Promise<SavedSession | undefined> {
    if (!isId(pid)) return undefined;
    let found = this.#read(pid);
    if (found === undefined) {
      // It may be on its way here. After a write everything that was written before it is.
      await this.#map.delete(NOTHING);
      found = this.#read(pid);
    }
    return found !== undefined && (await this.#map.delete(pid)) ? found.session : undefined;
  }

  /** The sessions of servers that died will expire, as if their clients had disconnected. */
  async adopt(): Promise<void> {
    const members = new Set(this.#group.members.map((member) => member.id));
    const ttl = this.#duration;
    const adopted = [...this.#map.keys()].map(async (pid) => {
      const found = this.#read(pid);
      if (found === undefined || found.session.member === "") return;
      if (members.has(found.session.member)) return;
      const bytes = encode({ ...found.session, member: "" });
      await this.#map.compareAndSet(pid, found.revision, bytes, { ttl });
    });
    await Promise.all(adopted);
  }

  /** This member was out of the view and has another id: another server may have adopted them. */
  #again(): void {
    for (const sid of this.#saved.keys()) this.changed(sid);
  }

  #save(): void {
    const sockets = this.#face.sockets();
    for (const sid of this.#dirty) {
      const socket = sockets.get(sid);
      if (socket?.pid === undefined) continue;
      const { pid, data } = socket;
      const bytes = this.#encode({ sid, pid, rooms: [...socket.rooms], data }, this.#group.id);
      if (bytes === undefined || this.#saved.get(sid)?.bytes.equals(bytes)) continue;
      this.#saved.set(sid, { pid, bytes });
      this.#write(this.#map.set(pid, bytes));
    }
    this.#dirty.clear();
  }

  #encode(session: SessionToPersist, member: string): Buffer | undefined {
    try {
      return encode({ ...session, uid: this.#uid, member });
    } catch (cause) {
      const message = "socket.data cannot be sent to other servers, so the session is not kept";
      const error = new Error(message, { cause });
      this.#face.warn(Object.assign(error, { code: "ERR_INVALID_ARG_VALUE" }));
      return undefined;
    }
  }

  #write(write: Promise<unknown>): void {
    this.#writes.add(write);
    write.catch((error) => this.#face.warn(error)).finally(() => this.#writes.delete(write));
  }

  /** The server that has a session. Nobody knows while this member is out of the view. */
  #ownerOf(pid: string): string | undefined {
    try {
      return this.#read(pid)?.session.uid;
    } catch {
      return undefined;
    }
  }

  /**
   * `undefined` if it is not there, or nonsense.
   * @throws While this member is out of the view.
   */
  #read(pid: string): { session: SavedSession; revision: number } | undefined {
    const entry = this.#map.entry(pid);
    if (entry === undefined) return undefined;
    try {
      const session = decode(entry.value) as unknown as SavedSession;
      const { uid, sid, rooms, member } = session;
      const fine = isId(uid) && typeof sid === "string" && areRooms(rooms);
      if (!fine || typeof member !== "string" || session.pid !== pid) return undefined;
      return { session, revision: entry.revision };
    } catch {
      return undefined;
    }
  }
}
