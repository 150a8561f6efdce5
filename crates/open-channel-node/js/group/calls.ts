// Calls and services.
import { AsyncResource } from "node:async_hooks";
import { asyncDispose } from "../dispose.js";
import { forget, register } from "../hub.js";
import { amount } from "../options.js";
import { nextTick, setImmediate } from "../timers.js";
import { checkText, type Core, type Part } from "./core.js";
import { GroupError, invalidArgument, raised } from "./errors.js";
import { groups, type Called, type NativeService } from "./native.js";
import { Runs } from "./running.js";
import { decode, encode } from "./values.js";

/** Calls that are taken from the addon together. */
const BATCH = 256;

export interface CallOptions {
  /** Milliseconds that the answer may take. Default 30 000. */
  timeout?: number;
  /** Gives the call up: its handler learns so. */
  signal?: AbortSignal;
  /** The id of the member to ask. Default: those that serve it take turns. */
  member?: string;
  /** It may run twice: when the member that has it goes, the next one is asked. Default false. */
  idempotent?: boolean;
}

export type CallAllOptions = Pick<CallOptions, "timeout" | "signal">;

/** The result of a call to all. Members are named by their ids. */
export interface Answers<T = unknown> {
  answered: Map<string, T>;
  /** The members whose handlers have failed, with the reasons. */
  failed: Map<string, GroupError>;
  /** The members that left the view, or serve it no more. */
  died: string[];
  /** The members that had not answered in time. */
  timedOut: string[];
}

export async function call(
  core: Core,
  service: string,
  value: unknown,
  options: CallOptions,
): Promise<unknown> {
  core.check();
  checkText(service, "service");
  const { signal, idempotent = false, member } = options;
  const timeout = within(options.timeout);
  if (member !== undefined) checkText(member, "member");
  const payload = encode(value);
  const { data } = await core.operate(
    (request) => core.native.call(request, service, payload, timeout, idempotent, member),
    signal,
  );
  return decode(data!);
}

export async function callAll(
  core: Core,
  service: string,
  value: unknown,
  options: CallAllOptions,
): Promise<Answers> {
  core.check();
  checkText(service, "service");
  const timeout = within(options.timeout);
  const payload = encode(value);
  const { answers } = await core.operate(
    (request) => core.native.callAll(request, service, payload, timeout),
    options.signal,
  );
  const { died, timedOut } = answers!;
  const result: Answers = { answered: new Map(), failed: new Map(), died, timedOut };
  for (const { id, data, reason } of answers!.answered) {
    if (data == null) {
      result.failed.set(id, failed(reason ?? ""));
      continue;
    }
    try {
      result.answered.set(id, decode(data));
    } catch (error) {
      // As a member in another runtime may answer.
      result.failed.set(id, error as GroupError);
    }
  }
  return result;
}

const within = (timeout: number | undefined) =>
  timeout === undefined ? undefined : amount(timeout, "timeout");

const failed = (reason: string) =>
  new GroupError({
    code: "ERR_OPEN_CHANNEL_FAILED",
    message: `the handler failed: ${reason}`,
    reason,
  });

/** What a handler gets to know of a call. */
export interface CallContext {
  /** The id of the caller. */
  readonly from: string;
  /** Aborted when nobody waits for the answer any more: the caller gave up, or is gone. */
  readonly signal: AbortSignal;
}

export type CallHandler<T = unknown> = (value: T, context: CallContext) => unknown;

/** A service of this member, until `close()`. */
export class Service {
  readonly name: string;
  readonly #core: Core;
  readonly #native: NativeService;
  readonly #token: number;
  readonly #handler: CallHandler;
  readonly #context: AsyncResource;
  readonly #runs = new Runs(() => this.#over());
  readonly #part: Part = { end: (error) => void this.#end(error) };
  #opening: { resolve(): void; reject(error: unknown): void } | undefined;
  #resting = false;

  private constructor(core: Core, name: string, handler: CallHandler) {
    core.check();
    this.name = checkText(name, "service");
    if (typeof handler !== "function")
      throw invalidArgument("the handler of a service must be a function");
    this.#core = core;
    this.#handler = handler;
    this.#token = register(() => this.#look());
    try {
      this.#native = new groups.NativeService(core.native, this.#token, name);
    } catch (error) {
      forget(this.#token);
      throw raised(error);
    }
    this.#context = new AsyncResource("open-channel:service", { requireManualDestroy: true });
    core.add(this.#part);
  }

  /** @internal */
  static async open(core: Core, name: string, handler: CallHandler): Promise<Service> {
    const service = new Service(core, name, handler);
    await new Promise<void>((resolve, reject) => {
      service.#opening = { resolve, reject };
      // It may have been refused at once, and nothing else says so.
      nextTick(() => service.#look());
    });
    return service;
  }

  /** Takes no more calls, and waits until those that run are answered. */
  close(): Promise<void> {
    return this.#end();
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  #end(error?: Error): Promise<void> {
    this.#native.close();
    const closed = { code: "ERR_OPEN_CHANNEL_CLOSED", message: "the service was closed" };
    this.#opening?.reject(error ?? new GroupError(closed));
    return this.#runs.close(error);
  }

  #over(): void {
    forget(this.#token);
    this.#core.delete(this.#part);
    this.#context.emitDestroy();
  }

  #look(): void {
    if (this.#opening !== undefined) {
      if (this.#native.opened()) {
        this.#opening.resolve();
        this.#opening = undefined;
      } else {
        const failure = this.#native.failure();
        if (failure !== null) void this.#end(new GroupError(failure));
        return;
      }
    }
    this.#runs.cancel(this.#native.cancelled(), nobodyWaits);
    if (!this.#resting) this.#take();
  }

  /** Lets others have a turn after a batch. */
  #take(): void {
    const taken = this.#native.take(BATCH);
    for (const called of taken) void this.#run(called);
    if (taken.length < BATCH) return;
    this.#resting = true;
    setImmediate(() => {
      this.#resting = false;
      this.#take();
    });
  }

  async #run({ number, from, data }: Called): Promise<void> {
    const running = this.#runs.begin(number);
    const context: CallContext = {
      from,
      get signal() {
        return running.signal;
      },
    };
    try {
      const handle = () => this.#handler(decode(data), context);
      const answer = encode(await this.#context.runInAsyncScope(handle));
      this.#native.answer(number, answer);
    } catch (error) {
      this.#native.fail(number, words(error));
    } finally {
      this.#runs.end(number);
    }
  }
}

const nobodyWaits = () =>
  new GroupError({
    code: "ERR_OPEN_CHANNEL_CANCELLED",
    message: "nobody waits for it any more",
  });

/** The words of an error, for other processes. */
function words(error: unknown): string {
  try {
    if (!(error instanceof Error)) return String(error);
    const { name, message } = error;
    return name === "Error" ? `${message}` : `${name}: ${message}`;
  } catch {
    return "it threw what cannot be told";
  }
}
