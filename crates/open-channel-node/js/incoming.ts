// From the addon into the stream. What has arrived is pulled in batches, and put into the stream one message at a time: so
// none is glued to another or split, and what nobody reads stays in the addon, whose window then fills.
//
// Knows the stream and the addon's socket; what a connection is, and when it is reported, is the socket's business.
import type { Socket } from "node:net";
import { guard } from "./hub.js";
import { Message, type Handling } from "./message.js";
import { ATTEMPT, Read, type Failure, type NativeSocket } from "./native.js";

/** Messages pulled from the addon in one call. */
const BATCH = 512;
/** Batches handled before the event loop gets a turn. */
const TURNS = 2;
/** More batches than a window of empty messages holds. */
const ALL = 64;
const SLAB = 64 * 1024;

// What `read` tells: why it stopped, whether there is a connection, how many there were; then for each message its
// length (and `ATTEMPT` for each attempt before this one) and its number.
const HEAD = 3;
const meta = new Float64Array(HEAD + 2 * BATCH);
let slab = Buffer.allocUnsafeSlow(SLAB);
let slabAt = 0;

/** What the socket is told. */
export interface Observer {
  /** A batch of `count` messages was pulled; the connection as it was then. */
  pulled(count: number, connected: boolean, links: number): void;
  /** Everything that was pulled and wanted is delivered. */
  delivered(): void;
  broke(failure: Failure): void;
}

export class Incoming {
  readonly #stream: Socket;
  readonly #observer: Observer;
  readonly #manual: boolean;
  readonly #id: string;
  readonly #handling: Handling;
  #native: NativeSocket | null;

  // Pulled from the addon, not yet delivered.
  #chunks: Buffer[] = [];
  #seqs: number[] = [];
  /** Which attempt it is, of those in it that were delivered before; by their place. */
  readonly #again = new Map<number, number>();
  #next = 0;
  #current: Message | null = null;
  /** The stream asked for more since the last delivery. */
  #demand = false;
  /** What each message in the stream's buffer, oldest first, added to its length. One, unless somebody wants more at a time than it has. */
  readonly #buffered: number[] = [];
  /** Messages that a `read()` handed out; the next `read()` tells that they were dealt with. */
  #lent = 0;
  /** A `read(size)` found too little. */
  #short = false;
  /** Handled, and not yet told to the addon. */
  #handled = 0;
  /** The addon has nothing, and will wake us when it has. */
  #drained = false;
  #ended = false;
  #pumping = false;
  #scheduled = false;
  #bytes = 0;

  constructor(stream: Socket, native: NativeSocket, manual: boolean, observer: Observer) {
    this.#stream = stream;
    this.#native = native;
    this.#id = native.id;
    this.#manual = manual;
    this.#handling = {
      manual,
      acknowledge: (seq) => this.#native?.acknowledge(seq),
      giveBack: (seq, pause) => this.#native?.giveBack(seq, pause, manual),
      reject: (seq, reason) => this.#native?.reject(seq, reason, manual),
    };
    this.#observer = observer;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The other side will say no more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The message that is being delivered. */
  get message(): Message | null {
    const index = this.#next - 1;
    if (this.#current !== null || !this.#pumping || index < 0) return this.#current;
    return (this.#current = this.#describe(index));
  }

  /** The addon may have something. False if it was left there: nobody wants it now. */
  arrived(): boolean {
    this.#drained = false;
    this.#pump(TURNS);
    return this.#drained;
  }

  /** Delivers, as far as it is wanted, all that has arrived. */
  deliverAll(): void {
    guard(() => this.#pump(ALL));
  }

  /** The other side has gone: what it had said is still delivered. */
  end(): void {
    this.#ended = true;
    if (this.#next === this.#chunks.length) this.#endStream();
  }

  stop(): void {
    // Only what the listeners have dealt with is acknowledged.
    this.#tellHandled();
    this.#native = null;
  }

  // ---- what the stream asks for ----

  /** `_read` of the stream. */
  demand(): void {
    this.#demand = true;
    if (!this.#drained || this.#next < this.#chunks.length) this.schedule();
  }

  /** `read` of the stream was called, with something to take. */
  beforeRead(): void {
    if (this.#lent === 0) return;
    this.#handled += this.#lent;
    this.#lent = 0;
    this.schedule();
  }

  /** `read` of the stream gave something. */
  afterRead(): void {
    const left = this.#stream.readableLength;
    let held = this.#buffered.reduce((sum, length) => sum + length, 0);
    let count = 0;
    for (const length of this.#buffered) {
      held -= length;
      if (held < left) break;
      count++;
    }
    if (count === 0) return;
    this.#buffered.splice(0, count);
    if (this.#stream.readableFlowing === true) this.#handled += count;
    else this.#lent += count;
    this.schedule();
  }

  /** `read` of the stream was asked for more than there is. */
  afterShortRead(): void {
    this.#short = true;
    this.schedule();
  }

  /** Something may be wanted now. */
  schedule(): void {
    if (this.#scheduled || this.#pumping || this.#native === null) return;
    this.#scheduled = true;
    process.nextTick(this.#pumpLater);
  }

  // ---- the pump ----

  readonly #pumpLater = (): void => {
    this.#scheduled = false;
    guard(() => this.#pump(TURNS));
  };

  #wanted(): boolean {
    const stream = this.#stream;
    if (this.#manual) return stream.listenerCount("message") > 0 && !stream.isPaused();
    if (this.#short) return true;
    if (stream.readableLength > 0 || this.#lent > 0) return false;
    if (stream.readableFlowing !== null) return stream.readableFlowing || this.#demand;
    return this.#demand || stream.listenerCount("message") > 0;
  }

  #pump(turns: number): void {
    if (this.#pumping || this.#native === null) return;
    this.#pumping = true;
    let returned = false;
    try {
      for (;;) {
        while (this.#next < this.#chunks.length) {
          if (this.#native === null || !this.#wanted()) return void (returned = true);
          this.#deliver();
        }
        if (this.#ended) {
          this.#endStream();
          break;
        }
        if (this.#native === null || this.#drained || !this.#wanted()) break;
        if (turns-- === 0) {
          this.#scheduled = true;
          setImmediate(this.#pumpLater);
          break;
        }
        this.#fill(this.#native);
      }
      returned = true;
    } finally {
      this.#pumping = false;
      this.#current = null;
      if (returned) {
        this.#tellHandled();
        this.#observer.delivered();
      } else {
        // A listener threw. If the process survives that, the message counts as handled; if not, it will be
        // delivered to another host.
        this.#scheduled = true;
        setImmediate(() => {
          this.#handled++;
          this.#pumpLater();
        });
      }
    }
  }

  #tellHandled(): void {
    if (this.#handled > 0 && this.#native !== null) this.#native.handled(this.#handled);
    this.#handled = 0;
  }

  /** Pulls a batch; what was handled since the last one rides along. */
  #fill(native: NativeSocket): void {
    this.#chunks.length = 0;
    this.#seqs.length = 0;
    if (this.#again.size > 0) this.#again.clear();
    this.#next = 0;
    const handled = this.#handled;
    this.#handled = 0;
    let count = native.read(handled, slab, slabAt, meta);
    if (count < 0) {
      slab = Buffer.allocUnsafeSlow(Math.max(SLAB, -count));
      slabAt = 0;
      count = native.read(0, slab, slabAt, meta);
    }
    for (let i = 0; i < count; i++) {
      let length = meta[HEAD + 2 * i]!;
      if (length >= ATTEMPT) {
        this.#again.set(i, 1 + Math.floor(length / ATTEMPT));
        length %= ATTEMPT;
      }
      this.#chunks.push(slab.subarray(slabAt, (slabAt += length)));
      this.#seqs.push(meta[HEAD + 1 + 2 * i]!);
      this.#bytes += length;
    }
    const status: Read = meta[0]!;
    // From here on, listeners may run: another socket's batch then overwrites `meta`.
    this.#observer.pulled(count, meta[1] === 1, meta[2]!);
    switch (status) {
      case Read.Drained:
        this.#drained = true;
        break;
      case Read.Ended:
        this.#ended = true;
        break;
      case Read.Broken: {
        const failure = native.failure();
        if (failure !== null) this.#observer.broke(failure);
      }
    }
  }

  #describe(index: number): Message {
    const seq = this.#seqs[index]!;
    return new Message(this.#chunks[index]!, `${this.#id}:${seq}`, seq, this.#again.get(index) ?? 1, this.#handling);
  }

  #deliver(): void {
    const stream = this.#stream;
    const index = this.#next++;
    this.#current = null;
    if (stream.listenerCount("message") > 0) {
      stream.emit("message", (this.#current = this.#describe(index)));
      if (this.#manual) return;
      if (stream.readableFlowing === null) return void this.#handled++;
    }
    if (this.#native === null) return;
    const chunk = this.#chunks[index]!;
    this.#demand = this.#short = false;
    const before = stream.readableLength;
    // An empty message is no event, as an empty write is none on a net.Socket.
    if (chunk.length > 0) stream.push(chunk);
    const after = stream.readableLength;
    if (after === 0) this.#handled++;
    else this.#buffered.push(after - before);
  }

  #endStream(): void {
    const stream = this.#stream;
    if (stream.readableEnded || stream.destroyed) return;
    stream.push(null);
    // `end` comes even if nobody reads, when there is nothing left to read.
    stream.read(0);
  }
}
