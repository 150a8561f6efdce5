// What all faces of a group need of it: the addon's object, promises for what was begun, and the
// things that end with the group.
import { forget, guard, hold, hub, register, release } from "../hub.js";
import { Reason } from "../native.js";
import { closedError, GroupError, invalidArgument, raised } from "./errors.js";
import { groups, type Finished, type NativeGroup, type NativeJoinOptions } from "./native.js";

/** Default of `maxPayload`, as in the library. */
const MAX_PAYLOAD = 16 << 20;

/** Something that goes on until it is ended, at the latest with the group. */
export interface Part {
  /** The group is about to be left, or is over. */
  end(error?: Error): void;
}

interface Pending {
  resolve(finished: Finished): void;
  reject(error: unknown): void;
}

export class Core {
  readonly name: string;
  readonly native: NativeGroup;
  /** Longest payload in bytes. */
  readonly maxPayload: number;
  /** Nothing new is begun. */
  closing = false;
  readonly #token: number;
  readonly #parts = new Set<Part>();
  readonly #pending = new Map<number, Pending>();
  readonly #joining: Promise<unknown>;
  #last = 0;
  #over = false;

  /**
   * Begins to join.
   * @param look Called when there may be events.
   * @param fail Called with an error that a listener has thrown.
   */
  constructor(
    name: string,
    options: NativeJoinOptions,
    look: () => void,
    readonly fail: (error: unknown) => void,
    signal?: AbortSignal,
  ) {
    this.name = name;
    this.maxPayload = options.maxPayload ?? MAX_PAYLOAD;
    this.#token = register((reasons) => {
      if (reasons & Reason.Operation) this.#settle();
      if (reasons & Reason.Event) guard(look);
    });
    let made: NativeGroup | undefined;
    try {
      this.#joining = this.operate(
        (request) => (made = new groups.NativeGroup(hub(), this.#token, request, options)),
        signal,
      );
    } catch (error) {
      forget(this.#token);
      throw raised(error);
    }
    // An aborted signal has begun nothing.
    this.native = made!;
  }

  async joined(): Promise<void> {
    try {
      await this.#joining;
    } catch (error) {
      forget(this.#token);
      throw error;
    }
  }

  /**
   * Begins something of the addon's that ends once, and waits for it. The process stays alive
   * meanwhile. When the signal aborts, the addon is told, and the promise is rejected with the
   * signal's reason.
   */
  operate(start: (request: number) => void, signal?: AbortSignal): Promise<Finished> {
    checkSignal(signal);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const request = (this.#last = (this.#last + 1) >>> 0 || 1);
    start(request);
    hold();
    return new Promise<Finished>((resolve, reject) => {
      let abort: (() => void) | undefined;
      const end = () => {
        this.#pending.delete(request);
        release();
        if (abort !== undefined) signal!.removeEventListener("abort", abort);
      };
      this.#pending.set(request, {
        resolve: (finished) => (end(), resolve(finished)),
        reject: (error) => (end(), reject(error)),
      });
      if (signal === undefined) return;
      abort = () => {
        this.native.cancel(request);
        end();
        reject(signal.reason);
      };
      signal.addEventListener("abort", abort, { once: true });
    });
  }

  #settle(): void {
    for (const finished of this.native.finished()) {
      const pending = this.#pending.get(finished.request);
      if (finished.failure) pending?.reject(new GroupError(finished.failure));
      else pending?.resolve(finished);
    }
  }

  /** @throws If the group is left. */
  check(): void {
    if (this.closing || this.#over) throw closedError();
  }

  add(part: Part): void {
    this.#parts.add(part);
  }

  delete(part: Part): void {
    this.#parts.delete(part);
  }

  /** Ends everything that goes on. */
  endParts(error?: Error): void {
    this.closing = true;
    for (const part of [...this.#parts]) guard(() => part.end(error));
  }

  /** Leaves the group. */
  async leave(): Promise<void> {
    try {
      await this.operate((request) => this.native.close(request));
    } finally {
      this.over();
    }
  }

  /** Nothing comes of the group any more. */
  over(): void {
    if (this.#over) return;
    this.#over = true;
    this.native.rest();
    forget(this.#token);
    for (const pending of [...this.#pending.values()]) pending.reject(closedError());
  }
}

/** @throws If it is no signal. */
export function checkSignal(signal: unknown): void {
  if (signal === undefined) return;
  if (typeof signal === "object" && signal !== null && "aborted" in signal) return;
  throw invalidArgument("signal must be an AbortSignal");
}

/** @throws If it is no text. */
export function checkText(text: unknown, what: string): string {
  if (typeof text === "string") return text;
  throw invalidArgument(`${what} must be a string, not ${String(text)}`);
}
