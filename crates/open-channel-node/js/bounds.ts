// Limits to how long a call waits. When it ends, however it ends, nothing of the limits is left.
import { channelError } from "./errors.js";
import { amount } from "./options.js";
import { clearTimeout, setTimeout, type Timer } from "./timers.js";

/** How long a call waits. When it waits no longer, the thing that it waited for goes on. */
export interface Bounds {
  /** Milliseconds, after which the call fails with `ETIMEDOUT`. */
  timeout?: number;
  /**
   * Makes the call fail with an `AbortError` when it aborts; the signal's reason is its `cause`.
   */
  signal?: AbortSignal;
}

/**
 * One call that waits.
 * @internal
 */
export class Wait {
  /** Nobody waits any more. */
  over = false;
  readonly #undo: (() => void)[] = [];

  /** To be done if the call is given up before what it waits for has come. */
  undo(act: () => void): void {
    if (this.over) act();
    else this.#undo.push(act);
  }

  giveUp(): void {
    this.over = true;
    for (const act of this.#undo.splice(0)) act();
  }
}

/** The longest time that a timer takes. */
const LONGEST = 2 ** 31 - 1;

/**
 * Waits for what `run` does, within the bounds.
 * @internal
 */
export async function bounded<T>(
  bounds: Bounds | undefined,
  what: string,
  syscall: string,
  channel: string,
  run: (wait: Wait) => Promise<T>,
): Promise<T> {
  const wait = new Wait();
  const { timeout, signal } = bounds ?? {};
  if (timeout === undefined && signal === undefined) return run(wait);
  const within = timeout === undefined ? undefined : Math.min(amount(timeout, "timeout"), LONGEST);
  checkSignal(signal);
  let timer: Timer | undefined;
  let abort: (() => void) | undefined;
  const limit = new Promise<never>((_, reject) => {
    if (within !== undefined) {
      const late = () =>
        reject(
          channelError(
            { code: "ETIMEDOUT", message: `${what} took longer than ${timeout} ms` },
            syscall,
            channel,
          ),
        );
      timer = setTimeout(late, within);
    }
    if (signal === undefined) return;
    // A thing that goes on when nobody waits has to begin.
    if (signal.aborted) return reject(abortError(signal));
    abort = () => reject(abortError(signal));
    signal.addEventListener("abort", abort, { once: true });
  });
  const running = run(wait);
  try {
    return await Promise.race([limit, running]);
  } catch (error) {
    wait.giveUp();
    // Nobody is there for how it ends now.
    running.catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
    if (abort !== undefined) signal!.removeEventListener("abort", abort);
  }
}

function checkSignal(signal: unknown): void {
  if (
    signal === undefined ||
    (typeof signal === "object" && signal !== null && "aborted" in signal)
  )
    return;
  throw Object.assign(new TypeError("signal must be an AbortSignal"), {
    code: "ERR_INVALID_ARG_TYPE",
  });
}

/** As Node's own. */
function abortError(signal: AbortSignal): Error {
  const error = new Error("The operation was aborted", { cause: signal.reason });
  error.name = "AbortError";
  return Object.assign(error, { code: "ABORT_ERR" });
}
