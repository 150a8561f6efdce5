// A group, as a member sees it.
import { AsyncResource } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { asyncDispose } from "../dispose.js";
import { guard, hold, release } from "../hub.js";
import {
  call,
  callAll,
  Service,
  type Answers,
  type CallAllOptions,
  type CallHandler,
  type CallOptions,
} from "./calls.js";
import { Core } from "./core.js";
import { closedError, GroupError } from "./errors.js";
import { lead, type LeadOptions, type LeadTask } from "./lead.js";
import { lock, type LockGuard, type LockOptions } from "./locks.js";
import { SharedMap } from "./map.js";
import { member, type LeaveReason, type Member } from "./members.js";
import type { NativeGroupEvent } from "./native.js";
import { joinOptions, type GroupOptions } from "./options.js";
import { Queue } from "./queue.js";
import { publish, Subscription, type SubscribeOptions, type TopicListener } from "./topics.js";

export interface GroupEvents {
  /** A member is in the view from now on. */
  join: [member: Member];
  /** A member is not in the view any more. */
  leave: [member: Member, reason: LeaveReason];
  /** The members have changed. */
  view: [members: readonly Member[]];
  /** Another host serves the group: this process, if `isHost`. */
  host: [generation: number];
  /** This member was put out of the view. It comes back by itself, with another id. */
  putOut: [reason: LeaveReason];
  /** It is back. */
  back: [id: string];
  /** The group is over, or a listener of a subscription has failed. */
  error: [error: Error];
  close: [];
}

/**
 * The processes that joined one name, with this one as a member. It keeps the process alive until
 * `close()`, unless `unref()` was called.
 */
export class Group extends EventEmitter {
  readonly name: string;
  readonly #core: Core;
  readonly #context: AsyncResource;
  #members: readonly Member[] = [];
  #view = 0;
  #id = "";
  #directory = "";
  #out = false;
  #joined = false;
  #referenced = true;
  #closing: Promise<void> | undefined;
  #over = false;

  private constructor(name: string, options: GroupOptions) {
    super();
    this.name = name;
    const join = joinOptions(name, options);
    this.#context = new AsyncResource("open-channel:group", { requireManualDestroy: true });
    const look = () => this.#context.runInAsyncScope(this.#look, this);
    const fail = (error: unknown) => this.#context.runInAsyncScope(this.#fail, this, error);
    this.#core = new Core(name, join, look, fail, options.signal);
  }

  /**
   * Joins the group of this name, and waits until a host serves this member. The first process to
   * join hosts the group inside itself; the next one takes over when it goes.
   */
  static async join(name: string, options: GroupOptions = {}): Promise<Group> {
    const group = new Group(name, options);
    try {
      await group.#core.joined();
    } catch (error) {
      group.#context.emitDestroy();
      throw error;
    }
    group.#joined = true;
    if (group.#referenced) hold();
    group.#look();
    return group;
  }

  /** The id of this member. It changes when the member is put out and comes back. */
  get id(): string {
    return (this.#id = this.#over ? this.#id : (this.#core.native.id ?? this.#id));
  }

  /** Whether this process hosts the group. */
  get isHost(): boolean {
    return !this.#over && this.#core.native.isHost;
  }

  /** Processes that name the same group and do not meet have different ones. */
  get directory(): string {
    return (this.#directory ||= this.#core.native.directory ?? "");
  }

  /** The members now, in the order in which they joined; the same at every member. */
  get members(): readonly Member[] {
    this.#refresh();
    return this.#members;
  }

  /**
   * Publishes to every matching subscription of all members, also of this one. Fulfilled when all
   * of them have handled it, or have left; at once if there is none. What is published is in the
   * order of the calls.
   *
   * When `signal` aborts before it is accepted, nothing is published. Afterwards it goes on.
   */
  publish(topic: string, value: unknown, options: { signal?: AbortSignal } = {}): Promise<void> {
    return publish(this.#core, topic, value, options.signal);
  }

  /**
   * Subscribes to topics: `*` stands for one word between dots, `>` at the end for one or more.
   * Without a listener, loop over what it returns: `for await (const message of …)`.
   *
   * A subscriber that handles nothing for `stallTimeout` while its window is full is put out.
   */
  subscribe<T = unknown>(pattern: string, options?: SubscribeOptions): Subscription<T>;
  subscribe<T = unknown>(
    pattern: string,
    listener?: TopicListener<T>,
    options?: SubscribeOptions,
  ): Subscription<T>;
  subscribe<T>(
    pattern: string,
    first?: TopicListener<T> | SubscribeOptions,
    second?: SubscribeOptions,
  ): Subscription<T> {
    const [listener, options] = typeof first === "object" ? [undefined, first] : [first, second];
    return new Subscription<T>(this.#core, pattern, listener, options?.latest ?? false);
  }

  /**
   * Waits for a lock, first come, first served. No two members ever hold it: the kernel decides. It
   * is free when its holder lets go, leaves or dies. `null` only with `ifAvailable`.
   */
  lock(name: string, options: LockOptions & { ifAvailable: true }): Promise<LockGuard | null>;
  lock(name: string, options?: LockOptions & { ifAvailable?: false }): Promise<LockGuard>;
  lock(name: string, options?: LockOptions): Promise<LockGuard | null>;
  lock(name: string, options: LockOptions = {}): Promise<LockGuard | null> {
    return lock(this.#core, name, options);
  }

  /**
   * Runs a task in one member at a time: waits until this member has the role, and gives it up when
   * the task has ended. Then, or when this process dies, the next member runs its own.
   *
   * A task whose role was stolen runs again when the role is free. Fulfilled as the task that ended
   * while it had the role.
   */
  lead<T>(role: string, task: LeadTask<T>, options: LeadOptions = {}): Promise<T> {
    return lead(this.#core, role, task, options);
  }

  /**
   * Calls a service at a member that serves it, and waits for the answer. A death is known at once.
   */
  call<T = unknown>(service: string, value?: unknown, options: CallOptions = {}): Promise<T> {
    return call(this.#core, service, value, options) as Promise<T>;
  }

  /**
   * Calls a service at all members that serve it now. Fulfilled when each of them has answered, is
   * gone, or is late.
   */
  callAll<T = unknown>(
    service: string,
    value?: unknown,
    options: CallAllOptions = {},
  ): Promise<Answers<T>> {
    return callAll(this.#core, service, value, options) as Promise<Answers<T>>;
  }

  /**
   * Serves a service. The caller gets what the handler returns, or the words of the error that it
   * fails with. Fulfilled when all members know of the service.
   */
  serve<T = unknown>(service: string, handler: CallHandler<T>): Promise<Service> {
    return Service.open(this.#core, service, handler as CallHandler);
  }

  /** The queue of this name. */
  queue<T = unknown>(name: string): Queue<T> {
    return new Queue<T>(this.#core, name);
  }

  /** The shared map of this name. */
  map<T = unknown>(name: string): SharedMap<T> {
    return new SharedMap<T>(this.#core, name);
  }

  /** The process stays alive until `close()`; this is the default. */
  ref(): this {
    if (this.#joined && !this.#over && !this.#referenced) hold();
    this.#referenced = true;
    return this;
  }

  /** Being a member alone does not keep the process alive. */
  unref(): this {
    if (this.#joined && !this.#over && this.#referenced) release();
    this.#referenced = false;
    return this;
  }

  /**
   * Leaves in an orderly way: takes no more messages, calls and jobs, waits until what this member
   * has begun is complete, leaves the view, and hands over if this process hosts. Each of these
   * steps takes at most the host timeout.
   */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (this.#over) return;
    this.#refresh();
    this.#id = this.id;
    this.#core.endParts();
    try {
      await this.#core.leave();
    } finally {
      this.#end();
    }
  }

  #end(failure?: Error): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#referenced) release();
    this.#core.endParts(failure ?? closedError());
    this.#core.over();
    const context = this.#context;
    context.runInAsyncScope(() => {
      if (failure !== undefined) guard(() => this.emit("error", failure));
      guard(() => this.emit("close"));
    });
    context.emitDestroy();
  }

  /** An error in a listener, which nobody else can report. */
  #fail(error: unknown): void {
    this.emit("error", error);
  }

  #refresh(): void {
    if (this.#over) return;
    const view = this.#core.native.view();
    if (view === null || view.number === this.#view) return;
    this.#view = view.number;
    this.#members = view.members.map(member);
  }

  #look(): void {
    if (!this.#joined || this.#over) return;
    const before = new Map(this.#members.map((member) => [member.id, member]));
    const number = this.#view;
    for (let event; !this.#over && (event = this.#core.native.event()); ) {
      this.#refresh();
      this.#tell(event, before);
    }
    this.#refresh();
    if (this.#view !== number && !this.#over) guard(() => this.emit("view", this.#members));
  }

  #tell(event: NativeGroupEvent, before: Map<string, Member>): void {
    switch (event.kind) {
      case "joined": {
        const joined = member(event.member!);
        before.set(joined.id, joined);
        return guard(() => this.emit("join", joined));
      }
      case "left": {
        const id = event.id!;
        const left = before.get(id) ?? unknown(id);
        return guard(() => this.emit("leave", left, event.reason as LeaveReason));
      }
      case "putOut":
        this.#out = true;
        return guard(() => this.emit("putOut", event.reason as LeaveReason));
      case "serving":
        guard(() => this.emit("host", event.generation!));
        if (this.#out) {
          this.#out = false;
          guard(() => this.emit("back", this.id));
        }
        return;
      case "over":
        // `close()` tells it, if that was called.
        if (this.#closing === undefined)
          this.#end(event.failure ? new GroupError(event.failure) : undefined);
    }
  }

  /** For `console.log` and `util.inspect`. */
  [Symbol.for("nodejs.util.inspect.custom")](
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ): string {
    const { name, id, isHost, directory, members } = this;
    const shown = inspect({ name, id, isHost, directory, members: members.length }, options);
    return `${this.constructor.name} ${shown}`;
  }
}

/** A member that came and went before this process looked. */
const unknown = (id: string): Member => ({
  id,
  pid: 0,
  program: "",
  language: "",
  labels: {},
  services: [],
});

export interface Group {
  on<E extends keyof GroupEvents>(event: E, listener: (...args: GroupEvents[E]) => void): this;
  once<E extends keyof GroupEvents>(event: E, listener: (...args: GroupEvents[E]) => void): this;
  off<E extends keyof GroupEvents>(event: E, listener: (...args: GroupEvents[E]) => void): this;
}
