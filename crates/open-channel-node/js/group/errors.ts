import type { GroupFailure } from "./native.js";
import { decode } from "./values.js";

/** The codes that errors of groups have besides those of channels, as in `error.code`. */
export type GroupErrorCode =
  /** The group was left on this side. */
  | "ERR_OPEN_CHANNEL_CLOSED"
  /** Not everything was complete in time when the group was left. */
  | "ERR_OPEN_CHANNEL_UNFINISHED"
  /** This member is out of the view just now, and has no map to read. */
  | "ERR_OPEN_CHANNEL_OUT"
  /** This member was put out meanwhile: it may have happened, or not. */
  | "ERR_OPEN_CHANNEL_UNKNOWN"
  /** The member that had the call is gone: it may have run. */
  | "ERR_OPEN_CHANNEL_DIED"
  | "ERR_OPEN_CHANNEL_TIMED_OUT"
  | "ERR_OPEN_CHANNEL_NO_SUCH_SERVICE"
  /** The handler failed; `reason` has its words. */
  | "ERR_OPEN_CHANNEL_FAILED"
  | "ERR_OPEN_CHANNEL_ALREADY_SERVED"
  /** The job has had all its attempts; `value` is the job. */
  | "ERR_OPEN_CHANNEL_EXHAUSTED"
  /** A worker refused the job for good; `reason` has its words, and `value` is the job. */
  | "ERR_OPEN_CHANNEL_TERMINATED"
  /** Nobody waits for the answer, or the attempt of the job is of no use any more. */
  | "ERR_OPEN_CHANNEL_CANCELLED"
  /** The lock was stolen, or the group is over. */
  | "ERR_OPEN_CHANNEL_LOST"
  | "ERR_OPEN_CHANNEL_NOT_A_NUMBER"
  | "ERR_OPEN_CHANNEL_OVERFLOW"
  | "ERR_OPEN_CHANNEL_MAP_FULL"
  | "ERR_OPEN_CHANNEL_TOO_LARGE"
  | "ERR_OPEN_CHANNEL_INVALID_NAME"
  | "ERR_OPEN_CHANNEL_INVALID_TOPIC";

/** An error of a group. `code` is one of `GroupErrorCode`, or as for a channel. */
export class GroupError extends Error {
  readonly code: string;
  /** The words of the handler or the worker that failed. */
  declare readonly reason?: string;
  readonly #data?: Buffer;

  constructor({ code, message, reason, data }: GroupFailure) {
    super(message);
    this.code = code;
    if (reason != null) this.reason = reason;
    if (data != null) this.#data = data;
  }

  override get name(): string {
    return "GroupError";
  }

  /** The job that comes back, if the error is about one. */
  get value(): unknown {
    return this.#data === undefined ? undefined : decode(this.#data);
  }
}

/** This group was left. */
export const closedError = () =>
  new GroupError({
    code: "ERR_OPEN_CHANNEL_CLOSED",
    message: "the group was left on this side",
  });

/** The addon throws `CODE: message`; this makes an error of it. */
export function raised(error: unknown): unknown {
  const [, code, message] = /^(E[A-Z0-9_]+): ([^]*)$/.exec((error as Error)?.message ?? "") ?? [];
  return code === undefined ? error : new GroupError({ code, message: message! });
}

export function invalidArgument(message: string): Error {
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
}
