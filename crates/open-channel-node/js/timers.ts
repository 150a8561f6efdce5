// The timers of Node. A test runner may have put others in their place, which stand still: Jest
// shows its tests a `process` and globals of their own, Sinon changes the real ones.
import * as timers from "node:timers";
import { addon } from "./native.js";

const real = addon.globals().process ?? process;

/** `process.nextTick` */
export const nextTick = original(real, "nextTick");
export const setImmediate = original(timers, "setImmediate");
export const setTimeout = original(timers, "setTimeout");
export const clearTimeout = original(timers, "clearTimeout");

/** Sinon's clock has what it has replaced. */
function original<T extends object, N extends keyof T & string>(place: T, name: N): T[N] {
  const found = place[name] as { clock?: Record<string, T[N]> } & T[N];
  return found.clock?.[`_${name}`] ?? found;
}
