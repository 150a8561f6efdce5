// From the addon into the stream. Messages that have arrived are pulled in batches, and put into
// the stream one at a time: so none is glued to another or split, and what nobody reads stays in
// the addon, whose window then fills.
//
// Knows the stream and the addon's socket; what a connection is, and when it is reported, is the
// socket's business.
import type { Socket } from "node:net";
import { Acknowledgements, type Outcome, type Promises } from "./acknowledgements.js";
import { Batch, type Delivery } from "./batch.js";
import { guard } from "./hub.js";
import { Message } from "./message.js";
import { Read, type Failure, type NativeSocket } from "./native.js";
import { forgetCharacter, ReadBuffer, type Buffered } from "./buffered.js";
import { nextTick, setImmediate } from "./timers.js";

/** Batches handled before the event loop gets a turn. */
const TURNS = 2;
/** More batches than a window of empty messages holds. */
const ALL = 64;

/** The socket, as it learns of what comes. */
export interface Observer extends Outcome {
  /** Runs what calls listeners. */
  enter(pump: () => void): void;
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
  readonly #acknowledgements: Acknowledgements;
  readonly #batch = new Batch();
  readonly #buffer: ReadBuffer;
  /** Where messages come from; null when none is wanted any more. */
  #native: NativeSocket | null;

  /** The message that listeners run for; 0 if none does. */
  #delivering = 0;
  /** The same, if it comes out of the stream's buffer. */
  #reading: Buffered | null = null;
  /** The same, as somebody has asked for it. */
  #current: Message | null = null;
  /** The promises that these listeners have returned. */
  #promises: PromiseLike<unknown>[] | null = null;
  /** `data` was emitted for it. */
  #shown = false;

  /** The stream asked for more since the last delivery. */
  #demand = false;
  /** A `read(size)` found too little. */
  #short = false;
  /** Somebody called `read` on a stream that does not flow. */
  #byHand = false;
  /** The addon has nothing, and will wake us when it has. */
  #drained = false;
  #ended = false;
  /** The stream knows of its end: no reader has to come back any more. */
  #over = false;
  #handedOver = false;
  /** The end comes when nothing is held any more. */
  #waits = false;
  #pumping = false;
  #scheduled = false;
  #bytes = 0;

  constructor(stream: Socket, native: NativeSocket, manual: boolean, observer: Observer) {
    this.#stream = stream;
    this.#native = native;
    this.#id = native.id;
    this.#manual = manual;
    this.#buffer = new ReadBuffer(stream);
    this.#observer = observer;
    this.#acknowledgements = new Acknowledgements(native, manual, {
      settled: () => this.#settled(),
      rejected: (error) => observer.rejected(error),
    });
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
    return this.#delivering !== 0 || this.#acknowledgements.pending;
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

  // ---- the end ----

  /** The other side has gone: what it had said is still delivered. */
  end(): void {
    this.#ended = true;
    if (this.#batch.left === 0) this.#endStream();
  }

  /**
   * Nothing more is delivered here: it is for the next host. If what was delivered can still be
   * acknowledged, the end `waits` until it is dealt with.
   */
  handOver(waits: boolean): void {
    this.#handedOver = true;
    this.#waits = waits;
    this.#acknowledgements.report();
    this.#native?.giveBackLast(this.#batch.left);
    this.#batch.clear();
    if (this.#stream.readableLength === 0) this.#leaveParts();
    this.end();
  }

  /** No more messages. Those that were delivered can still be acknowledged. */
  stop(): void {
    this.#acknowledgements.report();
    this.#native = null;
  }

  /** Nothing can be acknowledged any more. All others stay unhandled. */
  letGo(): void {
    this.#acknowledgements.letGo();
    this.#native = null;
  }

  #settled(): void {
    if (this.#waits) this.#endStream();
    this.#observer.settled();
  }

  #endStream(): void {
    const stream = this.#stream;
    if (stream.readableEnded || stream.destroyed) return;
    // The reader of the last message comes back when it has dealt with it, and must find the stream
    // open then.
    if (stream.readableLength > 0 || this.#buffer.lending) return;
    if (this.#waits && this.busy) return;
    if (this.#handedOver) this.#leaveParts();
    this.#buffer.cutOff();
    this.#over = true;
    stream.push(null);
    // `end` comes even if nobody reads, when there is nothing left to read.
    stream.read(0);
    // Not every encoding has a text for half a character.
    if (stream.readableLength === 0) this.#returned(this.#buffer.takeAll(), null);
    this.#acknowledgements.report();
  }

  /**
   * The rest of a character does not come here: the next host gets the message from its beginning.
   */
  #leaveParts(): void {
    for (const { seq, description } of this.#buffer.takeAll()) {
      this.#acknowledgements.leave(seq, description);
    }
    forgetCharacter(this.#stream);
  }

  // ---- what listeners do ----

  /** Whether what listeners return is to be waited for. */
  get collects(): boolean {
    return this.#delivering !== 0 && !this.#manual;
  }

  /** Listeners are called with the data of the present message. */
  show(): void {
    this.#shown = true;
  }

  /** A listener that is called for the present message returned a promise. */
  collect(promise: PromiseLike<unknown>): void {
    (this.#promises ??= []).push(promise);
  }

  /** Listeners have dealt with messages, but for promises: of each, and of the last call. */
  #returned(messages: Buffered[], promises: Promises | null): void {
    for (const { seq, description, promises: early } of messages) {
      this.#acknowledgements.returned(seq, description, both(early, promises), this.#buffer.empty);
    }
  }

  #threw(messages: Buffered[]): void {
    for (const { seq, description } of messages) this.#acknowledgements.threw(seq, description);
  }

  // ---- what the stream asks for ----

  /** `_read` of the stream. */
  demand(): void {
    this.#demand = true;
    if (!this.#drained || this.#batch.left > 0) this.schedule();
  }

  /** The stream has been given an encoding. */
  decode(): void {
    this.#buffer.decoded();
  }

  /** `read` of the stream was called, with something to take. */
  beforeRead(): void {
    if (this.#stream.readableFlowing !== true) this.#byHand = true;
    if (!this.#buffer.lending) return;
    this.#returned(this.#buffer.takeLent(), null);
    this.schedule();
  }

  /** Runs `read` of the stream, which may call listeners. */
  reading<T>(read: () => T): T {
    const first = this.#buffer.first;
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
    const messages = this.#buffer.takeRead();
    const { part } = this.#buffer;
    if (!returned) {
      this.#threw([...messages, ...this.#buffer.takePart()]);
    } else if (flowing || this.#over) {
      this.#returned(messages, promises);
      if (part !== undefined) part.promises = both(part.promises, promises);
    } else {
      for (const message of messages) {
        message.promises = both(message.promises, promises);
        if (message.promises !== null) this.#returned([message], null);
        else this.#buffer.lend(message);
      }
      if (part !== undefined) this.#buffer.lendPart();
    }
    if (messages.length > 0 || part !== undefined) this.schedule();
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

  #wanted(): boolean {
    const stream = this.#stream;
    if (this.#manual) return stream.listenerCount("message") > 0 && !stream.isPaused();
    if (this.#short) return true;
    if (stream.readableLength > 0 || this.#buffer.lending) return false;
    if (stream.readableFlowing === true) return true;
    // The stream asks for more in any case, in order to notice the end.
    if (this.#demand && (this.#byHand || stream.listenerCount("readable") > 0)) return true;
    return stream.readableFlowing === null && stream.listenerCount("message") > 0;
  }

  /** The stream asked for more: the end may be next. */
  #awaitsEnd(): boolean {
    return this.#demand && !this.#manual;
  }

  // ---- the pump ----

  readonly #pumpLater = (): void => {
    this.#scheduled = false;
    guard(() => this.#observer.enter(() => this.#pump(TURNS)));
  };

  #pump(turns: number): void {
    if (this.#pumping || this.#native === null) return;
    this.#pumping = true;
    let returned = false;
    try {
      for (;;) {
        while (this.#batch.left > 0) {
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
        this.#acknowledgements.report();
        this.#observer.delivered();
      } else {
        // A listener threw. If the process goes on after that, the others come.
        this.#notDelivered();
        this.#scheduled = true;
        setImmediate(this.#pumpLater);
      }
    }
  }

  /** Pulls a batch; what was handled since the last one rides along. */
  #fill(native: NativeSocket): void {
    const handled = this.#acknowledgements.take();
    const { count, bytes, status, connected, links } = this.#batch.pull(native, handled);
    this.#bytes += bytes;
    this.#observer.pulled(count, connected, links);
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

  #deliver(): void {
    const seq = this.#batch.advance();
    this.#delivering = seq;
    this.#current = null;
    this.#shown = false;
    const emitted = this.#emit();
    const before = this.#stream.readableLength;
    const pushed = !this.#manual && this.#push(emitted);
    const [promises, description] = [this.#promises, this.#current];
    this.#delivering = 0;
    this.#promises = null;
    this.#current = null;
    // Its text has completed the characters that those before it had begun.
    if (this.#shown) this.#returned(this.#buffer.takeAll(), promises);
    if (this.#manual) return;
    if (pushed && this.#buffer.keeps) {
      // Listeners that are called for it later come on top.
      this.#buffer.add(this.#batch.current, before, promises, description);
    } else {
      this.#acknowledgements.returned(seq, description, promises, this.#buffer.empty);
    }
  }

  /** Calls the `message` listeners. False if there is none. */
  #emit(): boolean {
    if (this.#stream.listenerCount("message") === 0) return false;
    this.#current = this.#described();
    if (this.#manual) this.#acknowledgements.hold();
    return this.#stream.emit("message", this.#current);
  }

  /** Puts the message into the stream. False if nobody is to read it there. */
  #push(emitted: boolean): boolean {
    const stream = this.#stream;
    if (stream.destroyed || (emitted && stream.readableFlowing === null)) return false;
    this.#demand = this.#short = this.#byHand = false;
    const { chunk } = this.#batch;
    // An empty message is no event, as an empty write is none on a net.Socket.
    if (chunk.length === 0) return false;
    stream.push(chunk);
    return true;
  }

  /** A listener threw, and has not handled its message. */
  #notDelivered(): void {
    if (this.#delivering === 0) return;
    if (this.#shown) this.#threw(this.#buffer.takeAll());
    this.#acknowledgements.threw(this.#delivering, this.#current);
    this.#delivering = 0;
    this.#current = null;
    this.#promises = null;
  }

  /** The message that listeners run for. */
  #described(): Message {
    const buffered = this.#reading;
    if (buffered !== null) return (buffered.description ??= this.#describe(buffered));
    return this.#describe(this.#batch.current);
  }

  #describe({ chunk, seq, attempt }: Delivery): Message {
    const { handling } = this.#acknowledgements;
    return new Message(chunk, `${this.#id}/${seq}`, seq, attempt, handling);
  }
}

function both(first: Promises | null, second: Promises | null): Promises | null {
  if (first === null || second === null) return first ?? second;
  return [...first, ...second];
}
