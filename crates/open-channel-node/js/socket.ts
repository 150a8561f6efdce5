// The channel's socket as a net.Socket. A net.Socket without a handle does nothing by itself: every method
// that would look at the handle is overridden here, and `close` is emitted here, because net.Socket turns off
// the stream's own.
import { Socket } from "node:net";
import { channelError } from "./errors.js";
import { forget, guard, hold, register, release, request } from "./hub.js";
import { Message } from "./message.js";
import { Read, Reason, Write, type Failure, type NativeSocket } from "./native.js";

/** Messages pulled from the addon in one call. */
const BATCH = 512;
/** Batches handled before the event loop gets a turn. */
const TURNS = 2;
const SLAB = 64 * 1024;

/** How long to look again for a connection that nothing has reported. */
const LOOK_AGAIN = 5;

// What `read` tells: why it stopped, whether there is a connection, how many there were; then for each message its
// length (−1 − length for a redelivery) and its number.
const HEAD = 3;
const meta = new Float64Array(HEAD + 2 * BATCH);
let slab = Buffer.allocUnsafeSlow(SLAB);
let slabAt = 0;

type Callback = (error?: Error | null) => void;

/**
 * What a socket needs to know about its channel.
 * @internal
 */
export interface Owner {
  readonly name: string;
  readonly manual: boolean;
  readonly allowHalfOpen: boolean;
  readonly maxMessage: number | undefined;
  opened(socket: ChannelSocket, look: () => void): void;
  connectionChanged(socket: ChannelSocket, connected: boolean): void;
  closed(socket: ChannelSocket): void;
}

/**
 * A `net.Socket` of a channel: what `channel.connect()` returns, and what the listener receives.
 *
 * Each `write` is one message and arrives as one `data` event. `connect` is emitted at each (re)connection; between two
 * connections `connecting` is true and writes are kept. The callback of `end` is called, and `finish` is emitted, when the
 * other side has handled everything.
 */
export class ChannelSocket extends Socket {
  declare connecting: boolean;
  declare timeout: number | undefined;

  readonly #owner: Owner;
  /** Made by `connect()`, not handed to the listener. */
  readonly #client: boolean;
  readonly #token: number;
  readonly #id: string;
  #native: NativeSocket | null;
  #referenced = true;

  #connected = false;
  /** Connections so far. */
  #links = 0;
  #looking: NodeJS.Timeout | undefined;

  // Incoming: pulled from the addon, not yet delivered.
  #chunks: Buffer[] = [];
  #seqs: number[] = [];
  #next = 0;
  #current: Message | null = null;
  /** The stream asked for more since the last delivery. */
  #demand = false;
  /** The stream's buffer holds one message. */
  #buffered = false;
  /** A `read()` handed one message out; the next `read()` tells that it was dealt with. */
  #lent = false;
  /** Handled, and not yet told to the addon. */
  #handled = 0;
  /** The addon has nothing, and will wake us when it has. */
  #drained = false;
  #ended = false;
  #pumping = false;
  #scheduled = false;
  #bytesIn = 0;
  /** A `read` saw another connection than the one last reported. */
  #stale = false;

  // Outgoing: what could not be handed to the addon yet, or is held until the first connection.
  #stalled: Buffer[] = [];
  #stalledCallback: Callback | null = null;
  #bytesOut = 0;

  /** @internal */
  constructor(owner: Owner, client: boolean, open: (token: number) => NativeSocket) {
    super({ allowHalfOpen: owner.allowHalfOpen });
    this.#owner = owner;
    this.#client = client;
    this.connecting = client;
    this.#token = register((reasons) => this.#wake(reasons));
    try {
      this.#native = open(this.#token);
    } catch (error) {
      forget(this.#token);
      throw error;
    }
    this.#id = this.#native.id;
    // The other end of a connection within this process is what keeps it alive, if anything does.
    if (!client && this.peerPid === process.pid) this.#referenced = false;
    else hold();
    owner.opened(this, () => this.#lookAtConnection());
    // A client's listeners are attached after this.
    if (client) process.nextTick(() => this.#lookAtConnection());
    else this.#lookAtConnection();
    // Like a net.Socket, it notices an end even if nobody reads.
    this.read(0);
  }

  // ---- what it has beyond a net.Socket ----

  /** The same on both sides of the connection, and across reconnections. */
  get id(): string {
    return this.#id;
  }

  /** The process on the other side, where the link tells. */
  get peerPid(): number | undefined {
    return this.#native?.peerPid ?? undefined;
  }

  /** What carries the bytes at the moment: `unix`, `ring`, `local`, … */
  get link(): string | undefined {
    return this.#native?.linkKind ?? undefined;
  }

  /** The generation of the host that this socket talks to. */
  get generation(): number {
    return this.#native?.generation ?? 0;
  }

  /** The message whose `data` event is being emitted: its id, and whether it is a redelivery. */
  get message(): Message | null {
    const index = this.#next - 1;
    if (this.#current !== null || !this.#pumping || index < 0) return this.#current;
    return (this.#current = this.#describe(index));
  }

  /** Resolves when the other side has handled everything written so far. */
  async flush(): Promise<void> {
    if (this.#stalledCallback !== null || this.writableLength > 0) {
      // Streams keep order: an empty write, which is no message, ends after all writes before it.
      await new Promise<void>((resolve, reject) => {
        if (this.writableEnded) this.once("finish", resolve).once("error", reject);
        else super.write(Buffer.alloc(0), (error) => (error ? reject(error) : resolve()));
      });
    }
    if (this.#native === null) {
      if (this.writableFinished) return;
      throw channelError({ code: "EPIPE", message: "the socket was destroyed before it was flushed" }, "write", this.#owner.name);
    }
    const native = this.#native;
    await request((number) => native.flush(number), "write", this.#owner.name);
  }

  #wake(reasons: number): void {
    if (reasons & Reason.Readable) {
      this.#drained = false;
      if (this.#links === 0) this.#lookAtConnection();
      this.#pump();
      // Paused, or busy with other things: the background thread reads on, into the window.
      if (!this.#drained) this.#native?.idle();
    }
    if (reasons & Reason.Writable) this.#unstall();
    if (reasons & Reason.Flushed) this.#native?.flushed();
  }

  // These are accessors of net.Socket's prototype, which its type declares as properties.
  static {
    const getters: [string, (socket: ChannelSocket) => unknown][] = [
      ["pending", (socket) => socket.#native === null || socket.connecting],
      ["bytesRead", (socket) => socket.#bytesIn],
      ["bytesWritten", (socket) => socket.#bytesOut + socket.writableLength],
      ["bufferSize", (socket) => socket.writableLength],
    ];
    for (const [name, get] of getters) {
      Object.defineProperty(this.prototype, name, {
        configurable: true,
        get(this: ChannelSocket) {
          return get(this);
        },
      });
    }
  }

  // ---- connection ----

  #lookAtConnection(): void {
    clearTimeout(this.#looking);
    if (this.#native === null) return;
    const { connected, links } = this.#native.connection();
    const again = connected && links !== this.#links;
    if (connected !== this.#connected || again) {
      this.#connected = connected;
      if (connected) this.#links = links;
      this.connecting = !connected && this.#client;
      this.#owner.connectionChanged(this, connected);
    }
    if (!this.#client) return;
    if (!connected) {
      this.#looking = setTimeout(() => this.#lookAtConnection(), LOOK_AGAIN).unref();
    } else if (again) {
      guard(() => this.emit("connect"));
      guard(() => this.emit("ready"));
      this.#unstall();
    }
  }

  #broke(failure: Failure): void {
    if (this.#client && !failure.left && !this.writableFinished) {
      this.destroy(channelError(failure, this.#links === 0 ? "connect" : "read", this.#owner.name));
      return;
    }
    // The other side left. To a server, a process that is gone has ended too, as on a Unix socket.
    this.#ended = true;
    if (this.#next === this.#chunks.length) this.#end();
  }

  /** A channel's socket connects by itself. */
  override connect(): this {
    throw channelError({ code: "EISCONN", message: "a channel's socket connects by itself; call channel.connect() for another one" }, "connect", this.#owner.name);
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

  override setNoDelay(): this {
    return this;
  }

  override setKeepAlive(): this {
    return this;
  }

  // ---- reading ----

  override _read(): void {
    this.#demand = true;
    if (!this.#drained || this.#next < this.#chunks.length) this.#schedule();
  }

  override read(size?: number): any {
    if (this.#lent && size !== 0) {
      this.#lent = false;
      this.#handled++;
      this.#schedule();
    }
    const chunk = super.read(size);
    if (chunk !== null && this.#buffered && this.readableLength === 0) {
      this.#buffered = false;
      if (this.readableFlowing === true) this.#handled++;
      else this.#lent = true;
      this.#schedule();
    }
    return chunk;
  }

  override resume(): this {
    super.resume();
    this.#schedule();
    return this;
  }

  override on(event: string | symbol, listener: (...args: any[]) => void): this {
    super.on(event as string, listener);
    if (event === "message") this.#schedule();
    return this;
  }

  override addListener(event: string | symbol, listener: (...args: any[]) => void): this {
    return this.on(event, listener);
  }

  #schedule(): void {
    if (this.#scheduled || this.#pumping || this.#native === null) return;
    this.#scheduled = true;
    process.nextTick(this.#pumpLater);
  }

  readonly #pumpLater = (): void => {
    this.#scheduled = false;
    guard(() => this.#pump());
  };

  /** One message is in the stream at a time: that keeps them from being glued, and what is not read in the addon. */
  #wanted(): boolean {
    if (this.#owner.manual) return this.listenerCount("message") > 0 && !this.isPaused();
    if (this.readableLength > 0 || this.#lent) return false;
    if (this.readableFlowing !== null) return this.readableFlowing || this.#demand;
    return this.#demand || this.listenerCount("message") > 0;
  }

  #pump(): void {
    if (this.#pumping || this.#native === null) return;
    this.#pumping = true;
    let returned = false;
    try {
      let turns = TURNS;
      for (;;) {
        while (this.#next < this.#chunks.length) {
          if (!this.#wanted()) return void (returned = true);
          this.#deliver();
          if (this.#native === null) return void (returned = true);
        }
        if (this.#ended) {
          this.#end();
          break;
        }
        if (this.#native === null || this.#drained || !this.#wanted()) break;
        if (turns-- === 0) {
          this.#scheduled = true;
          setImmediate(this.#pumpLater);
          break;
        }
        this.#fill(this.#native);
      }
      returned = true;
    } finally {
      this.#pumping = false;
      this.#current = null;
      if (returned) {
        this.#tellHandled();
        if (this.#stale) {
          this.#stale = false;
          this.#lookAtConnection();
        }
      } else {
        // A listener threw. If the process survives that, the message counts as handled; if not, it will be
        // delivered to another host.
        this.#scheduled = true;
        setImmediate(() => {
          this.#handled++;
          this.#pumpLater();
        });
      }
    }
  }

  #tellHandled(): void {
    if (this.#handled > 0 && this.#native !== null) this.#native.handled(this.#handled);
    this.#handled = 0;
  }

  /** Pulls a batch; what was handled since the last one rides along. */
  #fill(native: NativeSocket): void {
    this.#chunks.length = 0;
    this.#seqs.length = 0;
    this.#next = 0;
    const handled = this.#handled;
    this.#handled = 0;
    let count = native.read(handled, slabAt === 0 ? slab : slab.subarray(slabAt), meta);
    if (count < 0) {
      slab = Buffer.allocUnsafeSlow(Math.max(SLAB, -count));
      slabAt = 0;
      count = native.read(0, slab, meta);
    }
    const stale = (meta[1] === 1) !== this.#connected || meta[2] !== this.#links;
    // Before the first connection, `connect` comes before data; later, what the old host had still said comes before the
    // news of its end.
    if (stale && this.#links === 0) this.#lookAtConnection();
    else if (stale) this.#stale = true;
    for (let i = 0; i < count; i++) {
      let length = meta[HEAD + 2 * i]!;
      let seq = meta[HEAD + 1 + 2 * i]!;
      if (length < 0) {
        length = -1 - length;
        seq = -seq;
      }
      this.#chunks.push(slab.subarray(slabAt, (slabAt += length)));
      this.#seqs.push(seq);
      this.#bytesIn += length;
    }
    if (count > 0 && this.timeout) this.#active();
    switch (meta[0]) {
      case Read.Drained:
        this.#drained = true;
        break;
      case Read.Ended:
        this.#ended = true;
        break;
      case Read.Broken:
        this.#broke(native.failure()!);
    }
  }

  #describe(index: number): Message {
    const seq = Math.abs(this.#seqs[index]!);
    const acknowledge = this.#owner.manual ? () => this.#native?.acknowledge(seq) : undefined;
    return new Message(this.#chunks[index]!, `${this.#id}:${seq}`, seq, this.#seqs[index]! < 0, acknowledge);
  }

  #deliver(): void {
    const index = this.#next++;
    this.#current = null;
    if (this.listenerCount("message") > 0) {
      this.emit("message", (this.#current = this.#describe(index)));
      if (this.#owner.manual) return;
      if (this.readableFlowing === null) return void this.#handled++;
    }
    if (this.#native === null) return;
    const chunk = this.#chunks[index]!;
    this.#demand = false;
    // An empty message is no event, as an empty write is none on a net.Socket.
    if (chunk.length > 0) this.push(chunk);
    if (this.readableLength === 0) this.#handled++;
    else this.#buffered = true;
  }

  #end(): void {
    if (this.readableEnded || this.destroyed) return;
    this.push(null);
    // `end` comes even if nobody reads, when there is nothing left to read.
    super.read(0);
  }

  // ---- writing ----

  override write(chunk: any, ...rest: any[]): boolean {
    const limit = this.#owner.maxMessage;
    if (limit !== undefined && chunk?.length > limit / 3) {
      const encoding = typeof rest[0] === "string" ? (rest[0] as BufferEncoding) : undefined;
      const length = typeof chunk === "string" ? Buffer.byteLength(chunk, encoding) : chunk.byteLength;
      // Thrown, because an error of the stream would take what was accepted before along with it.
      if (length > limit) {
        throw channelError(
          { code: "EMSGSIZE", message: `a message of ${length} bytes is over the limit of ${limit}; raise maxMessage on every process of the channel, or cut the message` },
          "write",
          this.#owner.name,
        );
      }
    }
    return super.write(chunk, ...(rest as []));
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: Callback): void {
    this.#send([typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk], callback);
  }

  override _writev(chunks: { chunk: Buffer | string; encoding: BufferEncoding }[], callback: Callback): void {
    this.#send(
      chunks.map(({ chunk, encoding }) => (typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk)),
      callback,
    );
  }

  #send(messages: Buffer[], callback: Callback): void {
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]!;
      if (message.length === 0) continue;
      const result = this.#native === null ? Write.Failed : this.#native.write(message);
      if (result === Write.Failed) return this.#notWritten(callback);
      this.#bytesOut += message.length;
      if (result === Write.Full) {
        this.#stalled = messages.slice(i + 1);
        this.#stalledCallback = callback;
        return;
      }
    }
    if (this.timeout) this.#active();
    if (this.#links === 0 && this.#client) {
      // As on a net.Socket, nothing counts as written before the first connection.
      this.#stalled = [];
      this.#stalledCallback = callback;
      return;
    }
    callback();
  }

  #notWritten(callback: Callback): void {
    const failure = this.#native?.failure() ?? { code: "EPIPE", message: "the socket was destroyed" };
    // What is written to a side that has just left is lost, and `end` is about to say so.
    callback(this.#client && !failure.left ? channelError(failure, "write", this.#owner.name) : null);
  }

  #unstall(): void {
    const callback = this.#stalledCallback;
    if (callback === null || this.#native === null) return;
    const result = this.#native.written();
    if (result === Write.Full) return;
    const messages = this.#stalled;
    this.#stalledCallback = null;
    this.#stalled = [];
    if (result === Write.Failed) this.#notWritten(callback);
    else this.#send(messages, callback);
  }

  override _final(callback: Callback): void {
    if (this.#links === 0 && this.#client) {
      this.once("connect", () => this._final(callback));
      return;
    }
    const native = this.#native;
    if (native === null || !native.finish()) return callback();
    request((number) => native.flush(number), "shutdown", this.#owner.name).then(
      () => callback(),
      (error) => callback(this.#client && !this.#ended ? error : null),
    );
  }

  // ---- the end ----

  override destroy(error?: Error): this {
    if (!this.destroyed) {
      // net.Socket clears its timer only while it is not yet destroyed.
      const { timeout } = this;
      super.setTimeout(0);
      if (timeout !== undefined) this.timeout = timeout;
    }
    return super.destroy(error);
  }

  override resetAndDestroy(): this {
    return this.destroy();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const native = this.#native;
    clearTimeout(this.#looking);
    this.connecting = false;
    this.#connected = false;
    if (native !== null) {
      // Only what the listeners have dealt with is acknowledged.
      this.#tellHandled();
      this.#native = null;
      native.destroy();
      forget(this.#token);
      if (this.#referenced) release();
      this.#owner.closed(this);
    }
    callback(error);
    const stalled = this.#stalledCallback;
    this.#stalledCallback = null;
    stalled?.(error ?? channelError({ code: "ECANCELED", message: "the socket was destroyed before this was written" }, "write", this.#owner.name));
    process.nextTick(() => this.emit("close", error !== null && error !== undefined));
  }

  /** Reading and writing put off `timeout`. */
  #active(): void {
    (this as unknown as { _unrefTimer(): void })._unrefTimer();
  }
}
