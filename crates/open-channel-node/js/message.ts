/** One message, with what a handler needs in order to be idempotent and to acknowledge in its own time. */
export class Message {
  readonly #acknowledge: (() => void) | undefined;
  #acknowledged: boolean;

  /** @internal */
  constructor(
    /** What was written, whole. */
    readonly data: Buffer,
    /** The same for every delivery of this message, and for no other message of this direction. */
    readonly id: string,
    /** Its place in the order of its socket, from 1. */
    readonly seq: number,
    /** Which attempt at handling it this is: 1 at first, one more for each host that may have seen it and went away. */
    readonly attempt: number,
    acknowledge?: () => void,
  ) {
    this.#acknowledge = acknowledge;
    this.#acknowledged = acknowledge === undefined;
  }

  /** It was handed to an earlier host, which went away before it acknowledged; that host may have handled it. */
  get redelivered(): boolean {
    return this.attempt > 1;
  }

  /** True from the call of `ack`; with automatic acknowledgement, from the start. */
  get acknowledged(): boolean {
    return this.#acknowledged;
  }

  /** The message is handled: it will never be delivered again. More than one call does nothing. */
  ack(): void {
    if (this.#acknowledged) return;
    this.#acknowledged = true;
    this.#acknowledge!();
  }
}

/** A message that this side wrote and that nobody will handle; what the event `undeliverable` brings. */
export interface UndeliverableMessage {
  /** What was written, whole. */
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
