// Timers that go on while a test runner lets time stand still. Each is one that Node's own modules
// use inside, because a runner puts others in the place of `setTimeout` and `setImmediate`, and not
// every runner says which ones it has replaced.
import { Socket } from "node:net";
import { scheduler } from "node:timers/promises";
import { addon } from "./native.js";

const real: NodeJS.Process = addon.globals().process ?? process;

/**
 * `process.nextTick`. Jest shows its tests a `process` of their own; Sinon changes the real one,
 * and its clock has what it has replaced.
 */
export const nextTick = original(real.nextTick);

function original(found: Tick & { clock?: { _nextTick?: Tick } }): Tick {
  return found.clock?._nextTick ?? found;
}

type Tick = typeof process.nextTick;

const { yield: turn } = scheduler;

/** Calls back after the event loop has looked for what else there is. */
export function setImmediate(callback: () => void): void {
  // An error that it throws is an uncaught exception, and no rejection.
  void turn.call(scheduler).then(() => nextTick(callback));
}

/** Calls back after `delay` milliseconds, which does not keep the process alive. */
export function setTimeout(callback: () => void, delay: number): Timer {
  const timer = new Socket();
  // For a socket, no time at all is no limit.
  timer.setTimeout(Math.max(1, delay), callback);
  return timer;
}

export function clearTimeout(timer: Timer | undefined): void {
  timer?.setTimeout(0);
}

/** A wait for a time. A socket without a connection has a timer all the same. */
export type Timer = Socket;
