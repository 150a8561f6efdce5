import { amount } from "./options.js";

/**
 * Behind the methods of a message.
 * @internal
 */
export interface Handling {
  /** With automatic acknowledgement there is nothing to do. */
  readonly manual: boolean;
  acknowledge(seq: number): void;
  giveBack(seq: number, pause: number): void;
  reject(seq: number, reason: string): void;
}

/**
 * One message, with what a handler needs in order to be idempotent and to acknowledge in its own
 * time.
 */
export class Message {
  readonly #handling: Handling;
  #done: boolean;
  #acknowledged: boolean;

  /** @internal */
  constructor(
    /** The bytes that were written, whole. */
    readonly data: Buffer,
    /** The same for every delivery of this message, and for no other message of this direction. */
    readonly id: string,
    /** Its place in the order of its socket, from 1. */
    readonly seq: number,
    /**
     * Which attempt at handling it this is: 1 at first, one more for each host that may have seen
     * it and went away, and for each time that it was given back.
     */
    readonly attempt: number,
    handling: Handling,
  ) {
    this.#handling = handling;
    this.#acknowledged = !handling.manual;
    this.#done = false;
  }

  /** It was delivered before, and that delivery may have been handled. */
  get redelivered(): boolean {
    return this.attempt > 1;
  }

  /** True from the call of `ack`; with automatic acknowledgement, from the start. */
  get acknowledged(): boolean {
    return this.#acknowledged;
  }

  /** The message is handled: it will never be delivered again. More than one call does nothing. */
  ack(): void {
    if (this.#acknowledged || this.#done) return;
    this.#done = this.#acknowledged = true;
    this.#handling.acknowledge(this.seq);
  }

  /**
   * Gives the message back: it is not handled, and is delivered again after `delay` milliseconds
   * (default 0), with the same id and one attempt more. Meanwhile others are delivered. If the
   * writer's `maxAttempts` are used up, the writer gets it back. With automatic acknowledgement to
   * be called before the `data` and `message` listeners have returned, or while a promise that they
   * returned is pending; later it does nothing.
   */
  nack(delay = 0): void {
    const pause = amount(delay, "delay");
    if (this.#finish()) this.#handling.giveBack(this.seq, pause);
  }

  /**
   * Nobody is to try this message again: the writer gets it back, with the event `undeliverable`
   * and this reason. Called as `nack`.
   */
  reject(reason = ""): void {
    if (this.#finish()) this.#handling.reject(this.seq, String(reason));
  }

  /**
   * The listeners are done with this attempt. False if they gave the message back or rejected it.
   * @internal
   */
  end(): boolean {
    const open = !this.#done;
    this.#done = true;
    return open;
  }

  #finish(): boolean {
    if (this.#done) return false;
    this.#done = true;
    this.#acknowledged = false;
    return true;
  }
}

/**
 * A message that this side wrote and that nobody will handle; what the event `undeliverable`
 * brings.
 */
export interface UndeliverableMessage {
  /** The bytes that were written, whole. */
  readonly data: Buffer;
  /** As every host has seen it. */
  readonly id: string;
  /** Its place in the order of its socket, from 1. */
  readonly seq: number;
  /** How many attempts there were. */
  readonly attempts: number;
  /** Why there is no other, in words. */
  readonly reason: string;
}
