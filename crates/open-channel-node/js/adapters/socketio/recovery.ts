// Connection state recovery: what a client needs to go on at another server.
import { once } from "node:events";
import type { BroadcastOptions, Session } from "socket.io-adapter";
import type { Group } from "../../group/group.js";
import { EVENT, PacketLog, parseOffset, type LoggedPacket } from "./packet-log.js";
import { Sessions, type SocketLike } from "./sessions.js";

/** Limits of connection state recovery. */
export interface RecoveryOptions {
  /** Packets that are kept for clients that come back, at most. Default 10000. */
  maxPackets?: number;
  /** The bytes of those packets, at most. Default 16 MiB. */
  maxPacketBytes?: number;
}

/** What recovery needs from its adapter. */
export interface Face {
  /** The clients of this server. */
  sockets(): Map<string, SocketLike>;
  /** Sends a packet to the clients of this server. */
  deliver(packet: LoggedPacket, opts: BroadcastOptions): void;
  /** Sends a packet to the other servers without the log. */
  publish(packet: unknown, opts: BroadcastOptions, offset: string): void;
  /** Ends an old connection. */
  disconnect(uid: string, sid: string): void;
  warn(error: unknown): void;
}

/** How often the limits are looked at, in milliseconds. */
const LOOK_AFTER = 1_000;

const DEFAULT_MAX_PACKETS = 10_000;
const DEFAULT_MAX_PACKET_BYTES = 16 << 20;

/**
 * The recovery of one namespace. The packets of the last minutes are in a map of the group, with
 * the sessions in another: so every server has them, and no death takes them away.
 */
export class Recovery {
  readonly #log: PacketLog;
  readonly #sessions: Sessions;
  readonly #group: Group;
  readonly #role: string;
  readonly #face: Face;
  readonly #stop = new AbortController();

  constructor(
    group: Group,
    topic: string,
    uid: string,
    duration: number,
    options: RecoveryOptions,
    face: Face,
  ) {
    const { maxPackets = DEFAULT_MAX_PACKETS, maxPacketBytes = DEFAULT_MAX_PACKET_BYTES } = options;
    const limits = { packets: maxPackets, bytes: maxPacketBytes, duration };
    this.#group = group;
    this.#role = `${topic} keeper`;
    this.#face = face;
    this.#log = new PacketLog(group, topic, uid, limits, face);
    this.#sessions = new Sessions(group, topic, uid, duration, face);
  }

  start(): void {
    this.#log.start();
    this.#sessions.start();
    const { signal } = this.#stop;
    this.#group.lead(this.#role, (lost) => this.#keep(lost), { signal }).catch((error) => {
      if (!signal.aborted) this.#face.warn(error);
    });
  }

  /** One server looks after what servers that are gone have left, and after the limits. */
  async #keep(lost: AbortSignal): Promise<void> {
    const warn = (error: unknown) => this.#face.warn(error);
    const adopt = () => void this.#sessions.adopt().catch(warn);
    let isTrimming = false;
    const trim = async () => {
      if (isTrimming) return;
      isTrimming = true;
      await this.#log.trim().catch(warn);
      isTrimming = false;
    };
    const timer = setInterval(trim, LOOK_AFTER);
    timer.unref();
    this.#group.on("leave", adopt);
    adopt();
    try {
      // The end of this server ends the role, too.
      if (!lost.aborted) await once(lost, "abort");
    } finally {
      clearInterval(timer);
      this.#group.off("leave", adopt);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#log.close();
    await this.#sessions.close();
  }

  /** A client that was away gets it afterwards: an event, not volatile, without acknowledgement. */
  takes(packet: { type: number; id?: number }, opts: BroadcastOptions): boolean {
    return packet.type === EVENT && packet.id === undefined && opts.flags?.volatile === undefined;
  }

  /** Puts a packet of this server into the log, and returns its offset. */
  add(packet: { data: unknown[] }, opts: BroadcastOptions): string {
    return this.#log.add(packet.data, opts);
  }

  /** A packet of another server that found no place in the log. */
  takeUnlogged(packet: { data: unknown[] }, opts: BroadcastOptions, offset: string): void {
    this.#log.takeUnlogged(packet.data, opts, offset);
  }

  /** A socket is in other rooms. */
  changed(sid: string): void {
    this.#sessions.changed(sid);
  }

  /** A socket is in no room any more. */
  gone(sid: string): void {
    this.#sessions.gone(sid);
  }

  persist(session: Omit<Session, "missedPackets">): void {
    this.#sessions.persist(session);
  }

  /** Takes a session over: it is restored once. Nothing if it or its packets are not there. */
  async restore(pid: string, offset: string): Promise<Session | undefined> {
    const seen = parseOffset(offset);
    if (seen === undefined) return undefined;
    const found = await this.#sessions.take(pid);
    if (found === undefined || !(await this.#log.reaches(seen))) return undefined;
    const { sid, rooms, data } = found;
    if (found.member !== "") this.#face.disconnect(found.uid, sid);
    const log = this.#log;
    return {
      sid,
      pid,
      rooms,
      data,
      // Looked at when the socket is in its rooms: what comes after that comes to the socket.
      get missedPackets() {
        return log.missed(rooms, seen);
      },
    };
  }
}
