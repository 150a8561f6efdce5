// Job queues.
import { AsyncResource } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { asyncDispose } from "../dispose.js";
import { forget, guard, register } from "../hub.js";
import { amount } from "../options.js";
import { nextTick } from "../timers.js";
import { checkText, type Core, type Part } from "./core.js";
import { GroupError, invalidArgument, raised } from "./errors.js";
import { groups, type Attempted, type NativeWorker } from "./native.js";
import { Runs, type Running } from "./running.js";
import { decode, encode } from "./values.js";

export interface PushOptions {
  /** How often it is tried at most; then it comes back. Default: as often as it takes. */
  maxAttempts?: number;
  /** Nothing is pushed when it aborts before the job is accepted. Afterwards the job goes on. */
  signal?: AbortSignal;
}

/** An attempt of a job. It is done when its handler's promise is fulfilled. */
export class Job<T = unknown> {
  /** The id of the member that pushed it. */
  readonly from: string;
  /** Which attempt it is: 1 at first. From the second on another worker may have done it. */
  readonly attempt: number;
  /** The bytes that were pushed. */
  readonly bytes: Buffer;
  readonly #running: Running;
  readonly #number: number;
  readonly #native: NativeWorker;
  #decoded?: { value: T };

  /** @internal */
  constructor(attempted: Attempted, native: NativeWorker, running: Running) {
    this.from = attempted.from;
    this.attempt = attempted.attempt;
    this.bytes = attempted.data;
    this.#number = attempted.number;
    this.#native = native;
    this.#running = running;
  }

  /**
   * The job: a Buffer if that was bytes.
   * @throws If this engine cannot read it.
   */
  get value(): T {
    return (this.#decoded ??= { value: decode(this.bytes) as T }).value;
  }

  /** Aborted when the attempt is of no use any more: its pusher is gone, or another one began. */
  get signal(): AbortSignal {
    return this.#running.signal;
  }

  /** It is done. What the handler does afterwards changes nothing; so it is with the others. */
  ack(): void {
    this.#native.ack(this.#number);
  }

  /** It is to be tried again, after so many milliseconds. Default: at once. */
  nak(delay = 0): void {
    this.#native.nak(this.#number, amount(delay, "delay"));
  }

  /** It is never to be tried again: its pusher gets it back with these words. */
  term(reason: string): void {
    this.#native.term(this.#number, checkText(reason, "reason"));
  }
}

export type JobHandler<T = unknown> = (job: Job<T>) => unknown;

/** A queue of jobs: each goes to one worker that has room. */
export class Queue<T = unknown> {
  readonly name: string;
  readonly #core: Core;

  /** @internal */
  constructor(core: Core, name: string) {
    core.check();
    this.name = checkText(name, "name");
    this.#core = core;
  }

  /**
   * Pushes a job, and waits until a worker has done it. The job lives in this process until then.
   */
  async push(value: T, options: PushOptions = {}): Promise<void> {
    const core = this.#core;
    core.check();
    const attempts = count(options.maxAttempts ?? Infinity, "maxAttempts");
    const payload = encode(value);
    await core.operate(
      (request) => core.native.push(request, this.name, payload, attempts),
      options.signal,
    );
  }

  /**
   * Works for the queue, for up to `concurrency` jobs at a time. A job is done when what the
   * handler returned is fulfilled. If it fails, the job is tried again after a pause of 10 ms,
   * which doubles with each attempt up to 1 s.
   */
  process(concurrency: number, handler: JobHandler<T>): QueueWorker<T>;
  process(handler: JobHandler<T>): QueueWorker<T>;
  process(first: number | JobHandler<T>, second?: JobHandler<T>): QueueWorker<T> {
    const [concurrency, handler] = typeof first === "function" ? [1, first] : [first, second];
    if (typeof handler !== "function")
      throw invalidArgument("the handler of a queue must be a function");
    return new QueueWorker(this.#core, this.name, count(concurrency, "concurrency"), handler);
  }
}

/** A whole number from 1 on; nothing for an infinite one. */
function count(value: number, name: string): number | undefined {
  if (value === Infinity) return undefined;
  if (Number.isInteger(value) && value >= 1 && value < 2 ** 32) return value;
  throw Object.assign(new RangeError(`${name} is ${value}; it must be a whole number from 1 on`), {
    code: "ERR_OUT_OF_RANGE",
  });
}

export interface QueueWorkerEvents<T = unknown> {
  /** A handler has failed. The job is tried again. */
  failed: [job: Job<T>, error: unknown];
  /** The group is over, or has no room for another worker. */
  error: [error: Error];
  close: [];
}

/** A worker, from `queue.process()`, until `close()`. */
export class QueueWorker<T = unknown> extends EventEmitter {
  readonly #core: Core;
  readonly #native: NativeWorker;
  readonly #token: number;
  readonly #handler: JobHandler<T>;
  readonly #context: AsyncResource;
  readonly #runs = new Runs(() => this.#finish());
  readonly #part: Part = { end: (error) => void this.#end(error) };
  #over = false;

  /** @internal */
  constructor(
    core: Core,
    queue: string,
    concurrency: number | undefined,
    handler: JobHandler<T>,
  ) {
    super();
    core.check();
    this.#core = core;
    this.#handler = handler;
    this.#token = register(() => this.#look());
    try {
      const capacity = concurrency ?? 2 ** 32 - 1;
      this.#native = new groups.NativeWorker(core.native, this.#token, queue, capacity);
      const failure = this.#native.failure();
      if (failure !== null) throw new GroupError(failure);
    } catch (error) {
      forget(this.#token);
      throw raised(error);
    }
    this.#context = new AsyncResource("open-channel:worker", { requireManualDestroy: true });
    core.add(this.#part);
    nextTick(() => this.#over || this.#look());
  }

  /** Takes no more jobs, and waits until those that run have ended. */
  close(): Promise<void> {
    return this.#end();
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  #end(error?: Error): Promise<void> {
    this.#native.close();
    return this.#runs.close(error);
  }

  #finish(): void {
    this.#over = true;
    forget(this.#token);
    this.#core.delete(this.#part);
    guard(() => this.#context.runInAsyncScope(() => this.emit("close")));
    this.#context.emitDestroy();
  }

  #look(): void {
    for (const attempted of this.#native.take()) void this.#run(attempted);
    this.#runs.cancel(this.#native.cancelled(), notNeeded);
    const failure = this.#native.failure();
    if (failure === null || this.#runs.closing) return;
    const error = new GroupError(failure);
    void this.#end(error);
    this.#context.runInAsyncScope(() => this.emit("error", error));
  }

  async #run(attempted: Attempted): Promise<void> {
    const { number } = attempted;
    const job = new Job<T>(attempted, this.#native, this.#runs.begin(number));
    try {
      await this.#context.runInAsyncScope(this.#handler, undefined, job);
      this.#native.ack(number);
    } catch (error) {
      this.#native.nak(number);
      guard(() => this.#context.runInAsyncScope(() => this.emit("failed", job, error)));
    } finally {
      this.#runs.end(number);
    }
  }
}

const notNeeded = () =>
  new GroupError({
    code: "ERR_OPEN_CHANNEL_CANCELLED",
    message: "the attempt is of no use any more",
  });

export interface QueueWorker<T> {
  on<E extends keyof QueueWorkerEvents<T>>(
    event: E,
    listener: (...args: QueueWorkerEvents<T>[E]) => void,
  ): this;
  once<E extends keyof QueueWorkerEvents<T>>(
    event: E,
    listener: (...args: QueueWorkerEvents<T>[E]) => void,
  ): this;
  off<E extends keyof QueueWorkerEvents<T>>(
    event: E,
    listener: (...args: QueueWorkerEvents<T>[E]) => void,
  ): this;
}
