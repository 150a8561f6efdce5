// Messages that were pulled from the addon in one call and are not delivered yet.
import { ATTEMPT, type NativeSocket, type Read } from "./native.js";

/** Messages at most. */
const BATCH = 512;
const SLAB = 64 * 1024;

// `read` fills this: why it stopped, whether there is a connection, how many there were. Then come
// for each message its length (and `ATTEMPT` for each attempt before this one) and its number.
const HEAD = 3;
const meta = new Float64Array(HEAD + 2 * BATCH);
let slab = Buffer.allocUnsafeSlow(SLAB);
let slabAt = 0;

/** How a pull went. */
export interface Pulled {
  readonly count: number;
  /** The bytes of all its messages. */
  readonly bytes: number;
  /** Why there were no more. */
  readonly status: Read;
  /** The connection as it was then. */
  readonly connected: boolean;
  readonly links: number;
}

/** One attempt at a message. */
export interface Delivery {
  readonly chunk: Buffer;
  readonly seq: number;
  readonly attempt: number;
}

export class Batch {
  readonly #chunks: Buffer[] = [];
  readonly #seqs: number[] = [];
  /** Attempts at the messages that were delivered before, by their place. */
  readonly #again = new Map<number, number>();
  #next = 0;

  /** Pulls the next messages. `handled` were handled since the last pull. */
  pull(native: NativeSocket, handled: number): Pulled {
    this.#chunks.length = 0;
    this.#seqs.length = 0;
    if (this.#again.size > 0) this.#again.clear();
    this.#next = 0;
    let count = native.read(handled, slab, slabAt, meta);
    if (count < 0) {
      slab = Buffer.allocUnsafeSlow(Math.max(SLAB, -count));
      slabAt = 0;
      count = native.read(0, slab, slabAt, meta);
    }
    const begin = slabAt;
    for (let i = 0; i < count; i++) {
      let length = meta[HEAD + 2 * i]!;
      if (length >= ATTEMPT) {
        this.#again.set(i, 1 + Math.floor(length / ATTEMPT));
        length %= ATTEMPT;
      }
      this.#chunks.push(slab.subarray(slabAt, (slabAt += length)));
      this.#seqs.push(meta[HEAD + 1 + 2 * i]!);
    }
    // A copy: where listeners run, another socket's batch overwrites `meta`.
    const [status, connected, links] = [meta[0]! as Read, meta[1] === 1, meta[2]!];
    return { count, bytes: slabAt - begin, status, connected, links };
  }

  /** Not delivered yet. */
  get left(): number {
    return this.#chunks.length - this.#next;
  }

  /** Goes on to the next message, and returns its number. */
  advance(): number {
    return this.#seqs[this.#next++]!;
  }

  /** The message that `advance` went to. */
  get current(): Delivery {
    return { chunk: this.chunk, seq: this.#seqs[this.#next - 1]!, attempt: this.#attempt };
  }

  get chunk(): Buffer {
    return this.#chunks[this.#next - 1]!;
  }

  get #attempt(): number {
    return this.#again.get(this.#next - 1) ?? 1;
  }

  /** Forgets what is not delivered. */
  clear(): void {
    this.#chunks.length = this.#seqs.length = this.#next;
  }
}
