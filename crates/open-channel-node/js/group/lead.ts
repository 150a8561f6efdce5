// Roles: something that runs in one member at a time.
import { checkSignal, type Core, type Part } from "./core.js";
import { closedError, invalidArgument } from "./errors.js";
import { Claim } from "./locks.js";

export interface LeadOptions {
  /** Takes the role from the member that has it. Default false. */
  steal?: boolean;
  /** Waits no longer; if the task runs, its own signal aborts. */
  signal?: AbortSignal;
}

/**
 * What runs for a role. `signal` aborts when the role is lost, the group is left, or the signal of
 * the call aborts. `token` grows from one leader to the next.
 */
export type LeadTask<T> = (signal: AbortSignal, token: bigint) => T | PromiseLike<T>;

/**
 * Waits for the role, runs the task, and gives the role up when that has ended. A task that has
 * lost its role meanwhile is run again, once it has ended and the role is free.
 */
export async function lead<T>(
  core: Core,
  role: string,
  task: LeadTask<T>,
  options: LeadOptions,
): Promise<T> {
  if (typeof task !== "function") throw invalidArgument("the task of a role must be a function");
  const { signal } = options;
  checkSignal(signal);
  for (let steal = options.steal ?? false; ; steal = false) {
    if (signal?.aborted) throw signal.reason;
    const claim = new Claim(core, role, "role", steal ? "steal" : "wait");
    await claim.held(signal);
    // It may have been stolen at once.
    if (claim.lost.aborted) continue;
    const { lost, result } = await run(core, claim, task, signal);
    if (lost) continue;
    return await result;
  }
}

/** Runs the task while the role is held. */
async function run<T>(
  core: Core,
  claim: Claim,
  task: LeadTask<T>,
  outer: AbortSignal | undefined,
): Promise<{ lost: boolean; result: Promise<T> }> {
  const inner = new AbortController();
  const abort = () => inner.abort(outer!.reason);
  const lose = () => inner.abort(claim.lost.reason);
  const leaving: Part = { end: (error) => inner.abort(error ?? closedError()) };
  core.add(leaving);
  claim.lost.addEventListener("abort", lose, { once: true });
  outer?.addEventListener("abort", abort, { once: true });
  const result = (async () => task(inner.signal, claim.token))();
  try {
    await result.catch(() => {});
    return { lost: claim.lost.aborted && !core.closing && !outer?.aborted, result };
  } finally {
    core.delete(leaving);
    outer?.removeEventListener("abort", abort);
    claim.release();
  }
}
