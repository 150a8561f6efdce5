// One namespace of one Socket.IO server, and its messages to those of the other servers.
import { createHash, randomBytes } from "node:crypto";
import { debuglog } from "node:util";
import {
  Adapter,
  ClusterAdapter,
  MessageType,
  type BroadcastOptions,
  type ClusterMessage,
  type ClusterResponse,
  type Session,
} from "socket.io-adapter";
import type { Group } from "../../group/group.js";
import type { TopicMessage } from "../../group/topics.js";
import { decode, decodeMessage, encode, encodeAnswer } from "./messages.js";
import { Recovery, type RecoveryOptions } from "./recovery.js";

/** Options of `createAdapter`. */
export interface AdapterOptions extends RecoveryOptions {
  /** Servers with the same name in one group belong together. Default `"main"`. */
  name?: string;
  /**
   * How long `fetchSockets()` and `serverSideEmit()` wait for the other servers, in milliseconds.
   * Default 5000. A server that dies is not waited for.
   */
  requestsTimeout?: number;
}

const DEFAULT_TIMEOUT = 5_000;

const debug = debuglog("open-channel");

type Message = Parameters<ClusterAdapter["publish"]>[0];
type Packet = { type: number; id?: number; data: unknown[] };
type Target = { rooms: string[]; except: string[]; flags: BroadcastOptions["flags"] };
type Broadcast = { packet: Packet; opts: Target; offset?: unknown };
type Fields = Record<string, unknown>;

/** The other servers' answers to one question. */
interface Answers {
  answered: Fields[];
  /** They were silent, or their handler failed: their ids, and the reasons. */
  missing: string[];
  /** They died before they answered. */
  died: string[];
}

/** The adapter of one namespace. `createAdapter` makes it. */
export class GroupAdapter extends ClusterAdapter {
  /** Fulfilled when this server hears the others, and they hear it. */
  ready: Promise<void> = Promise.resolve();
  readonly #group: Group;
  readonly #topic: string;
  readonly #timeout: number;
  readonly #recovery: Recovery | undefined;
  readonly #parts: { close(): Promise<void> }[] = [];
  /** The questions that this server has not answered yet. */
  readonly #open = new Map<string, (data: unknown) => void>();
  /** The number of servers that the broadcast of this moment asks. */
  #asked: Promise<number> | undefined;
  #closed = false;
  readonly #warned = new Set<string>();

  /** @internal */
  constructor(nsp: any, group: Group, options: AdapterOptions = {}) {
    super(nsp);
    this.#group = group;
    this.#topic = `socket.io.${token(options.name ?? "main")}.${token(nsp.name)}`;
    this.#timeout = options.requestsTimeout ?? DEFAULT_TIMEOUT;
    const duration = nsp.server.opts.connectionStateRecovery?.maxDisconnectionDuration;
    if (duration === undefined) return;
    this.#recovery = new Recovery(group, this.#topic, this.uid, duration, options, {
      sockets: () => nsp.sockets,
      deliver: (packet, opts) => this.#deliver(packet as Packet, opts),
      publish: (packet, opts, offset) => this.#broadcast(packet, opts, offset),
      disconnect: (uid, sid) => this.#disconnect(uid, sid),
      warn: (error) => this.#warn(error),
    });
  }

  /** Called by Socket.IO, which hides its failure. */
  override init(): Promise<void> {
    this.ready = this.#start();
    return this.ready.catch((error) => {
      if (!this.#closed) this.#warn(error);
    });
  }

  /** Called by Socket.IO when the server is closed. The group stays as it is. */
  override async close(): Promise<void> {
    this.#closed = true;
    for (const answer of this.#open.values()) answer(undefined);
    await this.#recovery?.close();
    await Promise.all(this.#parts.map((part) => part.close()));
  }

  async #start(): Promise<void> {
    const receive = (message: TopicMessage) => this.#receive(message.bytes);
    const all = this.#group.subscribe(`${this.#topic}.all`, receive);
    const own = this.#group.subscribe(`${this.#topic}.to.${this.uid}`, receive);
    this.#parts.push(all, own);
    await Promise.all([all.ready, own.ready]);
    if (this.#closed) return;
    this.#recovery?.start();
    const answer = (question: unknown, { signal }: { signal: AbortSignal }) =>
      this.#answer(question, signal);
    const service = await this.#group.serve(this.#topic, answer);
    if (this.#closed) await service.close();
    else this.#parts.push(service);
  }

  /** How many servers have this namespace. */
  override async serverCount(): Promise<number> {
    if (this.#asked !== undefined) return this.#asked;
    const options = { timeout: this.#timeout };
    try {
      const { answered } = await this.#group.callAll(this.#topic, null, options);
      return Math.max(1, answered.size);
    } catch (error) {
      // Socket.IO handles no rejection here.
      this.#warn(error);
      return 1;
    }
  }

  override broadcast(packet: Packet, opts: BroadcastOptions): Promise<void> {
    if (!opts.flags?.local) {
      if (this.#recovery?.takes(packet, opts)) {
        packet.data.push(this.#recovery.add(packet, opts));
      } else {
        this.#broadcast(packet, opts);
      }
    }
    this.#deliver(packet, opts);
    return Promise.resolve();
  }

  #broadcast(packet: unknown, opts: BroadcastOptions, offset?: string): void {
    const data = { packet, opts: encodeOptions(opts), offset };
    void this.publishAndReturnOffset({ type: MessageType.BROADCAST, data } as Message);
  }

  /** To the clients of this server. */
  #deliver(packet: Packet, opts: BroadcastOptions): void {
    Adapter.prototype.broadcast.call(this, packet, opts);
  }

  override addSockets(opts: BroadcastOptions, rooms: string[]): Promise<void> {
    this.#tell(MessageType.SOCKETS_JOIN, opts, { rooms });
    Adapter.prototype.addSockets.call(this, opts, rooms);
    return Promise.resolve();
  }

  override delSockets(opts: BroadcastOptions, rooms: string[]): Promise<void> {
    this.#tell(MessageType.SOCKETS_LEAVE, opts, { rooms });
    Adapter.prototype.delSockets.call(this, opts, rooms);
    return Promise.resolve();
  }

  override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
    this.#tell(MessageType.DISCONNECT_SOCKETS, opts, { close });
    Adapter.prototype.disconnectSockets.call(this, opts, close);
    return Promise.resolve();
  }

  /** Tells the other servers; then this one does it, at once as without other servers. */
  #tell(type: MessageType, opts: BroadcastOptions, data: object): void {
    if (opts.flags?.local) return;
    this.publish({ type, data: { ...data, opts: encodeOptions(opts) } } as Message);
  }

  override async fetchSockets(opts: BroadcastOptions): Promise<any[]> {
    const local = await Adapter.prototype.fetchSockets.call(this, opts);
    if (opts.flags?.local) return local;
    const data = { opts: encodeOptions(opts) };
    const timeout = opts.flags?.timeout;
    const answers = await this.#ask(MessageType.FETCH_SOCKETS, data, timeout);
    if (answers.missing.length > 0) throw silence(answers);
    return [...local, ...answers.answered.flatMap((answer) => answer["sockets"] ?? [])];
  }

  /** What cannot be sent is an error in the caller, or for its callback. */
  override serverSideEmit(packet: any[]): Promise<void> {
    const ack: unknown = packet.at(-1);
    if (typeof ack !== "function") {
      this.publish({ type: MessageType.SERVER_SIDE_EMIT, data: { packet } });
      return Promise.resolve();
    }
    const data = { packet: packet.slice(0, -1) };
    return this.#ask(MessageType.SERVER_SIDE_EMIT, data).then(
      (answers) => {
        const responses = answers.answered.map((answer) => answer["packet"]);
        ack(answers.missing.length > 0 ? silence(answers) : null, responses);
      },
      (error) => ack(error, []),
    );
  }

  override addAll(id: string, rooms: Set<string>): void {
    super.addAll(id, rooms);
    this.#recovery?.changed(id);
  }

  override del(id: string, room: string): void {
    super.del(id, room);
    this.#recovery?.changed(id);
  }

  override delAll(id: string): void {
    super.delAll(id);
    this.#recovery?.gone(id);
  }

  override persistSession(session: Omit<Session, "missedPackets">): void {
    this.#recovery?.persist(session);
  }

  override async restoreSession(pid: string, offset: string): Promise<Session> {
    await this.ready;
    // Socket.IO takes nothing for an answer, though its types do not say so.
    return (await this.#recovery?.restore(pid, offset)) as Session;
  }

  protected override doPublish(message: ClusterMessage): Promise<string> {
    if (message.type === MessageType.BROADCAST && message.data.requestId !== undefined)
      void this.#countClients(message);
    else this.#send("all", message);
    return Promise.resolve("");
  }

  protected override doPublishResponse(uid: string, response: ClusterResponse): Promise<void> {
    const { requestId } = response.data;
    // A client's acknowledgement: any number of them follow an answer.
    try {
      if (response.type === MessageType.BROADCAST_ACK) this.#send(`to.${uid}`, response);
      else this.#open.get(`${uid} ${requestId}`)?.(response.data);
    } catch (error) {
      // A client chooses what it acknowledges with. Socket.IO expects no throw.
      return Promise.reject(error);
    }
    return Promise.resolve();
  }

  /** Does not wait until the others have it: a slow server holds no emit up. */
  #send(to: string, message: object): void {
    const sent = this.#group.publish(`${this.#topic}.${to}`, encode(message));
    sent.catch((error) => this.#warn(error));
  }

  #receive(bytes: Buffer): void {
    let message;
    try {
      message = decodeMessage(bytes);
    } catch (error) {
      return debug("a message to Socket.IO servers is ignored: %s", error);
    }
    if (message.uid === this.uid) return;
    if (this.#recovery === undefined || message.type !== MessageType.BROADCAST)
      return this.onMessage(message as ClusterMessage);
    // Not through `onMessage`, which gives every packet an offset.
    const { packet, opts, offset } = message.data as Broadcast;
    const rooms = { rooms: new Set(opts.rooms), except: new Set(opts.except), flags: opts.flags };
    if (offset === undefined) this.#deliver(packet, rooms);
    else this.#recovery.takeUnlogged(packet, rooms, String(offset));
  }

  /** Asks the other servers that have this namespace. Deaths are known at once. */
  async #ask(type: MessageType, data: object, timeout = this.#timeout): Promise<Answers> {
    const requestId = randomBytes(8).toString("hex");
    const message = { uid: this.uid, nsp: this.nsp.name, type, data: { ...data, requestId } };
    return this.#askAll(message, timeout);
  }

  async #askAll(message: object, timeout: number): Promise<Answers> {
    const answers = await this.#group.callAll(this.#topic, encode(message), { timeout });
    const answered = [...answers.answered.values()]
      // This server is asked, too.
      .filter((answer) => answer !== null)
      .map((answer) => decode(answer));
    answers.failed.delete(this.#group.id);
    const failed = [...answers.failed].map(([id, error]) => `${id} (${error.message})`);
    const missing = [...answers.timedOut, ...failed];
    return { answered, missing, died: [...answers.died] };
  }

  #answer(question: unknown, signal: AbortSignal): Promise<unknown> | unknown {
    // Who is there?
    if (question === null) return null;
    const message = decodeMessage(question) as ClusterMessage;
    if (message.uid === this.uid) return null;
    const { requestId } = (message as { data: { requestId?: string } }).data;
    if (requestId === undefined) throw new TypeError("it is no question");
    const key = `${message.uid} ${requestId}`;
    const answered = new Promise((resolve, reject) => {
      this.#open.set(key, resolve);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.onMessage(message);
    });
    // Without data this server is not there any more.
    const encoded = answered.then((data) => (data === undefined ? null : encodeAnswer(data)));
    return encoded.finally(() => this.#open.delete(key));
  }

  /** Asks the other servers how many clients get a packet. Their acknowledgements follow. */
  async #countClients(message: ClusterMessage & { type: MessageType.BROADCAST }): Promise<void> {
    const { requestId, opts } = message.data;
    const asked = this.#askAll(message, opts.flags?.timeout ?? this.#timeout);
    // Socket.IO counts the servers right after this, and waits for as many answers.
    const others = ({ answered, missing, died }: Answers) =>
      answered.length + missing.length + died.length;
    // Socket.IO handles no rejection. Without an answer its own timeout ends the wait.
    this.#asked = asked.then(
      (answers) => 1 + others(answers),
      () => Infinity,
    );
    queueMicrotask(() => (this.#asked = undefined));
    let answers;
    try {
      answers = await asked;
    } catch (error) {
      return this.#warn(error);
    }
    const counts = answers.answered.map((answer) => Number(answer["clientCount"]) || 0);
    // The clients of a dead server are not there. One that is silent ends in Socket.IO's timeout.
    for (const clientCount of [...counts, ...answers.died.map(() => 0)]) {
      const data = { requestId: requestId!, clientCount };
      const { uid, nsp } = message;
      this.onResponse({ uid, nsp, type: MessageType.BROADCAST_CLIENT_COUNT, data });
    }
  }

  /** A client is somewhere else now: its old connection is dead, though its server may not know. */
  #disconnect(uid: string, sid: string): void {
    if (uid === this.uid) return this.nsp.sockets.get(sid)?.disconnect(true);
    const opts = { rooms: [sid], except: [], flags: {} };
    const data = { opts, close: true };
    const { name } = this.nsp;
    this.#send(`to.${uid}`, {
      uid: this.uid,
      nsp: name,
      type: MessageType.DISCONNECT_SOCKETS,
      data,
    });
  }

  /** Says once what does not work. */
  #warn(error: unknown): void {
    const { code = "", message } = error as { code?: string; message: string };
    if (this.#closed || this.#warned.has(code)) return;
    this.#warned.add(code);
    const where = `Socket.IO namespace ${this.nsp.name} on the group ${this.#group.name}`;
    process.emitWarning(`${where}: ${message}`, { type: "OpenChannelWarning", code });
  }
}

function encodeOptions({ rooms, except, flags = {} }: BroadcastOptions) {
  return { rooms: [...rooms], except: [...(except ?? [])], flags };
}

function silence({ answered, missing, died }: Answers): Error {
  const all = answered.length + missing.length + died.length;
  return new Error(
    `timeout reached: only ${answered.length} responses received out of ${all}; ` +
      `no answer from ${missing.join(", ")}`,
  );
}

/** A name as a word of a topic. Clients may choose the names of dynamic namespaces. */
function token(name: string): string {
  if (/^[\w/-]{1,100}$/.test(name)) return name;
  return `#${createHash("sha256").update(JSON.stringify(name)).digest("hex")}`;
}
