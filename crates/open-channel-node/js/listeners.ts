// Calling listeners whose promises are waited for.
import { EventEmitter } from "node:events";

/** Emits an event as an emitter does, which would forget what its listeners return. */
export function emitCollecting(
  emitter: EventEmitter,
  event: string,
  argument: unknown,
  collect: (promise: PromiseLike<unknown>) => void,
): boolean {
  // A copy: listeners that are added or removed meanwhile change the next one.
  const listeners = emitter.rawListeners(event);
  for (const listener of listeners) {
    const returned: unknown = listener.call(emitter, argument);
    if (returned !== undefined && isPromise(returned)) collect(returned);
  }
  return listeners.length > 0;
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return value !== null && typeof (value as PromiseLike<unknown>).then === "function";
}

/** Gives a rejection to an emitter that wants it as an event. */
export function captureRejection(emitter: EventEmitter, error: unknown, event: string): void {
  (emitter as Captures)[EventEmitter.captureRejectionSymbol]!(error as Error, event);
}

type Captures = { [EventEmitter.captureRejectionSymbol]?(error: Error, event: string): void };
