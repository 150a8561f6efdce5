import { ProcessChannel, type ConnectionListener } from "./channel.js";
import type { ChannelOptions } from "./options.js";

export {
  ProcessChannel,
  type ChannelEvents,
  type ChannelStats,
  type ConnectionListener,
  type Failover,
  type Stall,
  type StallEnd,
  type State,
} from "./channel.js";
export type { Bounds } from "./bounds.js";
export type { ChannelError } from "./errors.js";
export { Message, type UndeliverableMessage } from "./message.js";
export type { Role } from "./native.js";
export type { ChannelOptions, ConnectOptions } from "./options.js";
export { isWin32, usingPort } from "./port.js";
export { ChannelSocket } from "./socket.js";
export type { SocketStats } from "./stats.js";

/**
 * Names a channel. Nothing happens before the first `connect()`: then this process joins the
 * channel, hosting it if nobody else does.
 */
export function openChannel(connectionListener: ConnectionListener): ProcessChannel;
export function openChannel(
  name: string,
  connectionListener?: ConnectionListener | null,
): ProcessChannel;
export function openChannel(
  options: ChannelOptions,
  connectionListener?: ConnectionListener | null,
): ProcessChannel;
export function openChannel(
  first: ConnectionListener | string | ChannelOptions,
  second: ConnectionListener | null = null,
): ProcessChannel {
  if (typeof first === "function") return new ProcessChannel("open-channel", first);
  if (typeof first === "string") return new ProcessChannel(first, second);
  if (typeof first === "object" && first !== null)
    return new ProcessChannel(first.name ?? "open-channel", second, first);
  const type = first === null ? "null" : typeof first;
  const error = new TypeError(`openChannel takes a name, options or a listener first, not ${type}`);
  throw Object.assign(error, { code: "ERR_INVALID_ARG_TYPE" });
}

export default openChannel;
