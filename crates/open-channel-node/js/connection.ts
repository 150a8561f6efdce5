// When a socket's connection is reported. Connections come and go on another thread, perhaps
// several while JavaScript is busy. Each is reported, after what had happened to the channel before
// it: `hostlost` of a gap that is over already still finds the state in the gap.
import type { Failure, NativeSocket } from "./native.js";

/** The socket, as it learns of its connection. */
export interface Reported {
  /**
   * Reports what has happened to the channel so far. False if that is under way: then `look` is
   * called.
   */
  catchUp(): boolean;
  changed(connected: boolean): void;
  /** There is a connection: the `first`, or another one. */
  opened(first: boolean): void;
  /** This process hosts it, and hands over. */
  handingOver(): void;
  /** Delivers all that has arrived. */
  deliverAll(): void;
  /** There will be no other connection. */
  failed(failure: Failure): void;
}

export class Connection {
  readonly #client: boolean;
  readonly #reported: Reported;
  /** Until the socket is destroyed. */
  #native: NativeSocket | null;
  // As it was last reported.
  #connected = false;
  #links = 0;
  /** It is another one by now. */
  #stale = false;

  constructor(native: NativeSocket, client: boolean, reported: Reported) {
    this.#native = native;
    this.#client = client;
    this.#reported = reported;
  }

  /** Connections so far. */
  get links(): number {
    return this.#links;
  }

  /** Reports what has changed. */
  look(): void {
    while (this.#native !== null) {
      const { connected, links, handingOver } = this.#native.connection();
      if (handingOver) this.#reported.handingOver();
      if (connected === this.#connected && links === this.#links) break;
      if (this.#client && !this.#reported.catchUp()) return;
      if (links > this.#links) {
        this.#reportUpTo(links);
        continue;
      }
      // The news may have been about this connection.
      const now = this.#native?.connection();
      if (now?.links === this.#links) this.#report(now.connected);
    }
    if (!this.#client || this.#connected || this.#native === null) return;
    const { over } = this.#native.connection();
    const failure = over ? this.#native.failure() : null;
    // The end of the other side, unlike a failure, has its place behind what is still to be read.
    if (failure === null || failure.left) return;
    this.#reported.deliverAll();
    if (this.#native !== null) this.#reported.failed(failure);
  }

  /** The host of that generation is gone, and the connection to it. */
  lost(generation: number): void {
    // A connection to that host which was not reported yet.
    if (this.#native !== null && this.#native.generation <= generation) {
      this.#reportUpTo(this.#native.connection().links);
    }
    if (!this.#connected) return;
    // Messages of the host come before the news of its end.
    this.#reported.deliverAll();
    if (this.#native !== null) this.#report(false);
  }

  /** Messages are about to be delivered; the connection as it was when they were pulled. */
  pulled(connected: boolean, links: number): void {
    if (connected === this.#connected && links === this.#links) return;
    // `connect` comes before the first data; later, data of the old connection before the news of
    // its end.
    if (this.#links === 0) this.look();
    else this.#stale = true;
  }

  /** They are delivered. */
  delivered(): void {
    if (!this.#stale) return;
    this.#stale = false;
    this.look();
  }

  /** The socket is destroyed. */
  stop(): void {
    this.#native = null;
    this.#connected = false;
  }

  #reportUpTo(links: number): void {
    while (this.#links < links && this.#native !== null) {
      this.#report(false);
      this.#links++;
      this.#report(true);
      if (this.#client) this.#reported.opened(this.#links === 1);
    }
  }

  #report(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#reported.changed(connected);
  }
}
