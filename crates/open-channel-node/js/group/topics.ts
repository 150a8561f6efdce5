// Publications and subscriptions.
import { AsyncResource } from "node:async_hooks";
import { asyncDispose } from "../dispose.js";
import { forget, guard, register } from "../hub.js";
import { nextTick, setImmediate } from "../timers.js";
import { checkText, type Core, type Part } from "./core.js";
import { GroupError, invalidArgument, raised } from "./errors.js";
import { Cell, groups, type NativeBatch, type NativeSubscription } from "./native.js";
import { decode, encode } from "./values.js";

/** Messages that are taken from the addon together. */
const BATCH = 256;

export async function publish(
  core: Core,
  topic: string,
  value: unknown,
  signal?: AbortSignal,
): Promise<void> {
  core.check();
  checkText(topic, "topic");
  const payload = encode(value);
  await core.operate((request) => core.native.publish(request, topic, payload), signal);
}

/** A message as the addon gave it. */
interface Delivered {
  number: number;
  topic: string;
  publisher: string;
  data: Buffer;
  missed: number;
  interrupted: boolean;
}

function unpack(batch: NativeBatch | null): Delivered[] {
  const messages: Delivered[] = [];
  if (batch === null) return messages;
  const { data, cells, topics, publishers } = batch;
  for (let at = 0, begin = 0; at < cells.length; at += Cell.Count) {
    const end = begin + cells[at + Cell.Length]!;
    messages.push({
      number: cells[at + Cell.Number]!,
      topic: topics[cells[at + Cell.Topic]!]!,
      publisher: publishers[cells[at + Cell.Publisher]!]!,
      data: data.subarray(begin, end),
      missed: cells[at + Cell.Missed]!,
      interrupted: cells[at + Cell.Interrupted] !== 0,
    });
    begin = end;
  }
  return messages;
}

/** A message of a subscription. */
export class TopicMessage<T = unknown> {
  /** The bytes that were published. */
  readonly bytes: Buffer;
  readonly topic: string;
  /** The id of the member that published it. */
  readonly publisher: string;
  /** How many messages were dropped before this one, in a subscription with `latest`. */
  readonly missed: number;
  /** This member was out of the view before this message: something may be missing. */
  readonly interrupted: boolean;
  #decoded?: { value: T };

  /** @internal */
  constructor({ data, topic, publisher, missed, interrupted }: Delivered) {
    this.bytes = data;
    this.topic = topic;
    this.publisher = publisher;
    this.missed = missed;
    this.interrupted = interrupted;
  }

  /**
   * The value that was published: a Buffer if that was bytes.
   * @throws If this engine cannot read it.
   */
  get value(): T {
    return (this.#decoded ??= { value: decode(this.bytes) as T }).value;
  }
}

export type TopicListener<T = unknown> = (message: TopicMessage<T>) => unknown;

export interface SubscribeOptions {
  /**
   * Only the newest messages matter: a publisher is never held up, and the oldest are dropped when
   * the window is full. Default false.
   */
  latest?: boolean;
}

/**
 * A subscription: an async iterator of messages, or with a listener. A message is handled when the
 * loop goes on, or when what the listener returned has settled; until then its publisher waits.
 */
export class Subscription<T = unknown> {
  readonly pattern: string;
  /** Fulfilled when everything that is published from then on arrives. */
  readonly ready: Promise<void>;
  readonly #core: Core;
  readonly #native: NativeSubscription;
  readonly #token: number;
  readonly #listener: TopicListener<T> | undefined;
  readonly #context: AsyncResource;
  readonly #arrived: Delivered[] = [];
  #settleReady: { resolve(): void; reject(error: unknown): void } | undefined;
  /** The loop waits for a message. */
  #waiting: (() => void) | undefined;
  #iterating = false;
  readonly #part: Part = { end: (error) => this.#end(error) };
  #over = false;
  #error: Error | undefined;
  #resting = false;

  /** @internal */
  constructor(core: Core, pattern: string, listener?: TopicListener<T>, latest = false) {
    core.check();
    this.pattern = checkText(pattern, "pattern");
    if (listener !== undefined && typeof listener !== "function")
      throw invalidArgument("the listener of a subscription must be a function");
    this.#core = core;
    this.#listener = listener;
    this.ready = new Promise((resolve, reject) => (this.#settleReady = { resolve, reject }));
    this.ready.catch(() => {}); // The loop and the group tell it, too.
    this.#token = register(() => this.#look());
    try {
      this.#native = new groups.NativeSubscription(core.native, this.#token, pattern, latest);
      const failure = this.#native.failure();
      if (failure !== null) throw new GroupError(failure);
    } catch (error) {
      forget(this.#token);
      throw raised(error);
    }
    this.#context = new AsyncResource("open-channel:subscription", { requireManualDestroy: true });
    core.add(this.#part);
    // It may be ready at once, and nothing else says so.
    nextTick(() => this.#over || this.#look());
  }

  /** Ends it. Messages that were not handled are not waited for any more. */
  async close(): Promise<void> {
    this.#end();
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  #end(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#native.close();
    for (const { number } of this.#arrived.splice(0)) this.#native.handled(number);
    forget(this.#token);
    this.#core.delete(this.#part);
    this.#context.emitDestroy();
    const closed = { code: "ERR_OPEN_CHANNEL_CLOSED", message: "the subscription was closed" };
    this.#settleReady?.reject(error ?? new GroupError(closed));
    this.#waiting?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TopicMessage<T>, void, void> {
    if (this.#listener !== undefined || this.#iterating) {
      const reader = this.#iterating ? "another loop" : "a listener";
      throw invalidArgument(`the messages of this subscription go to ${reader}`);
    }
    this.#iterating = true;
    try {
      for (;;) {
        const next = await this.#next();
        if (next === undefined) return;
        try {
          yield new TopicMessage<T>(next);
        } finally {
          this.#native.handled(next.number);
        }
      }
    } finally {
      this.#end();
    }
  }

  async #next(): Promise<Delivered | undefined> {
    for (;;) {
      if (this.#over) {
        if (this.#error !== undefined) throw this.#error;
        return undefined;
      }
      const next = this.#arrived.shift();
      if (next !== undefined) return next;
      this.#arrived.push(...unpack(this.#native.take(BATCH)));
      if (this.#arrived.length > 0) continue;
      await new Promise<void>((resolve) => (this.#waiting = resolve));
      this.#waiting = undefined;
    }
  }

  #look(): void {
    if (this.#settleReady !== undefined && !this.#isReady()) return;
    if (this.#listener === undefined) this.#waiting?.();
    else if (!this.#resting) this.#deliver();
  }

  #isReady(): boolean {
    if (this.#native.opened()) {
      this.#settleReady!.resolve();
      this.#settleReady = undefined;
      return true;
    }
    const failure = this.#native.failure();
    if (failure !== null) this.#end(new GroupError(failure));
    return false;
  }

  /** Calls the listener, and lets others have a turn after a batch. */
  #deliver(): void {
    const taken = unpack(this.#native.take(BATCH));
    for (const delivered of taken) this.#call(delivered);
    if (taken.length < BATCH) return;
    this.#resting = true;
    setImmediate(() => {
      this.#resting = false;
      if (!this.#over) this.#deliver();
    });
  }

  #call(delivered: Delivered): void {
    const handled = () => this.#native.handled(delivered.number);
    const failed = (error: unknown) => {
      handled();
      this.#core.fail(error);
    };
    if (this.#over) return handled();
    guard(() => {
      let result: unknown;
      try {
        const message = new TopicMessage<T>(delivered);
        result = this.#context.runInAsyncScope(this.#listener!, undefined, message);
      } catch (error) {
        return failed(error);
      }
      if (isThenable(result)) result.then(handled, (error) => guard(() => failed(error)));
      else handled();
    });
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === "function";
}
