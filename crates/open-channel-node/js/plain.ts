// A net.Socket without a handle, which does nothing by itself: what does not depend on the channel.
import { Socket } from "node:net";
import { nextTick } from "./timers.js";

export class PlainSocket extends Socket {
  declare connecting: boolean;
  declare timeout: number | undefined;

  /** `resume()` was called without a listener for what comes. */
  #discards = false;

  override setNoDelay(): this {
    return this;
  }

  override setKeepAlive(): this {
    return this;
  }

  override destroy(error?: Error): this {
    if (!this.destroyed) {
      // net.Socket clears its timer only while it is not yet destroyed.
      const { timeout } = this;
      super.setTimeout(0);
      if (timeout !== undefined) this.timeout = timeout;
    }
    return super.destroy(error);
  }

  override resetAndDestroy(): this {
    return this.destroy();
  }

  // ---- reading ----

  override resume(): this {
    if (!this.#hasReader()) this.#discards = true;
    return super.resume();
  }

  override pause(): this {
    this.#discards = false;
    return super.pause();
  }

  #hasReader(): boolean {
    return this.listenerCount("data") > 0 || this.listenerCount("message") > 0;
  }

  // ---- listeners ----

  /**
   * TLS waits for `connect` of every net.Socket without a handle, connected or not; no program
   * that was written for a net.Socket waits for a `connect` that is over.
   */
  override once(event: string | symbol, listener: (...args: any[]) => void): this {
    super.once(event as string, listener);
    if (event !== "connect" || this.connecting || this.destroyed) return this;
    nextTick(() => {
      if (this.destroyed || !this.listeners(event).includes(listener)) return;
      this.off(event, listener);
      listener.call(this);
    });
    return this;
  }

  override removeListener(event: string | symbol, listener: (...args: any[]) => void): this {
    super.removeListener(event as string, listener);
    return this.#removed(event);
  }

  override off(event: string | symbol, listener: (...args: any[]) => void): this {
    return this.removeListener(event, listener);
  }

  override removeAllListeners(event?: string | symbol): this {
    // A name that is given as `undefined` is one, too.
    if (arguments.length === 0) super.removeAllListeners();
    else super.removeAllListeners(event);
    return this.#removed(event);
  }

  /** A stream flows on without its last listener: what comes then would be handled by nobody. */
  #removed(event: string | symbol | undefined): this {
    if (event !== undefined && event !== "data" && event !== "message") return this;
    if (!this.readableFlowing || this.#discards || this.#hasReader()) return this;
    // Its type calls it read-only.
    (this as { readableFlowing: boolean | null }).readableFlowing = null;
    return this;
  }

  override addListener(event: string | symbol, listener: (...args: any[]) => void): this {
    return this.on(event as string, listener);
  }
}

/** Reading and writing put off a socket's `timeout`. */
export function active(socket: Socket): void {
  (socket as unknown as { _unrefTimer(): void })._unrefTimer();
}
