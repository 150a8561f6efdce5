import { AsyncResource } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { bounded, type Bounds } from "./bounds.js";
import { asyncDispose } from "./dispose.js";
import { channelError, rethrow } from "./errors.js";
import { forget, guard, hold, hub, register, release, request } from "./hub.js";
import {
  addon,
  Reason,
  type NativeChannel,
  type NativeEvent,
  type NativeStall,
  type Role,
} from "./native.js";
import {
  connectOptions,
  meeting,
  openOptions,
  type ChannelOptions,
  type ConnectOptions,
} from "./options.js";
import type { Follower, Owner } from "./owner.js";
import { ChannelSocket } from "./socket.js";
import type { SocketStats } from "./stats.js";
import { clearTimeout, setTimeout, type Timer } from "./timers.js";

export type State = "initiated" | "connecting" | "connected" | "closed";

export type ConnectionListener = (socket: ChannelSocket) => void;

/** The argument of the event `failover`. */
export interface Failover {
  /** The generation that ended. */
  from: number;
  /** The generation that took over. */
  to: number;
  /** The role of this process in the new one. */
  role: Role;
}

/** The state of a channel in this process; from `channel.stats()`. */
export interface ChannelStats {
  name: string;
  state: State;
  role: Role;
  generation: number;
  /** For how many milliseconds this process has been the host. Missing if it is not. */
  hosting?: number;
  /** The sockets of `connect()`. */
  sockets: SocketStats[];
  /** The sockets that this process serves as the host. */
  hosted: SocketStats[];
  /**
   * How many milliseconds this thread's event loop took to answer the addon, when it was asked
   * last: while messages come, that is about once in a second.
   */
  eventLoopDelay: number;
  /** The longest such time so far. */
  longestEventLoopDelay: number;
}

/** Nothing of what a socket sent was handled for `stallAfter`. */
export interface Stall {
  /** Missing if it was destroyed meanwhile. */
  socket?: ChannelSocket;
  id: string;
  /** The end that the listener was given, whose answers its peer does not take. */
  accepted: boolean;
  generation: number;
  /** Age of the oldest message in milliseconds. */
  oldest: number;
  /** Messages that are not handled. */
  messages: number;
  /** Bytes that they take of the outbox. */
  bytes: number;
}

/** The end of a stall. */
export interface StallEnd {
  /** Missing if it was destroyed meanwhile. */
  socket?: ChannelSocket;
  id: string;
  accepted: boolean;
  /** For how many milliseconds there was no progress. */
  lasted: number;
  /** A message was handled after all. If not, the socket is over, or nothing waits any more. */
  acknowledged: boolean;
}

export interface ChannelEvents {
  /** This process hosts now. */
  host: [generation: number];
  /** This process is connected to a host. */
  peer: [generation: number];
  /** The host was lost: it died, or was silent for too long. */
  hostlost: [generation: number];
  /** The host leaves in an orderly way. */
  handover: [generation: number];
  /** There is a new host in place of the one that was lost or left. */
  failover: [Failover];
  /** This process hosted, was given up as dead, and lost the right to host. */
  fenced: [generation: number];
  /**
   * A socket, of either end, is stalled: nothing of what it sent was handled for `stallAfter`. The
   * socket emits it, too.
   */
  stall: [Stall];
  /** A stall is over. The socket emits it, too. */
  stallend: [StallEnd];
  close: [error?: Error];
}

export class ProcessChannel extends EventEmitter {
  /** Called with each connection while this process hosts, as by `net.createServer`. */
  connectionListener: ConnectionListener | null;
  readonly #name: string;
  #options: ChannelOptions;
  #key = "";
  #token = 0;
  /** Where the listener and those of the events run: in the context that opened the channel. */
  #context!: AsyncResource;
  readonly #owner: Owner<ChannelSocket>;
  /** Those of `connect()`. */
  readonly #sockets = new Set<ChannelSocket>();
  /** Those of the listener. */
  readonly #accepted = new Set<ChannelSocket>();
  /** Those that have a connection at the moment. */
  readonly #live = new Set<ChannelSocket>();
  /**
   * Those of `#sockets` follow what happens to the channel, those of `#accepted` what happens to
   * this process as a host.
   */
  readonly #followers = new Map<ChannelSocket, Follower>();
  #native: NativeChannel | null;
  #opened = false;
  /** Takes part without a socket. */
  #membership: "none" | "joining" | "joined" = "none";
  #referenced = true;
  /** The generation that ended and has no successor yet. */
  #left: number | null = null;
  #catchingUp = false;
  /** Under way. The channel may be open again by then. */
  #closing: { native: NativeChannel; done: Promise<void> } | undefined;

  constructor(
    name: string,
    connectionListener: ConnectionListener | null,
    options: ChannelOptions = {},
  ) {
    super();
    this.connectionListener = connectionListener;
    this.#name = name;
    this.#options = options;
    this.#owner = {
      name,
      allowHalfOpen: options.allowHalfOpen ?? false,
      opened: (socket, follower) => void this.#followers.set(socket, follower),
      catchUp: () => this.#catchUp(),
      connectionChanged: (socket, connected) =>
        void (connected ? this.#live.add(socket) : this.#live.delete(socket)),
      closed: (socket) => {
        for (const sockets of [this.#sockets, this.#accepted, this.#live, this.#followers])
          sockets.delete(socket);
      },
    };
    this.#native = this.#open();
  }

  #open(): NativeChannel {
    this.#left = null;
    const context = new AsyncResource("open-channel:channel", { requireManualDestroy: true });
    this.#context = context;
    this.#token = register((reasons) => context.runInAsyncScope(this.#wake, this, reasons));
    try {
      // Where it met before, it meets when it is opened again.
      this.#options = meeting(this.#options);
      const options = openOptions(this.#name, this.#options, this.connectionListener !== null);
      const native = new addon.NativeChannel(hub(), this.#token, options);
      this.#key = native.key;
      return native;
    } catch (error) {
      forget(this.#token);
      context.emitDestroy();
      rethrow(error, "open", this.#name);
    }
  }

  get name(): string {
    return this.#name;
  }

  /** The processes that meet on it, as the option, the environment or the default decided. */
  get scope(): "app" | "user" {
    return this.#options.scope ?? "app";
  }

  /**
   * The application that it belongs to; `null` with scope `"user"`. A child process belongs to it,
   * too, with this as `OPEN_CHANNEL_APP` in its environment.
   */
  get app(): string | null {
    return this.#options.app ?? null;
  }

  /**
   * A digest of name, scope and application, as 32 hexadecimal digits: processes meet if their keys
   * and their runtime directories are the same.
   */
  get key(): string {
    return this.#key;
  }

  /** `initiated` before the first `connect()`; `closed` when every socket of `connect()` is. */
  get state(): State {
    if (!this.#opened) return "initiated";
    for (const socket of this.#live) if (this.#sockets.has(socket)) return "connected";
    if (this.#sockets.size > 0 || this.#membership === "joining") return "connecting";
    if (this.#membership === "none") return "closed";
    return this.#left === null ? "connected" : "connecting";
  }

  get connected(): boolean {
    return this.state === "connected";
  }

  /** The role of this process on the channel now. */
  get role(): Role {
    return this.#native?.role ?? "none";
  }

  /**
   * The directory in which this process meets the others, or would look for them now. Processes
   * that do not meet look in different ones.
   */
  get directory(): string {
    return this.#native?.directory ?? "";
  }

  /**
   * Grows with every change of host: a fencing token, which begins anew with a new runtime
   * directory unless the option `generationFile` names a file. 0 before the first.
   */
  get generation(): number {
    return this.#native?.generation ?? 0;
  }

  /**
   * A socket to the host, which is this process if there is no other. It can be written to at once.
   * Every call makes a socket of its own.
   * @param timeout Milliseconds to find a host in, before the socket fails. Default 5000. Or more
   * options.
   * @param listener Of the event `connect`.
   */
  connect(timeout?: number | ConnectOptions, listener?: () => void): ChannelSocket;
  connect(listener?: () => void): ChannelSocket;
  connect(first?: number | ConnectOptions | (() => void), second?: () => void): ChannelSocket {
    const [given, listener] = typeof first === "function" ? [undefined, first] : [first, second];
    const { timeout, reconnect, acknowledge } = connectOptions(
      given ?? {},
      this.#options.connectTimeout ?? 5000,
    );
    const native = (this.#native ??= this.#open());
    this.#opened = true;
    const kind = { client: true, manual: acknowledge === "manual", reconnect };
    const socket = new ChannelSocket(this.#owner, kind, (token) =>
      native.connect(token, timeout, reconnect),
    );
    if (listener !== undefined) socket.once("connect", listener);
    if (!socket.destroyed) this.#sockets.add(socket);
    return socket;
  }

  /** The state of the channel and its sockets in this process. */
  stats(): ChannelStats {
    const { name, state, role, generation } = this;
    const { hosting, sockets, hosted } = this.#native?.stats() ?? { sockets: [], hosted: [] };
    const [eventLoopDelay, longestEventLoopDelay] = hub().delays();
    const stats: ChannelStats = {
      name,
      state,
      role,
      generation,
      sockets,
      hosted,
      eventLoopDelay,
      longestEventLoopDelay,
    };
    if (hosting != null) stats.hosting = hosting;
    return stats;
  }

  /**
   * Takes part without a socket of one's own: resolves with the role when this process hosts or is
   * connected.
   */
  async join(): Promise<Role> {
    const native = (this.#native ??= this.#open());
    this.#opened = true;
    if (this.#membership === "none") this.#membership = "joining";
    try {
      await request((number) => native.join(number), "connect", this.#name);
    } catch (error) {
      if (this.#membership === "joining") this.#membership = "none";
      throw error;
    }
    if (this.#membership === "joining") {
      this.#membership = "joined";
      if (this.#referenced) hold();
    }
    return native.role;
  }

  /** After `join()`, the process stays alive until `close()`; this is the default. */
  ref(): this {
    if (this.#membership === "joined" && !this.#referenced) hold();
    this.#referenced = true;
    return this;
  }

  /** Taking part alone does not keep the process alive. */
  unref(): this {
    if (this.#membership === "joined" && this.#referenced) release();
    this.#referenced = false;
    return this;
  }

  #leave(): void {
    if (this.#membership === "joined" && this.#referenced) release();
    this.#membership = "none";
  }

  /**
   * Leaves in an orderly way: what was written is handled first, and if this process hosts, another
   * one takes over without an error anywhere. A host delivers nothing more from other processes,
   * from the call on. It hands over when everything that it has delivered is handled, at the latest
   * after the host timeout; the next host gets the rest, marked as redelivered. A reader that
   * does not read is not waited for longer than two host timeouts. With bounds,
   * fails if they are reached before; leaving goes on.
   */
  close(bounds?: Bounds): Promise<void> {
    return bounded(bounds, "closing the channel", "close", this.#name, () => this.#leaveOnce());
  }

  #leaveOnce(): Promise<void> {
    const native = this.#native;
    if (native === null || native === this.#closing?.native)
      return this.#closing?.done ?? Promise.resolve();
    const done = this.#close(native).finally(() => {
      if (this.#closing?.native === native) this.#closing = undefined;
    });
    this.#closing = { native, done };
    return done;
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(native: NativeChannel): Promise<void> {
    native.retire();
    this.#lookAtAccepted();
    await settled([...this.#sockets].map((socket) => socket.flush()), native.hostTimeout);
    this.#native = null;
    this.#opened = true;
    this.#leave();
    const [token, context] = [this.#token, this.#context];
    const sockets = [...this.#sockets, ...this.#accepted];
    try {
      await request((number) => native.close(number), "close", this.#name);
    } finally {
      forget(token);
      this.#lookAtAccepted();
      for (const socket of sockets) socket.destroy();
      guard(() => context.runInAsyncScope(() => this.emit("close")));
      context.emitDestroy();
    }
  }

  /** For `console.log` and `util.inspect`: the properties to compare where two do not meet. */
  [Symbol.for("nodejs.util.inspect.custom")](
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ): string {
    const { name, scope, app, key, directory, state, role, generation } = this;
    const shown = inspect({ name, scope, app, key, directory, state, role, generation }, options);
    return `${this.constructor.name} ${shown}`;
  }

  #wake(reasons: number): void {
    if (reasons & Reason.Event) {
      guard(() => this.#catchUp());
      for (const socket of this.#sockets) guard(() => this.#followers.get(socket)?.look());
    }
    if (reasons & Reason.Accepted) {
      const native = this.#native;
      while (native !== null && native.waiting > 0) this.#accept(native);
    }
  }

  /** They may have to go: also those that nobody reads from. */
  #lookAtAccepted(): void {
    for (const socket of this.#accepted) guard(() => this.#followers.get(socket)?.look());
  }

  #accept(native: NativeChannel): void {
    const kind = { client: false, manual: this.#options.acknowledge === "manual", reconnect: true };
    const socket = new ChannelSocket(this.#owner, kind, (token) => native.accept(token));
    this.#accepted.add(socket);
    guard(() => this.connectionListener?.(socket));
  }

  /**
   * The events so far, in their order. An event is always there before the connection that follows
   * from it, so whoever sees a new connection asks for this first.
   */
  #catchUp(): boolean {
    if (this.#catchingUp) return false;
    this.#catchingUp = true;
    try {
      for (let event; (event = this.#native?.event()); )
        this.#context.runInAsyncScope(this.#onEvent, this, event);
    } finally {
      this.#catchingUp = false;
    }
    return true;
  }

  #stalled(
    name: "stall" | "stallend",
    { id, accepted, ...news }: NativeStall,
    generation: number,
  ): void {
    const sockets = [...(accepted ? this.#accepted : this.#sockets)];
    const socket = sockets.find((socket) => socket.id === id);
    const event = {
      ...(socket && { socket }),
      id,
      accepted,
      ...(name === "stall" && { generation }),
      ...news,
    };
    if (socket !== undefined) guard(() => socket.emit(name, event));
    guard(() => this.emit(name, event));
  }

  #onEvent({ kind, role, generation, failure, stall }: NativeEvent): void {
    switch (kind) {
      case "stalled":
        return this.#stalled("stall", stall!, generation);
      case "stallEnded":
        return this.#stalled("stallend", stall!, generation);
      case "hostLost":
      case "handedOver":
      case "fenced": {
        this.#left ??= generation;
        for (const socket of this.#sockets)
          guard(() => this.#followers.get(socket)?.lost(generation));
        const name = ({ hostLost: "hostlost", handedOver: "handover", fenced: "fenced" } as const)[
          kind
        ];
        return void guard(() => this.emit(name, generation));
      }
      case "closed":
        if (!failure) return;
        // An attempt has failed. There may be another one already, with sockets of its own: each
        // knows its fate by itself.
        if (this.#membership === "joined") this.#leave();
        return void guard(() => this.emit("close", channelError(failure, undefined, this.#name)));
      case "becameHost":
      case "connected": {
        if (kind === "becameHost") guard(() => this.emit("host", generation));
        else if (role === "peer") guard(() => this.emit("peer", generation));
        const from = this.#left;
        if (from === null) return;
        this.#left = null;
        guard(() => this.emit("failover", { from, to: generation, role } satisfies Failover));
      }
    }
  }
}

async function settled(promises: Promise<void>[], timeout: number): Promise<void> {
  let timer: Timer | undefined;
  const late = new Promise((resolve) => (timer = setTimeout(() => resolve(undefined), timeout)));
  await Promise.race([Promise.allSettled(promises), late]);
  clearTimeout(timer);
}

export interface ProcessChannel {
  on<E extends keyof ChannelEvents>(event: E, listener: (...args: ChannelEvents[E]) => void): this;
  once<E extends keyof ChannelEvents>(
    event: E,
    listener: (...args: ChannelEvents[E]) => void,
  ): this;
  off<E extends keyof ChannelEvents>(event: E, listener: (...args: ChannelEvents[E]) => void): this;
}
