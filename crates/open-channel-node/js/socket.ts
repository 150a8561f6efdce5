// The channel's socket as a net.Socket. Every method that would look at the handle is overridden,
// and `close` is emitted here, because net.Socket turns off the stream's own.
import { AsyncResource } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { bounded, type Bounds, type Wait } from "./bounds.js";
import { channelError } from "./errors.js";
import { asyncDispose } from "./dispose.js";
import { Connection } from "./connection.js";
import { forget, guard, hold, holding, register, release, request } from "./hub.js";
import { Incoming } from "./incoming.js";
import type { Message, UndeliverableMessage } from "./message.js";
import { captureRejection, emitCollecting } from "./listeners.js";
import { Reason, type Failure, type NativeSocket } from "./native.js";
import { bytes, checkLength, Outgoing, streamWritten, type Callback } from "./outgoing.js";
import type { Follower, Kind, Owner } from "./owner.js";
import { active, PlainSocket } from "./plain.js";
import { connectedOver } from "./port.js";
import type { SocketStats } from "./stats.js";
import { nextTick, setImmediate } from "./timers.js";

/**
 * A `net.Socket` of a channel: what `channel.connect()` returns, and what the listener receives.
 *
 * Each `write` is one message and arrives as one `data` event. `connect` is emitted once, at the
 * first connection, and `reconnect` at each later one; between two connections `connecting` is true
 * and writes are kept. `once("connect")` on a socket that is connected calls its listener at the
 * next tick. The callback of `end` is called, and `finish` is emitted, when the other
 * side has handled everything.
 *
 * A message is handled when its `data` and `message` listeners have returned and the promises that
 * they returned are fulfilled. One whose listener throws, or whose promise is rejected, stays
 * unhandled: the next host gets it. Messages wait while no listener for them is attached;
 * `resume()` without one discards them, until `pause()`.
 *
 * A socket of the listener ends when its host hands over. `handover` is emitted then, and
 * `handedOver` is true: the other side has not ended. It can be written to until everything that
 * was delivered on it is handled; `end` and `close` follow.
 */
export class ChannelSocket extends PlainSocket {
  /** Where the listeners run: in the context of `connect()`, as those of a net.Socket do. */
  readonly #context = new AsyncResource("open-channel:socket", { requireManualDestroy: true });
  readonly #owner: Owner<ChannelSocket>;
  readonly #client: boolean;
  /** It fails with its host. */
  readonly #pinned: boolean;
  readonly #token: number;
  readonly #id: string;
  readonly #connection: Connection;
  readonly #incoming: Incoming;
  readonly #outgoing: Outgoing;
  #native: NativeSocket | null;
  /** The longest message that this side, and the other one if there is one, takes. */
  #maxMessage: number;
  #referenced = true;
  /**
   * Rejections of what listeners return become events, as the process wants it for all emitters.
   */
  readonly #captures = EventEmitter.captureRejections;
  #handedOver = false;
  /** Destroyed, but for messages that can still be acknowledged. */
  #lingering: NativeSocket | null = null;
  /** Somebody called `end()`, and wants to know what becomes of the messages. */
  #ending = false;

  /** @internal */
  constructor(
    owner: Owner<ChannelSocket>,
    { client, manual, reconnect }: Kind,
    open: (token: number) => NativeSocket,
  ) {
    super({ allowHalfOpen: owner.allowHalfOpen });
    this.#owner = owner;
    this.#client = client;
    this.#pinned = !reconnect;
    this.connecting = client;
    this.#token = register((reasons) => this.#context.runInAsyncScope(this.#wake, this, reasons));
    try {
      this.#native = open(this.#token);
    } catch (error) {
      forget(this.#token);
      throw error;
    }
    this.#id = this.#native.id;
    this.#maxMessage = this.#native.maxMessage;
    this.#outgoing = new Outgoing(this.#native, owner.name, client);
    this.#connection = new Connection(this.#native, client, {
      catchUp: () => owner.catchUp(),
      changed: (connected) => {
        if (connected) connectedOver(this.link);
        this.#changed(connected);
      },
      opened: (first) => this.#opened(first),
      handingOver: () => this.#handOver(true),
      deliverAll: () => this.#incoming.deliverAll(),
      failed: (failure) => this.#broke(failure),
    });
    this.#incoming = new Incoming(this, this.#native, manual, {
      enter: (pump) => this.#context.runInAsyncScope(pump),
      pulled: (count, connected, links) => this.#pulled(count, connected, links),
      delivered: () => this.#connection.delivered(),
      broke: (failure) => this.#broke(failure),
      settled: () => this.#settled(),
      rejected: (error) => this.#rejected(error),
    });
    // The other end of a connection within this process is what keeps it alive, if anything does.
    if (!client && this.peerPid === process.pid) this.#referenced = false;
    else hold();
    const connection = this.#connection;
    const follower: Follower = {
      lost: (generation) => this.#context.runInAsyncScope(() => connection.lost(generation)),
      look: () => this.#context.runInAsyncScope(() => connection.look()),
    };
    owner.opened(this, follower);
    // A client's listeners are attached after this.
    if (client) nextTick(() => connection.look());
    else connection.look();
    // Like a net.Socket, it notices an end even if nobody reads.
    this.read(0);
  }

  // ---- what it has beyond a net.Socket ----

  /** The same on both sides of the connection, and across reconnections. */
  get id(): string {
    return this.#id;
  }

  /** The process on the other side, where the link knows it. */
  get peerPid(): number | undefined {
    return this.#native?.peerPid ?? undefined;
  }

  /** The link that carries the messages at the moment: `ring`, `unix`, `tcp` or `local`. */
  get link(): string | undefined {
    return this.#native?.linkKind ?? undefined;
  }

  /** The generation of the host that this socket talks to. */
  get generation(): number {
    return this.#native?.generation ?? 0;
  }

  /** The message whose `data` event is being emitted: its id, and whether it is a redelivery. */
  get message(): Message | null {
    return this.#incoming.message;
  }

  /**
   * On a socket of the listener: this process hosts no longer, and the other side goes on with the
   * next host.
   */
  get handedOver(): boolean {
    return this.#handedOver;
  }

  /**
   * Resolves when the other side has handled everything written so far, however long that takes;
   * with bounds, fails if they are reached before. All that was written is delivered all the same.
   * Rejects with `EUNDELIVERABLE`, once for each message, when some of it came back instead and
   * everything else is handled.
   */
  async flush(bounds?: Bounds): Promise<void> {
    return bounded(bounds, "flushing the socket", "write", this.#owner.name, (wait) =>
      this.#flush(wait),
    );
  }

  async #flush(wait: Wait): Promise<void> {
    if (this.#native !== null && (this.#outgoing.waiting || this.writableLength > 0)) {
      // Limits to the wait do not keep the process alive.
      const letGo = holding();
      wait.undo(letGo);
      await streamWritten(this, wait).finally(letGo);
      if (wait.over) return;
    }
    if (this.#native === null) {
      if (this.writableFinished) return;
      throw channelError(
        { code: "EPIPE", message: "the socket was destroyed before it was flushed" },
        "write",
        this.#owner.name,
      );
    }
    const native = this.#native;
    await request(
      (number) => native.flush(number),
      "write",
      this.#owner.name,
      wait,
      (number) => native.withdraw(number),
    );
  }

  /**
   * Takes back everything written on this socket that nobody has taken, oldest first. None of it
   * will be delivered. This is for a process that leaves, and whose work another is to have.
   * Messages that the other side's program was given stay there. Over a lost connection, waits for
   * the next one where only that one knows. Writes that the stream itself still holds, for want of
   * room or before the first connection, are not among it, and are sent later. Rejects when the
   * socket is over.
   */
  async takeBack(): Promise<Buffer[]> {
    const native = this.#native;
    if (native === null) {
      throw channelError(
        { code: "EPIPE", message: "the socket was destroyed" },
        "write",
        this.#owner.name,
      );
    }
    let call = 0;
    await request((number) => native.takeBack((call = number)), "write", this.#owner.name);
    return native.takenBack(call);
  }

  /** The state of the socket; `null` once it is destroyed. */
  stats(): SocketStats | null {
    return this.#native?.stats() ?? null;
  }

  /** Resolves when everything written is handled and the socket is closed. */
  override async [asyncDispose](): Promise<void> {
    if (this.destroyed) return;
    try {
      await this.flush();
    } finally {
      this.destroy();
    }
  }

  #wake(reasons: number): void {
    if (this.#lingering?.linger()) this.#release();
    // Each reason is raised once: a listener that throws must not take the others along.
    if (reasons & Reason.Readable) guard(this.#readable);
    if (reasons & Reason.Connection) guard(() => this.#connection.look());
    if (reasons & Reason.Writable) guard(() => this.#outgoing.resume());
    if (reasons & Reason.Flushed) this.#native?.flushed();
    if (reasons & Reason.Returned) this.#bringBack();
  }

  readonly #readable = (): void => {
    if (this.#connection.links === 0) this.#connection.look();
    if (this.#incoming.arrived()) return;
    // Paused, or busy with other things: the background thread reads on, into the window.
    this.#native?.idle();
    this.#connection.look();
  };

  /**
   * Brings the messages that nobody will handle to those who want to know. The others stay in the
   * addon, within its limit.
   */
  #bringBack(): void {
    while (this.#native !== null && this.listenerCount("undeliverable") > 0) {
      const returned = this.#native.undeliverable();
      if (returned === null) return;
      const message: UndeliverableMessage = { ...returned, id: `${this.#id}/${returned.seq}` };
      guard(() => this.emit("undeliverable", message));
    }
  }

  // These are accessors of net.Socket's prototype, which its type declares as properties.
  static {
    const getters: [string, (socket: ChannelSocket) => unknown][] = [
      ["pending", (socket) => socket.#native === null || socket.connecting],
      ["bytesRead", (socket) => socket.#incoming.bytes],
      ["bytesWritten", (socket) => socket.#outgoing.bytes + socket.writableLength],
      ["bufferSize", (socket) => socket.writableLength],
    ];
    for (const [name, get] of getters) {
      Object.defineProperty(this.prototype, name, {
        configurable: true,
        get(this: ChannelSocket) {
          return get(this);
        },
        // Where these are fields, as in Bun, the constructor of net.Socket sets them.
        set() {},
      });
    }
  }

  // ---- connection ----

  #changed(connected: boolean): void {
    const failsNow = this.#pinned && this.#connection.links > 0;
    this.connecting = !connected && this.#client && !failsNow;
    if (connected && this.#native !== null) this.#maxMessage = this.#native.maxMessage;
    this.#owner.connectionChanged(this, connected);
  }

  #opened(first: boolean): void {
    for (const event of first ? ["connect", "ready"] : ["reconnect"]) guard(() => this.emit(event));
    guard(() => this.#outgoing.connected());
  }

  #pulled(count: number, connected: boolean, links: number): void {
    this.#connection.pulled(connected, links);
    if (count > 0 && this.timeout) active(this);
  }

  #handOver(waits: boolean): void {
    if (this.#handedOver || this.#client) return;
    this.#handedOver = true;
    guard(() => this.emit("handover"));
    this.#incoming.handOver(waits);
  }

  #broke(failure: Failure): void {
    // A peer that has ended waits for nothing but the other side's end, which a lost host does not
    // stand for.
    const waits = !this.writableFinished || this.#pinned && !this.#incoming.ended;
    if (this.#client && !failure.left && waits) {
      this.destroy(
        channelError(failure, this.#connection.links === 0 ? "connect" : "read", this.#owner.name),
      );
    } else if (failure.handedOver) {
      this.#handOver(this.#native?.connection().handingOver === true);
    } else {
      // The other side left. To a server, a process that is gone has ended too, as on a Unix
      // socket.
      this.#incoming.end();
    }
  }

  /** A channel's socket connects by itself. */
  override connect(): this {
    throw channelError(
      {
        code: "EISCONN",
        message: "a channel's socket connects by itself; call channel.connect() for another one",
      },
      "connect",
      this.#owner.name,
    );
  }

  override ref(): this {
    if (!this.#referenced && this.#native !== null) hold();
    this.#referenced = true;
    return this;
  }

  override unref(): this {
    if (this.#referenced && this.#native !== null) release();
    this.#referenced = false;
    return this;
  }

  // ---- reading ----

  override _read(): void {
    this.#incoming.demand();
  }

  override read(size?: number): any {
    if (size === 0) return super.read(0);
    this.#incoming.beforeRead();
    const chunk = this.#incoming.reading(() => super.read(size));
    if (chunk === null && size !== undefined && size > this.readableLength)
      this.#incoming.afterShortRead();
    return chunk;
  }

  override emit(event: string | symbol, ...args: any[]): boolean {
    if ((event !== "data" && event !== "message") || !this.#incoming.collects) {
      return super.emit(event, ...args);
    }
    if (event === "data") this.#incoming.show();
    return emitCollecting(this, event, args[0], (promise) => this.#incoming.collect(promise));
  }

  #rejected(error: unknown): void {
    // Nobody handles it here: it surfaces as the rejection of any other promise.
    if (!this.#captures) throw error;
    nextTick(() => captureRejection(this, error, "data"));
  }

  override setEncoding(encoding?: BufferEncoding): this {
    super.setEncoding(encoding);
    this.#incoming.decode();
    return this;
  }

  override resume(): this {
    super.resume();
    this.#incoming.schedule();
    return this;
  }

  override on(event: string | symbol, listener: (...args: any[]) => void): this {
    super.on(event as string, listener);
    if (event === "message" || event === "readable") this.#incoming.schedule();
    if (event === "undeliverable") {
      nextTick(() => this.#context.runInAsyncScope(this.#bringBack, this));
    }
    return this;
  }

  // ---- writing ----

  override write(chunk: any, ...rest: any[]): boolean {
    // Thrown, because an error of the stream would take what was accepted before along with it.
    checkLength(chunk, rest[0], this.#maxMessage, this.#owner.name);
    return super.write(chunk, ...(rest as []));
  }

  override end(chunk?: any, ...rest: any[]): this {
    // A socket that is not half open is ended by the stream itself, after the other side's end.
    this.#ending ||= chunk !== undefined || rest.length > 0 || !this.readableEnded;
    if (chunk === undefined || chunk === null || typeof chunk === "function")
      return super.end(chunk, ...(rest as []));
    const done = rest.find((argument) => typeof argument === "function");
    this.write(chunk, ...(typeof rest[0] === "string" ? [rest[0]] : []));
    return super.end(done);
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: Callback): void {
    this.#send([bytes(chunk, encoding)], callback);
  }

  override _writev(
    chunks: { chunk: Buffer | string; encoding: BufferEncoding }[],
    callback: Callback,
  ): void {
    this.#send(
      chunks.map(({ chunk, encoding }) => bytes(chunk, encoding)),
      callback,
    );
  }

  #send(messages: Buffer[], callback: Callback): void {
    if (this.timeout) active(this);
    this.#outgoing.send(messages, callback);
  }

  override _final(callback: Callback): void {
    if (this.#connection.links === 0 && this.#client) {
      this.once("connect", () => this._final(callback));
      return;
    }
    const native = this.#native;
    if (native === null) return callback();
    // If it is over already, something may still be unhandled.
    native.finish();
    request((number) => native.flush(number), "shutdown", this.#owner.name).then(
      () => callback(),
      (error) => {
        // Its listeners were notified of each message.
        const notified = error.code === "EUNDELIVERABLE" && this.listenerCount("undeliverable") > 0;
        callback(this.#client && this.#ending && !notified ? error : null);
      },
    );
  }

  // ---- the end ----

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const native = this.#native;
    this.connecting = false;
    this.#connection.stop();
    if (native !== null) {
      this.#incoming.stop();
      this.#native = null;
      this.#lingering = native;
      if (!this.#incoming.busy) this.#release();
      // Both sides have ended: the messages are all that is left. Else nobody waits for more than
      // what ends now.
      else if (error !== null || !this.readableEnded || !this.writableFinished)
        setImmediate(() => this.#release());
      else if (native.linger()) this.#release();
      if (this.#referenced) release();
      this.#owner.closed(this);
    }
    callback(error);
    guard(() => this.#outgoing.stop(error));
    nextTick(() => {
      this.#context.runInAsyncScope(() =>
        this.emit("close", error !== null && error !== undefined),
      );
      this.#context.emitDestroy();
    });
  }

  #settled(): void {
    if (this.#lingering !== null) this.#release();
  }

  #release(): void {
    const native = this.#lingering;
    if (native === null) return;
    this.#lingering = null;
    this.#incoming.letGo();
    native.destroy();
    forget(this.#token);
  }
}
