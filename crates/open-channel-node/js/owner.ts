// How a channel and its sockets know each other.

/** How a channel calls one of its sockets. */
export interface Follower {
  /** The host of that generation is gone, and the connection to it. */
  lost(generation: number): void;
  /** There may be another connection, or this process may host no longer. */
  look(): void;
}

/** The kind of a socket. */
export interface Kind {
  /** Made by `connect()`, not handed to the listener. */
  readonly client: boolean;
  /** Messages are acknowledged by `ack()`. */
  readonly manual: boolean;
  /** It goes on with the next host. */
  readonly reconnect: boolean;
}

/** A channel, as its sockets know it. */
export interface Owner<Socket> {
  readonly name: string;
  readonly allowHalfOpen: boolean;
  opened(socket: Socket, follower: Follower): void;
  /**
   * Reports what has happened to the channel so far. False if that is under way: then the channel
   * makes its sockets look.
   */
  catchUp(): boolean;
  connectionChanged(socket: Socket, connected: boolean): void;
  closed(socket: Socket): void;
}
