// From the stream into the addon. A write is done when the addon has accepted it and there has been
// a connection.
import { AsyncResource } from "node:async_hooks";
import type { Writable } from "node:stream";
import type { Wait } from "./bounds.js";
import { channelError } from "./errors.js";
import { Write, type NativeSocket } from "./native.js";

/**
 * V8 keeps typed arrays of up to this size in its own heap, and moves them out for good (an
 * allocation, and work for the garbage collector) when native code asks where they are. Copying
 * them into a place that has moved long ago is cheaper.
 */
const SMALL = 64;
const small = Buffer.allocUnsafeSlow(SMALL);

export type Callback = (error?: Error | null) => void;

export class Outgoing {
  readonly #channel: string;
  readonly #client: boolean;
  #native: NativeSocket | null;
  /** Nothing counts as written before the first connection, as on a net.Socket. */
  #open: boolean;
  /** Not yet handed to the addon, because it is full. */
  #stalled: Buffer[] = [];
  /** Belongs to the write that is not done. */
  #callback: Callback | null = null;
  #bytes = 0;
  /** Accepted by the addon for the write that is not done. */
  #pending = 0;

  constructor(native: NativeSocket, channel: string, client: boolean) {
    this.#native = native;
    this.#channel = channel;
    this.#client = client;
    this.#open = !client;
  }

  /** Bytes of writes that are done. The stream counts those of the others. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A write is not done yet. */
  get waiting(): boolean {
    return this.#callback !== null;
  }

  send(messages: Buffer[], callback: Callback): void {
    this.#send(messages, callback, false);
  }

  #send(messages: Buffer[], callback: Callback, again: boolean): void {
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]!;
      if (message.length === 0) continue;
      const result = this.#native === null ? Write.Failed : write(this.#native, message);
      if (result === Write.Failed) return this.#fail(callback);
      this.#pending += message.length;
      if (result === Write.Full) {
        this.#stalled = messages.slice(i + 1);
        // Called in the context of its `write`, as by a net.Socket that is connected.
        this.#callback = this.#open && !again ? AsyncResource.bind(callback) : callback;
        return;
      }
    }
    if (this.#open) this.#done(callback);
    else this.#callback = callback;
  }

  /** There is a connection. */
  connected(): void {
    this.#open = true;
    this.resume();
  }

  /** There may be room again. */
  resume(): void {
    const callback = this.#callback;
    if (callback === null || this.#native === null) return;
    const result = this.#native.written();
    if (result === Write.Full) return;
    const messages = this.#stalled;
    this.#callback = null;
    this.#stalled = [];
    if (result === Write.Failed) this.#fail(callback);
    else this.#send(messages, callback, true);
  }

  #done(callback: Callback): void {
    this.#bytes += this.#pending;
    this.#pending = 0;
    callback();
  }

  stop(error: Error | null): void {
    this.#native = null;
    const callback = this.#callback;
    this.#callback = null;
    this.#stalled = [];
    callback?.(
      error ??
        channelError(
          { code: "ECANCELED", message: "the socket was destroyed before this was written" },
          "write",
          this.#channel,
        ),
    );
  }

  #fail(callback: Callback): void {
    const failure = this.#native?.failure() ?? {
      code: "EPIPE",
      message: "the socket was destroyed",
    };
    // A write to a side that has just left is lost, and `end` is about to say so.
    callback(this.#client && !failure.left ? channelError(failure, "write", this.#channel) : null);
  }
}

function write(native: NativeSocket, message: Buffer): Write {
  if (message.length > SMALL) return native.write(message, message.length);
  small.set(message);
  return native.write(small, message.length);
}

/** @throws `EMSGSIZE` if a message takes more bytes than the limit. */
export function checkLength(chunk: any, encoding: unknown, limit: number, channel: string): void {
  // The longest encoding takes three bytes for a unit of a string.
  if (!(chunk?.length > limit / 3)) return;
  const given = typeof encoding === "string" ? (encoding as BufferEncoding) : undefined;
  const length = typeof chunk === "string" ? Buffer.byteLength(chunk, given) : chunk.byteLength;
  if (length <= limit) return;
  const message =
    `a message of ${length} bytes is over the limit of ${limit}; raise maxMessage on every ` +
    "process of the channel, or cut the message";
  throw channelError({ code: "EMSGSIZE", message }, "write", channel);
}

export function bytes(chunk: Buffer | string, encoding: BufferEncoding): Buffer {
  return typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk;
}

/**
 * Waits until everything that the stream itself holds is written.
 * @internal
 */
export function streamWritten(stream: Writable, wait: Wait): Promise<void> {
  return new Promise((resolve, reject) => {
    if (!stream.writableEnded) {
      // Streams keep order: an empty write, which is no message, ends after all writes before it.
      stream.write(Buffer.alloc(0), (error) => (error ? reject(error) : resolve()));
      return;
    }
    const leave = () => stream.off("finish", over).off("error", failed).off("close", over);
    // After `close` without `finish`, there is no connection left to ask.
    const over = () => (leave(), resolve());
    const failed = (error: Error) => (leave(), reject(error));
    stream.once("finish", over).once("error", failed).once("close", over);
    wait.undo(leave);
  });
}
