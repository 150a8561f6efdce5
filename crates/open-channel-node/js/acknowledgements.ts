// The fate of messages that were delivered. While each is handled before the next one, they are
// counted, and the addon learns of many at once; else it learns of each by its number.
import type { Handling, Message } from "./message.js";
import type { NativeSocket } from "./native.js";
import { setImmediate } from "./timers.js";

/** The promises that listeners have returned for one message. */
export type Promises = readonly PromiseLike<unknown>[];

/** The socket, as it learns of this. */
export interface Outcome {
  /** The last message that somebody still had to deal with is dealt with. */
  settled(): void;
  /** A promise that a listener returned was rejected. Throws, unless somebody else sees to that. */
  rejected(error: unknown): void;
}

export class Acknowledgements {
  /** Behind the methods of a message. */
  readonly handling: Handling;
  readonly #manual: boolean;
  readonly #outcome: Outcome;
  #native: NativeSocket | null;
  /** Messages that somebody deals with: promises are pending, or `ack()` was not called. */
  #held = 0;
  /** Handled, and not yet reported to the addon. */
  #handled = 0;
  /** Promises whose rejection somebody has learnt of. */
  readonly #rejected = new WeakSet<PromiseLike<unknown>>();

  constructor(native: NativeSocket, manual: boolean, outcome: Outcome) {
    this.#native = native;
    this.#manual = manual;
    this.#outcome = outcome;
    this.handling = {
      manual,
      acknowledge: (seq) => this.#settle(seq, null, true),
      giveBack: (seq, pause) => this.#dealWith(() => this.#native?.giveBack(seq, pause)),
      reject: (seq, reason) => this.#dealWith(() => this.#native?.reject(seq, reason)),
    };
  }

  /** Somebody has not dealt with a message yet. */
  get pending(): boolean {
    return this.#held > 0;
  }

  /** The count so far, for a call that reports it to the addon. */
  take(): number {
    const handled = this.#handled;
    this.#handled = 0;
    return handled;
  }

  /** Reports to the addon what was counted. */
  report(): void {
    if (this.#handled > 0) this.#native?.handled(this.#handled);
    this.#handled = 0;
  }

  /** Nothing can be acknowledged any more. All others stay unhandled. */
  letGo(): void {
    this.report();
    this.#native = null;
  }

  /** Somebody deals with a message from now on. */
  hold(): void {
    // The counted ones come before it.
    this.report();
    this.#held++;
  }

  /**
   * Listeners have dealt with a message, but for `promises`. Its `description`, if anybody asked
   * for one, says whether they gave it back. It is `next` if all messages before it are dealt with.
   */
  returned(
    seq: number,
    description: Message | null,
    promises: Promises | null,
    next: boolean,
  ): void {
    if (promises !== null) this.#await(seq, description, promises);
    else if (description?.end() === false) return;
    else if (next && this.#held === 0) this.#handled++;
    // Counting would acknowledge the wrong one.
    else this.#native?.acknowledge(seq);
  }

  /** A message is not handled here: it is for the next host. */
  leave(seq: number, description: Message | null): void {
    if (this.#manual || description?.end() === false) return;
    this.report();
    this.#native?.giveBack(seq, -1);
  }

  /**
   * A listener threw. Most processes die of that, which is the end of the attempt; giving the
   * message back as well would count another one.
   */
  threw(seq: number, description: Message | null): void {
    this.report();
    if (this.#manual) return;
    this.hold();
    setImmediate(() => this.#settle(seq, description, false));
  }

  #await(seq: number, description: Message | null, promises: Promises): void {
    this.hold();
    let pending = promises.length;
    let failed = false;
    const settle = () => {
      if (--pending === 0) this.#settle(seq, description, !failed);
    };
    for (const promise of promises) {
      void Promise.resolve(promise).then(settle, (error) => {
        failed = true;
        settle();
        // Several messages may wait for one promise.
        if (this.#rejected.has(promise)) return;
        this.#rejected.add(promise);
        this.#outcome.rejected(error);
      });
    }
  }

  #settle(seq: number, description: Message | null, handled: boolean): void {
    // Given back already, it may have been delivered anew under the same number.
    if (description?.end() === false) return this.#settled();
    if (handled) this.#native?.acknowledge(seq);
    else this.#native?.giveBack(seq, -1);
    this.#settled();
  }

  /** A message is given back or rejected by name. */
  #dealWith(deal: () => void): void {
    // The counted ones come before it.
    this.report();
    deal();
    if (this.#manual) this.#settled();
  }

  #settled(): void {
    if (--this.#held === 0) this.#outcome.settled();
  }
}
