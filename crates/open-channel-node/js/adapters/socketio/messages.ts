// The messages between Socket.IO servers, as bytes. What comes is checked before it is believed.
import { isAnyArrayBuffer } from "node:util/types";
import { deserialize, serialize } from "node:v8";
import { MessageType, type ClusterMessage, type ClusterResponse } from "socket.io-adapter";

/** The first byte if a structured clone follows, because there is binary data in it; else JSON. */
const CLONE = 0x01;

type Fields = Record<string, unknown>;

/** As Socket.IO's own parser sees it: what has a `toJSON` method is what that returns. */
export function encode(message: unknown): Buffer {
  if (!hasBinary(message)) return Buffer.from(JSON.stringify(message));
  return Buffer.concat([Buffer.of(CLONE), serialize(plain(message))]);
}

/** An answer, without the sockets that say of themselves what cannot be encoded. */
export function encodeAnswer(answer: unknown): Buffer {
  try {
    return encode(answer);
  } catch (error) {
    const { sockets } = answer as Fields;
    if (!Array.isArray(sockets)) throw error;
    return encode({ ...(answer as Fields), sockets: sockets.filter(isEncodable) });
  }
}

function isEncodable(value: unknown): boolean {
  try {
    encode(value);
    return true;
  } catch {
    return false;
  }
}

/** @throws If it was not encoded so. */
export function decode(bytes: unknown): Fields {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("it is no bytes");
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value: unknown =
    buffer[0] === CLONE ? plain(deserialize(buffer.subarray(1))) : JSON.parse(buffer.toString());
  if (typeof value !== "object" || value === null) throw new TypeError("it is no object");
  return value as Fields;
}

/** @throws If it is no message that a server sends. */
export function decodeMessage(bytes: unknown): ClusterMessage | ClusterResponse {
  const message = decode(bytes);
  const data = (message["data"] ?? {}) as Fields;
  const fine =
    isId(message["uid"]) &&
    typeof message["nsp"] === "string" &&
    typeof data === "object" &&
    isValid(message["type"] as MessageType, data);
  if (!fine) throw new TypeError("it is no message between Socket.IO servers");
  return message as ClusterMessage;
}

function isValid(type: MessageType, data: Fields): boolean {
  const asked = data["requestId"] === undefined || typeof data["requestId"] === "string";
  switch (type) {
    case MessageType.BROADCAST:
      return asked && isPacket(data["packet"]) && isTarget(data["opts"]);
    case MessageType.SOCKETS_JOIN:
    case MessageType.SOCKETS_LEAVE:
      return isTarget(data["opts"]) && areRooms(data["rooms"]);
    case MessageType.DISCONNECT_SOCKETS:
      return isTarget(data["opts"]);
    case MessageType.FETCH_SOCKETS:
      return typeof data["requestId"] === "string" && isTarget(data["opts"]);
    case MessageType.SERVER_SIDE_EMIT:
      return asked && Array.isArray(data["packet"]);
    case MessageType.BROADCAST_ACK:
      return typeof data["requestId"] === "string";
    default:
      return false;
  }
}

/** A packet of Socket.IO that is sent to clients. */
export function isPacket(value: unknown): boolean {
  const packet = value as Fields | null | undefined;
  return typeof packet === "object" && packet !== null && Array.isArray(packet["data"]);
}

/** Rooms, and rooms that are left out. */
export function isTarget(value: unknown): boolean {
  const target = value as Fields | null | undefined;
  if (typeof target !== "object" || target === null) return false;
  const flags = target["flags"] ?? {};
  return areRooms(target["rooms"]) && areRooms(target["except"]) && typeof flags === "object";
}

/** A server's or a session's id. It can be a part of a topic. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && /^[\w-]{1,64}$/.test(value);
}

/** Names of rooms. Socket.IO knows texts only, and people take numbers, too. */
export function areRooms(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((room) => typeof room !== "object" || room === null);
}

const isBinary = (value: unknown) => ArrayBuffer.isView(value) || isAnyArrayBuffer(value);

const hasJson = (value: object): value is { toJSON(): unknown } =>
  typeof (value as { toJSON?: unknown }).toJSON === "function";

function hasBinary(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (isBinary(value)) return true;
  if (Array.isArray(value)) return value.some(hasBinary);
  if (hasJson(value)) return hasBinary(value.toJSON());
  return Object.values(value).some(hasBinary);
}

/** JSON with binary data in it. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") throw new TypeError("a BigInt cannot be sent to clients");
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null || isBinary(value)) return value;
  if (Array.isArray(value)) return value.map(plain);
  if (hasJson(value)) return plain(value.toJSON());
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
}
