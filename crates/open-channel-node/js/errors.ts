import { constants } from "node:os";
import type { Failure } from "./native.js";

/**
 * An error of the channel: `code` is what Node itself would use (`ECONNREFUSED`, `EACCES`,
 * `EMSGSIZE`, `ETIMEDOUT`, …).
 */
export interface ChannelError extends NodeJS.ErrnoException {
  code: string;
  /** The channel's name. */
  channel?: string;
}

export function channelError(failure: Failure, syscall?: string, channel?: string): ChannelError {
  const error = new Error(`${failure.code}: ${failure.message}`) as ChannelError;
  const errno = (constants.errno as Record<string, number>)[failure.code];
  if (errno !== undefined) error.errno = -errno;
  error.code = failure.code;
  if (syscall !== undefined) error.syscall = syscall;
  if (channel !== undefined) error.channel = channel;
  return error;
}

/** The addon throws `CODE: message`; this makes the code a property. */
export function rethrow(error: unknown, syscall: string, channel: string): never {
  const [, code, message] = /^(E[A-Z0-9]+): ([^]*)$/.exec((error as Error)?.message ?? "") ?? [];
  throw code === undefined ? error : channelError({ code, message: message! }, syscall, channel);
}
