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
    /** It was handed to an earlier host, which went away before it acknowledged; that host may have handled it. */
    readonly redelivered: boolean,
    acknowledge?: () => void,
  ) {
    this.#acknowledge = acknowledge;
    this.#acknowledged = acknowledge === undefined;
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
