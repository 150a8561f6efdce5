// Messages in the stream's own buffer, and those of which a reader has a part. There is one, unless
// somebody wants more at a time than it has, or a message ends inside a character: a stream with an
// encoding keeps such an end until the rest of the character comes.
import type { Readable } from "node:stream";
import type { Promises } from "./acknowledgements.js";
import type { Delivery } from "./batch.js";
import type { Message } from "./message.js";

/** A message that was put into the stream. */
export interface Buffered extends Delivery {
  /** How much it added to the stream's length. */
  length: number;
  /** It ends inside a character, which the text after it completes. */
  cut: boolean;
  /** All of it was read, but for that character. */
  read: boolean;
  /** The promises that listeners have returned for it so far. */
  promises: Promises | null;
  /** Made when somebody asks for it. */
  description: Message | null;
}

export class ReadBuffer {
  readonly #stream: Readable;
  /** Oldest first. */
  readonly #messages: Buffered[] = [];
  /** Messages that a `read()` handed out; the next `read()` reports them as dealt with. */
  #lent: Buffered[] = [];
  /** A `read()` handed out the first one, but for its last character. */
  #lentPart = false;

  constructor(stream: Readable) {
    this.#stream = stream;
  }

  /** All that was put into it is dealt with. */
  get empty(): boolean {
    return this.#messages.length === 0;
  }

  /** A reader has not come back yet. */
  get lending(): boolean {
    return this.#lent.length > 0 || this.#lentPart;
  }

  /** The message that a `read()` now begins with. */
  get first(): Buffered | undefined {
    return this.#messages.find(({ read }) => !read) ?? this.#messages[0];
  }

  /** The message that has been read but for its last character. */
  get part(): Buffered | undefined {
    const first = this.#messages[0];
    return first?.read ? first : undefined;
  }

  /** Puts in what was pushed last, when the stream had `before` in its buffer. */
  add(
    delivery: Delivery,
    before: number,
    promises: Promises | null,
    description: Message | null,
  ): void {
    const length = this.#stream.readableLength - before;
    const cut = insideCharacter(this.#stream);
    const read = this.#stream.readableLength === 0;
    this.#messages.push({ ...delivery, length, cut, read, promises, description });
  }

  /** The message that was pushed last is still here, or a part of it. */
  get keeps(): boolean {
    return this.#stream.readableLength > 0 || insideCharacter(this.#stream);
  }

  /** Takes out everything. */
  takeAll(): Buffered[] {
    this.#lentPart = false;
    return this.#messages.splice(0);
  }

  /** Takes out what has been read to its end. */
  takeRead(): Buffered[] {
    const left = this.#stream.readableLength;
    let unread = this.#messages.reduce((sum, { length }) => sum + length, 0);
    let count = 0;
    for (const message of this.#messages) {
      unread -= message.length;
      if (unread < left) break;
      // The last character of a message that is cut is the next one after it.
      if (message.cut && unread === left) {
        message.read = true;
        break;
      }
      count++;
    }
    return this.#messages.splice(0, count);
  }

  /** Takes out the message that has been read but for its last character, if there is one. */
  takePart(): Buffered[] {
    return this.#messages.splice(0, this.part === undefined ? 0 : 1);
  }

  /** A reader has it, and is to come back. */
  lend(message: Buffered): void {
    this.#lent.push(message);
  }

  /** A reader has the first one, but for its last character, and is to come back. */
  lendPart(): void {
    this.#lentPart = true;
  }

  /** The reader has come back from these. */
  takeLent(): Buffered[] {
    this.#lentPart = false;
    const lent = this.#lent;
    if (lent.length > 0) this.#lent = [];
    return lent;
  }

  /** The stream has been given an encoding, and its buffer is text now. */
  decoded(): void {
    const cut = insideCharacter(this.#stream);
    // It does not say which part is whose: all of it is read before the first is handled.
    this.#messages.forEach((message, index) => {
      message.length = index === 0 ? this.#stream.readableLength : 0;
      message.cut = cut;
    });
  }

  /** No character is completed any more: what there is of one is text now. */
  cutOff(): void {
    for (const message of this.#messages) message.cut = false;
  }
}

/** The part of a stream's decoder that says how many bytes a character lacks. */
interface Decoder {
  readonly lastNeed?: number;
  end(): string;
}

const decoderOf = (stream: Readable) =>
  (stream as { _readableState?: { decoder?: Decoder | null } })._readableState?.decoder;

/** The stream has the beginning of a character. */
function insideCharacter(stream: Readable): boolean {
  return (decoderOf(stream)?.lastNeed ?? 0) > 0;
}

/** Forgets the beginning of a character, which comes again elsewhere. */
export function forgetCharacter(stream: Readable): void {
  decoderOf(stream)?.end();
}
