// The BroadcastChannel interface over a group: what one channel posts, all others of its name hear,
// in whatever process or worker thread. docs/FACES.md says what is different from Node's own.
import { createHash, randomBytes } from "node:crypto";
import { inspect, type InspectOptions } from "node:util";
import { holding } from "../hub.js";
import type { Core, Part } from "./core.js";
import { GroupError } from "./errors.js";
import { Subscription, type TopicMessage } from "./topics.js";
import { decode, encode } from "./values.js";

/** Longer names are hashed, so that a topic has room for them. */
const LONGEST = 400;

let drawn: string | undefined;
/** In the topics of all channels of this thread. Loading alone draws nothing. */
const thread = () => (drawn ??= randomBytes(6).toString("hex"));

/**
 * Numbers channels and messages: one that was posted before a channel was made is not for it.
 */
let last = 0;

type Handler = ((this: GroupBroadcastChannel, event: MessageEvent) => unknown) | null;

type Listener = Parameters<EventTarget["addEventListener"]>[1];
type ListenerOptions = Parameters<EventTarget["addEventListener"]>[2];
type MessageListener = (event: MessageEvent) => void;

/** What listeners get. */
export interface GroupBroadcastChannel {
  addEventListener(
    type: "message" | "messageerror",
    listener: MessageListener,
    options?: ListenerOptions,
  ): void;
  addEventListener(type: string, listener: Listener, options?: ListenerOptions): void;
  removeEventListener(
    type: "message" | "messageerror",
    listener: MessageListener,
    options?: ListenerOptions,
  ): void;
  removeEventListener(type: string, listener: Listener, options?: ListenerOptions): void;
}

/** A channel as `BroadcastChannel` is one, across the processes and threads of a group. */
export class GroupBroadcastChannel extends EventTarget {
  readonly #name: string;
  readonly #broadcast: Broadcast;
  readonly #number = ++last;
  readonly #handlers = new Map<string, { value: unknown; call: (event: Event) => void }>();
  #release: (() => void) | undefined = holding();
  #closed = false;

  /** @internal */
  constructor(broadcast: Broadcast, name: string) {
    super();
    this.#name = name;
    this.#broadcast = broadcast;
  }

  get name(): string {
    return this.#name;
  }

  get onmessage(): Handler {
    return this.#handler("message");
  }

  set onmessage(value: Handler) {
    this.#handle("message", value);
  }

  get onmessageerror(): Handler {
    return this.#handler("messageerror");
  }

  set onmessageerror(value: Handler) {
    this.#handle("messageerror", value);
  }

  /**
   * Beyond the interface: fulfilled when everything that others post from then on is heard here.
   * What this member posts itself is heard at once.
   */
  get ready(): Promise<void> {
    return this.#broadcast.ready;
  }

  /**
   * Posts a value to all other channels of this name.
   * @throws A `DataCloneError` if it cannot be cloned, or is too large; an `InvalidStateError` if
   * the channel was closed.
   */
  postMessage(message: unknown): void {
    if (arguments.length === 0) throw new TypeError("postMessage takes a message");
    if (this.#closed)
      throw new DOMException(`the channel "${this.#name}" was closed`, "InvalidStateError");
    this.#broadcast.post(this.#number, message);
  }

  /** Hears and posts nothing more. What was posted before is delivered. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.unref();
    this.#broadcast.delete(this);
  }

  /** The process stays alive until it is closed; this is the default. */
  ref(): this {
    if (!this.#closed) this.#release ??= holding();
    return this;
  }

  /** Being open alone does not keep the process alive. The group may do so. */
  unref(): this {
    this.#release?.();
    this.#release = undefined;
    return this;
  }

  /** @internal */
  hear(message: TopicMessage, sender: Sender | undefined): void {
    if (this.#closed) return;
    if (sender !== undefined && (sender.channel === this.#number || sender.post < this.#number))
      return;
    let event: MessageEvent;
    try {
      // A value of its own for each channel.
      event = new MessageEvent("message", { data: decode(Buffer.from(message.bytes)) });
    } catch {
      event = new MessageEvent("messageerror", { data: null });
    }
    this.dispatchEvent(event);
  }

  #handler(type: string): Handler {
    return (this.#handlers.get(type)?.value ?? null) as Handler;
  }

  /** As an event handler attribute: another value takes the place of the last one in the line. */
  #handle(type: string, value: unknown): void {
    const present = this.#handlers.get(type);
    if (value === null || (typeof value !== "function" && typeof value !== "object")) {
      this.#handlers.delete(type);
      if (present !== undefined) this.removeEventListener(type, present.call);
      return;
    }
    if (present !== undefined) {
      present.value = value;
      return;
    }
    const handler = {
      value: value as unknown,
      call: (event: Event) => {
        if (typeof handler.value === "function") handler.value.call(this, event);
      },
    };
    this.#handlers.set(type, handler);
    this.addEventListener(type, handler.call);
  }

  get [Symbol.toStringTag](): string {
    return "BroadcastChannel";
  }

  [inspect.custom](depth: number, options: InspectOptions): string {
    if (depth < 0) return "BroadcastChannel";
    const shown = { name: this.#name, active: !this.#closed };
    return `BroadcastChannel ${inspect(shown, options)}`;
  }
}

/** Properties of the interface are enumerable. */
for (const key of ["name", "onmessage", "onmessageerror", "postMessage", "close"]) {
  const property = Object.getOwnPropertyDescriptor(GroupBroadcastChannel.prototype, key)!;
  const enumerable = { ...property, enumerable: true };
  Object.defineProperty(GroupBroadcastChannel.prototype, key, enumerable);
}

/** A channel of this thread, and which of all its messages it was. */
interface Sender {
  channel: number;
  post: number;
}

/** All channels of one name in one member: they share a subscription. */
class Broadcast implements Part {
  readonly #core: Core;
  readonly #topic: string;
  readonly #subscription: Subscription;
  readonly #forget: () => void;
  /** In the order in which they were made, which is the order in which they hear. */
  readonly #channels = new Set<GroupBroadcastChannel>();

  constructor(core: Core, name: string, forget: () => void) {
    this.#core = core;
    this.#topic = `broadcast.${token(name)}`;
    this.#forget = forget;
    const hear = (message: TopicMessage) => this.#hear(message);
    this.#subscription = new Subscription(core, `${this.#topic}.>`, hear);
    core.add(this);
  }

  get ready(): Promise<void> {
    return this.#subscription.ready;
  }

  open(name: string): GroupBroadcastChannel {
    const channel = new GroupBroadcastChannel(this, name);
    this.#channels.add(channel);
    return channel;
  }

  post(channel: number, value: unknown): void {
    const topic = `${this.#topic}.${thread()}.${channel}.${++last}`;
    const payload = encode(value);
    const { maxPayload } = this.#core;
    if (payload.length > maxPayload) {
      const { length } = payload;
      const problem = `the value takes ${length} bytes, more than maxPayload: ${maxPayload}`;
      throw new DOMException(problem, "DataCloneError");
    }
    const posted = this.#core.operate((request) => {
      this.#core.native.publish(request, topic, payload);
    });
    posted.catch((error: unknown) => {
      // A member that is put out, or leaves, has an event for that.
      const code = error instanceof GroupError ? error.code : undefined;
      if (code !== "ERR_OPEN_CHANNEL_UNKNOWN" && code !== "ERR_OPEN_CHANNEL_CLOSED")
        this.#core.fail(error);
    });
  }

  delete(channel: GroupBroadcastChannel): void {
    this.#channels.delete(channel);
    if (this.#channels.size === 0) this.end();
  }

  /** @internal */
  end(): void {
    this.#core.delete(this);
    this.#forget();
    void this.#subscription.close();
    for (const channel of this.#channels) channel.close();
  }

  #hear(message: TopicMessage): void {
    const [here, channel, post] = message.topic.slice(this.#topic.length + 1).split(".");
    const own = here === thread() && post !== undefined;
    const sender = own ? { channel: Number(channel), post: Number(post) } : undefined;
    for (const channel of [...this.#channels]) channel.hear(message, sender);
  }
}

const broadcasts = new WeakMap<Core, Map<string, Broadcast>>();

/** A channel of this name, which hears all others of that name in the group. */
export function broadcastChannel(core: Core, name: string): GroupBroadcastChannel {
  const text = `${name}`;
  core.check();
  const open = broadcasts.get(core) ?? new Map<string, Broadcast>();
  broadcasts.set(core, open);
  let broadcast = open.get(text);
  if (broadcast === undefined) {
    broadcast = new Broadcast(core, text, () => open.delete(text));
    open.set(text, broadcast);
  }
  return broadcast.open(text);
}

/** A name, whatever it is, as one word of a topic: `%` and hexadecimal digits for what is none. */
function token(name: string): string {
  let text = "";
  for (const character of name) {
    if (/^[\w-]$/.test(character)) text += character;
    // A lone surrogate has no UTF-8.
    else if (/^\p{Surrogate}$/u.test(character)) text += `%u${hex(character.charCodeAt(0))}`;
    else for (const byte of Buffer.from(character)) text += `%${hex(byte)}`;
  }
  if (text.length <= LONGEST) return text || "%";
  return `%h${createHash("sha256").update(text).digest("hex")}`;
}

const hex = (number: number) => number.toString(16).padStart(2, "0");
