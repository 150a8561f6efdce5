/**
 * The state of one socket; from `socket.stats()`. Messages are counted; of a host's end, those of
 * this host's time. The bytes of messages that wait are those of the messages and 64 more for each.
 *
 * Times are milliseconds. An age is less than the true one by a second at most, or by an eighth of
 * `stallAfter` if that is less; time in which this process was stopped does not count.
 */
export interface SocketStats {
  id: string;
  /** The end that the listener was given. */
  accepted: boolean;
  /** The link that carries it. Missing while there is no connection. */
  link?: string;
  peerPid?: number;
  /** Connections that it has had. */
  links: number;
  generation: number;
  /** Messages accepted for sending. */
  sent: number;
  /** Bytes of the messages accepted for sending, without any overhead. */
  sentBytes: number;
  /** Those of them that the other side has acknowledged. */
  acknowledged: number;
  /** Those that it still may. Messages taken back or undeliverable are in neither number. */
  unacknowledged: number;
  /** Bytes that the unacknowledged ones take of `outboxLimit`. */
  outboxBytes: number;
  outboxLimit: number;
  /** Messages taken from the link. */
  received: number;
  /** Bytes of the messages that JavaScript has been given, without any overhead. */
  receivedBytes: number;
  /** Those of them that are handled, up to the oldest one that is not. */
  handled: number;
  /** Messages that JavaScript has been given and that are not handled. */
  held: number;
  /** Bytes that the received messages that are not handled take of `inboxLimit`. */
  inboxBytes: number;
  inboxLimit: number;
  /** Messages that were given to JavaScript as redelivered. */
  redelivered: number;
  /** The highest attempt among these; 0 without any. */
  highestAttempt: number;
  /** Age of the oldest message that the other side has not handled. Missing if there is none. */
  oldestUnacknowledged?: number;
  /**
   * Time since the arrival of the oldest message that this side has not handled. Missing if there
   * is none.
   */
  oldestUnhandled?: number;
  /** For how long there has been no progress, while the socket is stalled. */
  stalled?: number;
}
