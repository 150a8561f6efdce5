// From the addon into the stream. What has arrived is pulled in batches, and put into the stream one message at a time: so
// none is glued to another or split, and what nobody reads stays in the addon, whose window then fills.
//
// Knows the stream and the addon's socket; what a connection is, and when it is reported, is the socket's business.
import type { Socket } from "node:net";
import { guard } from "./hub.js";
import { Message, type Handling } from "./message.js";
import { ATTEMPT, Read, type Failure, type NativeSocket } from "./native.js";
import { nextTick, setImmediate } from "./timers.js";

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
  /** Runs what calls listeners. */
  enter(pump: () => void): void;
  /** A batch of `count` messages was pulled; the connection as it was then. */
  pulled(count: number, connected: boolean, links: number): void;
  /** Everything that was pulled and wanted is delivered. */
  delivered(): void;
  broke(failure: Failure): void;
  /** The last message that somebody still had to deal with is dealt with. */
  settled(): void;
  /** A promise that a listener returned was rejected. Throws, unless somebody else sees to that. */
  rejected(error: unknown): void;
}

type Promises = PromiseLike<unknown>[];

export class Incoming {
  readonly #stream: Socket;
  readonly #observer: Observer;
  readonly #manual: boolean;
  readonly #id: string;
  readonly #handling: Handling;
  /** Where messages come from; null when none is wanted any more. */
  #native: NativeSocket | null;
  /** Where they are acknowledged, for longer. */
  #lender: NativeSocket | null;

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
  readonly #buffered: Buffered[] = [];
  /** Messages that a `read()` handed out; the next `read()` tells that they were dealt with. */
  #lent: Buffered[] = [];
  /** The one in the stream's buffer that listeners run for. */
  #reading: Buffered | null = null;
  /**
   * Messages that listeners still deal with: their promises are pending, or `ack()` was not called.
   */
  #held = 0;
  /** The message that listeners run for; 0 if none does. */
  #delivering = 0;
  /** What these listeners have returned and is not settled yet. */
  #promises: Promises | null = null;
  /** A `read(size)` found too little. */
  #short = false;
  /** Somebody called `read` on a stream that does not flow. */
  #byHand = false;
  /** Handled, and not yet told to the addon. */
  #handled = 0;
  /** The addon has nothing, and will wake us when it has. */
  #drained = false;
  #ended = false;
  /** The end comes when nothing is held any more. */
  #waits = false;
  #pumping = false;
  #scheduled = false;
  #bytes = 0;

  constructor(stream: Socket, native: NativeSocket, manual: boolean, observer: Observer) {
    this.#stream = stream;
    this.#native = this.#lender = native;
    this.#id = native.id;
    this.#manual = manual;
    this.#handling = {
      manual,
      acknowledge: (seq) => this.#settle(seq, null, true),
      giveBack: (seq, pause) => this.#dealWith(() => this.#lender?.giveBack(seq, pause)),
      reject: (seq, reason) => this.#dealWith(() => this.#lender?.reject(seq, reason)),
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

  /** A listener runs, or somebody has not dealt with a message yet. */
  get busy(): boolean {
    return this.#delivering !== 0 || this.#held > 0;
  }

  /** The message that is being delivered. */
  get message(): Message | null {
    if (this.#delivering === 0) return null;
    return (this.#current ??= this.#described());
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

  /**
   * Nothing more is delivered here: it is for the next host. If what was delivered can still be
   * acknowledged, the end `waits` until it is dealt with.
   */
  handOver(waits: boolean): void {
    this.#waits = waits;
    this.#tellHandled();
    this.#native?.giveBackLast(this.#chunks.length - this.#next);
    this.#chunks.length = this.#seqs.length = this.#next;
    this.end();
  }

  /** No more messages. What was delivered can still be acknowledged. */
  stop(): void {
    this.#tellHandled();
    this.#native = null;
  }

  /** Nothing can be acknowledged any more. What was not stays unhandled. */
  letGo(): void {
    this.#tellHandled();
    this.#native = this.#lender = null;
  }

  // ---- what becomes of a message ----

  /** Whether what listeners return is to be waited for. */
  get collects(): boolean {
    return this.#delivering !== 0 && !this.#manual;
  }

  /** A listener that is called for the present message returned a promise. */
  collect(promise: PromiseLike<unknown>): void {
    (this.#promises ??= []).push(promise);
  }

  /**
   * Listeners have dealt with a message, but for `promises`. Its `description`, if anybody asked
   * for one, tells whether they gave it back.
   */
  #returned(seq: number, description: Message | null, promises: Promises | null): void {
    if (promises !== null) this.#await(seq, description, promises);
    else if (description?.end() === false) return;
    else if (this.#held === 0) this.#handled++;
    // Those before it are not all dealt with: counting would acknowledge the wrong ones.
    else this.#lender?.acknowledge(seq);
  }

  #await(seq: number, description: Message | null, promises: Promises): void {
    this.#hold();
    let pending = promises.length;
    let failed = false;
    const settle = () => {
      if (--pending === 0) this.#settle(seq, description, !failed);
    };
    for (const promise of promises) {
      void Promise.resolve(promise).then(settle, (error) => {
        failed = true;
        settle();
        this.#observer.rejected(error);
      });
    }
  }

  #hold(): void {
    // What is counted comes before it.
    this.#tellHandled();
    this.#held++;
  }

  #settle(seq: number, description: Message | null, handled: boolean): void {
    // Given back already, it may have been delivered anew under the same number.
    if (description?.end() === false) return this.#settled();
    if (handled) this.#lender?.acknowledge(seq);
    else this.#lender?.giveBack(seq, -1);
    this.#settled();
  }

  /** A message is given back or rejected by name. */
  #dealWith(deal: () => void): void {
    // What is counted comes before it.
    this.#tellHandled();
    deal();
    if (this.#manual) this.#settled();
  }

  #settled(): void {
    if (--this.#held > 0) return;
    if (this.#waits) this.#endStream();
    this.#observer.settled();
  }

  // ---- what the stream asks for ----

  /** `_read` of the stream. */
  demand(): void {
    this.#demand = true;
    if (!this.#drained || this.#next < this.#chunks.length) this.schedule();
  }

  /** `read` of the stream was called, with something to take. */
  beforeRead(): void {
    if (this.#stream.readableFlowing !== true) this.#byHand = true;
    if (this.#lent.length === 0) return;
    for (const { seq, described } of this.#lent) this.#returned(seq, described, null);
    this.#lent = [];
    this.schedule();
  }

  /** Runs `read` of the stream, which may call listeners. */
  reading<T>(read: () => T): T {
    const first = this.#buffered[0];
    // A listener may pause it.
    const flowing = this.#stream.readableFlowing === true;
    const delivering = this.#delivering;
    const reading = this.#reading;
    const current = this.#current;
    if (first !== undefined) {
      this.#delivering = first.seq;
      this.#reading = first;
      this.#current = null;
    }
    let returned = false;
    try {
      const chunk = read();
      returned = true;
      if (chunk !== null) this.#afterRead(flowing, true);
      // Asked for, and perhaps at hand, but not in the stream.
      else this.schedule();
      return chunk;
    } finally {
      if (!returned) this.#afterRead(flowing, false);
      this.#delivering = delivering;
      this.#reading = reading;
      this.#current = current;
    }
  }

  /** `read` of the stream gave something, or a listener threw it out. */
  #afterRead(flowing: boolean, returned: boolean): void {
    const promises = this.#promises;
    this.#promises = null;
    const left = this.#stream.readableLength;
    let held = this.#buffered.reduce((sum, { length }) => sum + length, 0);
    let count = 0;
    for (const { length } of this.#buffered) {
      held -= length;
      if (held < left) break;
      count++;
    }
    if (count === 0) return;
    for (const message of this.#buffered.splice(0, count)) {
      const { seq, early, described } = message;
      const awaited = early === null ? promises : [...early, ...(promises ?? [])];
      if (!returned) this.#giveBack(seq, described);
      else if (flowing || awaited !== null) this.#returned(seq, described, awaited);
      else this.#lent.push(message);
    }
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
    nextTick(this.#pumpLater);
  }

  // ---- the pump ----

  readonly #pumpLater = (): void => {
    this.#scheduled = false;
    guard(() => this.#observer.enter(() => this.#pump(TURNS)));
  };

  #wanted(): boolean {
    const stream = this.#stream;
    if (this.#manual) return stream.listenerCount("message") > 0 && !stream.isPaused();
    if (this.#short) return true;
    if (stream.readableLength > 0 || this.#lent.length > 0) return false;
    if (stream.readableFlowing === true) return true;
    // The stream asks for more in any case, in order to notice the end.
    if (this.#demand && (this.#byHand || stream.listenerCount("readable") > 0)) return true;
    return stream.readableFlowing === null && stream.listenerCount("message") > 0;
  }

  /** The stream asked for more: the end may be next. */
  #awaitsEnd(): boolean {
    return this.#demand && !this.#manual;
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
        if (this.#native === null || this.#drained) break;
        if (!this.#wanted() && !this.#awaitsEnd()) break;
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
      if (returned) {
        this.#tellHandled();
        this.#observer.delivered();
      } else {
        // A listener threw, and has not handled its message. If the process survives that, the
        // others come.
        if (this.#delivering !== 0) this.#giveBack(this.#delivering, this.#current);
        this.#delivering = 0;
        this.#current = null;
        this.#promises = null;
        this.#scheduled = true;
        setImmediate(this.#pumpLater);
      }
    }
  }

  /**
   * A listener threw. Most processes die of that, which is the end of the attempt; giving the
   * message back as well would count another one.
   */
  #giveBack(seq: number, description: Message | null): void {
    this.#tellHandled();
    if (this.#manual) return;
    this.#hold();
    setImmediate(() => this.#settle(seq, description, false));
  }

  #tellHandled(): void {
    if (this.#handled > 0) this.#lender?.handled(this.#handled);
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

  /** The message that listeners run for. */
  #described(): Message {
    const buffered = this.#reading;
    if (buffered !== null) return (buffered.described ??= this.#describe(buffered));
    const index = this.#next - 1;
    const attempt = this.#attempt(index);
    return this.#describe({ chunk: this.#chunks[index]!, seq: this.#seqs[index]!, attempt });
  }

  #describe({ chunk, seq, attempt }: Delivery): Message {
    return new Message(chunk, `${this.#id}:${seq}`, seq, attempt, this.#handling);
  }

  #attempt(index: number): number {
    return this.#again.get(index) ?? 1;
  }

  #deliver(): void {
    const seq = this.#seqs[this.#next]!;
    this.#delivering = seq;
    this.#current = null;
    const passed = this.#emit(this.#next++, seq);
    this.#delivering = 0;
    const promises = this.#promises;
    const description = this.#current;
    this.#promises = null;
    this.#current = null;
    if (passed === Passed.Whole) this.#returned(seq, description, promises);
    // Who is called for it later may have been called for it as a `message` already.
    else if (passed === Passed.Buffered) {
      const buffered = this.#buffered.at(-1)!;
      buffered.early = promises;
      buffered.described = description;
    }
  }

  #emit(index: number, seq: number): Passed {
    const stream = this.#stream;
    if (stream.listenerCount("message") > 0) {
      this.#current = this.#described();
      if (this.#manual) this.#hold();
      stream.emit("message", this.#current);
      if (this.#manual) return Passed.Held;
      if (stream.readableFlowing === null) return Passed.Whole;
    }
    if (stream.destroyed) return Passed.Whole;
    const chunk = this.#chunks[index]!;
    this.#demand = this.#short = this.#byHand = false;
    const before = stream.readableLength;
    // An empty message is no event, as an empty write is none on a net.Socket.
    if (chunk.length > 0) stream.push(chunk);
    const after = stream.readableLength;
    if (after === 0) return Passed.Whole;
    const length = after - before;
    const attempt = this.#attempt(index);
    this.#buffered.push({ length, chunk, seq, attempt, early: null, described: null });
    return Passed.Buffered;
  }

  #endStream(): void {
    const stream = this.#stream;
    if (stream.readableEnded || stream.destroyed) return;
    // The reader of the last message comes back when it has dealt with it, and must find the stream
    // open then.
    if (this.#buffered.length > 0 || this.#lent.length > 0) return;
    if (this.#waits && this.busy) return;
    stream.push(null);
    // `end` comes even if nobody reads, when there is nothing left to read.
    stream.read(0);
  }
}

/** How far the listeners have come with a message. */
const enum Passed {
  /** All have returned. */
  Whole,
  /** It is in the stream, and nobody has read it yet. */
  Buffered,
  /** They acknowledge it themselves. */
  Held,
}

/** One attempt at a message. */
interface Delivery {
  readonly chunk: Buffer;
  readonly seq: number;
  readonly attempt: number;
}

/** A message in the stream's buffer, or that a `read()` handed out. */
interface Buffered extends Delivery {
  /** What it added to the stream's length. */
  readonly length: number;
  /** What `message` listeners returned for it. */
  early: Promises | null;
  /** Made when somebody asks for it. */
  described: Message | null;
}
