// One per JavaScript thread: hands what the addon reports to the object it concerns, and keeps the
// process alive for as long as something wants it alive.
import type { Wait } from "./bounds.js";
import { channelError } from "./errors.js";
import { addon, isMainThread, Reason, type Failure, type Hub } from "./native.js";
import { nextTick } from "./timers.js";

type Wake = (reasons: number) => void;

const objects = new Map<number, Wake>();
const requests = new Map<number, (failure: Failure | null | undefined) => void>();
let counter = 0;

// A worker thread may be terminated at any time. Its event loop must not have anything open then.
// Bun exports functions of libuv that end the process when an addon calls them.
const watches = isMainThread && process.versions.bun === undefined;
let made: Hub | undefined;
let listening = false;

/** The addon's side of this. Made when it is needed: loading this package starts nothing. */
export function hub(): Hub {
  return (made ??= new addon.Hub(watches ? readable : undefined));
}

/** Something can be woken. */
function listen(): void {
  if (listening) return;
  hub().listen(wake);
  listening = true;
  if (holders > 0) hub().hold();
}

/** Leaves nothing open when there is nothing left that could be woken. */
function rest(): void {
  if (!listening || objects.size > 0 || requests.size > 0) return;
  listening = false;
  hub().rest();
}

export function register(object: Wake): number {
  counter = (counter + 1) >>> 0 || 1;
  listen();
  objects.set(counter, object);
  return counter;
}

export function forget(token: number): void {
  objects.delete(token);
  rest();
}

/**
 * Runs something of the addon's that completes later. `withdraw` takes it back if nobody waits for
 * it any more, unless it has completed.
 */
export function request(
  start: (request: number) => void,
  syscall: string,
  channel: string,
  wait?: Wait,
  withdraw?: (request: number) => boolean,
): Promise<void> {
  counter = (counter + 1) >>> 0 || 1;
  const number = counter;
  return new Promise<void>((resolve, reject) => {
    listen();
    start(number);
    requests.set(number, (failure) =>
      failure ? reject(channelError(failure, syscall, channel)) : resolve(),
    );
    hold();
    if (withdraw === undefined) return;
    wait?.undo(() => {
      if (withdraw(number) && requests.delete(number)) release();
    });
  });
}

function readable(token: number): void {
  guard(() => objects.get(token)?.(Reason.Readable));
}

function wake(pairs: number[]): void {
  for (let i = 0; i < pairs.length; i += 2) {
    guard(() => objects.get(pairs[i]!)?.(pairs[i + 1]!));
  }
  for (const { request, failure } of hub().completed()) {
    const done = requests.get(request);
    requests.delete(request);
    release();
    done?.(failure);
  }
  rest();
}

/**
 * An error that a user's listener throws is an uncaught exception, as in an event emitter; it stops
 * nobody else.
 */
export function guard(f: () => void): void {
  try {
    f();
  } catch (error) {
    nextTick(() => {
      throw error;
    });
  }
}

let holders = 0;

export function hold(): void {
  if (holders++ === 0 && listening) hub().hold();
}

export function release(): void {
  if (--holders === 0 && listening) hub().release();
}

/** Keeps the process alive until what it returns is called. */
export function holding(): () => void {
  let held = true;
  hold();
  return () => {
    if (held) release();
    held = false;
  };
}
