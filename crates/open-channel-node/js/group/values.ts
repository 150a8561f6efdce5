// Values as bytes. docs/GROUP-PROTOCOL.md has the encoding for members in other languages.
import { isUint8Array } from "node:util/types";
import { deserialize, serialize } from "node:v8";

/** No text in UTF-8 begins with it. */
const MARK = 0xff;
/** After the mark: the bytes that follow are meant as they are. */
const BYTES = 0x00;
/** After the mark: a structured clone follows. */
const CLONE = 0x01;

/**
 * Bytes stay as they are; everything else is cloned.
 * @throws A `DataCloneError` if that cannot be.
 */
export function encode(value: unknown): Uint8Array {
  if (isUint8Array(value)) return isMarked(value) ? marked(BYTES, value) : value;
  return marked(CLONE, clone(value));
}

/** What V8, or another engine, says of a value that cannot be cloned. */
const UNCLONABLE = /could not be cloned|^Unserializable host object/;

function clone(value: unknown): Uint8Array {
  try {
    return serialize(value);
  } catch (error) {
    const { message } = (error ?? {}) as Error;
    // Else a getter has thrown it, and it comes through as it is.
    if (!(error instanceof Error) || !UNCLONABLE.test(message)) throw error;
    throw new DOMException(message, "DataCloneError");
  }
}

/** @throws If it was no clone, or is one of another engine. */
export function decode(bytes: Buffer): unknown {
  if (!isMarked(bytes)) return bytes;
  const rest = bytes.subarray(2);
  if (bytes[1] === BYTES) return rest;
  try {
    return deserialize(rest);
  } catch (cause) {
    const message = "the bytes are marked as a structured clone, and this engine cannot read it";
    throw Object.assign(new Error(message, { cause }), { code: "ERR_OPEN_CHANNEL_INVALID_VALUE" });
  }
}

/** A whole number as other languages write it, and as `increment` knows it. */
const NUMBER = /^(?:0|-?[1-9][0-9]{0,18})$/;

/** As `encode`, for the values of a map: safe integers are decimal digits. */
export function encodeEntry(value: unknown): Uint8Array {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return Buffer.from(String(value));
  if (isUint8Array(value) && isNumber(value)) return marked(BYTES, value);
  return encode(value);
}

/** As `decode`, for the values of a map. Numbers that are not safe are bigints. */
export function decodeEntry(bytes: Buffer): unknown {
  if (!isNumber(bytes)) return decode(bytes);
  const number = Number(bytes.toString("latin1"));
  return Number.isSafeInteger(number) ? number : BigInt(bytes.toString("latin1"));
}

const isNumber = (bytes: Uint8Array) =>
  bytes.length <= 20 && NUMBER.test(String.fromCharCode(...bytes));

const isMarked = (bytes: Uint8Array) =>
  bytes.length > 1 && bytes[0] === MARK && (bytes[1] === BYTES || bytes[1] === CLONE);

function marked(kind: number, bytes: Uint8Array): Uint8Array {
  const all = Buffer.allocUnsafe(bytes.length + 2);
  all[0] = MARK;
  all[1] = kind;
  all.set(bytes, 2);
  return all;
}
