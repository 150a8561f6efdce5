// Locks.
import { dispose } from "../dispose.js";
import { forget, hold, register, release } from "../hub.js";
import { checkSignal, checkText, type Core, type Part } from "./core.js";
import { closedError, GroupError, invalidArgument, raised } from "./errors.js";
import { groups, LockState, type NativeLock } from "./native.js";

export interface LockOptions {
  /** Whether others may hold it at the same time, if theirs is shared, too. */
  mode?: "exclusive" | "shared";
  /** Does not wait: `null` if it is not free. */
  ifAvailable?: boolean;
  /** Takes it from its holders, before all who wait. They learn that they have lost it. */
  steal?: boolean;
  /** Leaves the line. */
  signal?: AbortSignal;
}

/** A lock, from the place in its line until it is let go. */
export class Claim implements Part {
  readonly #core: Core;
  readonly #native: NativeLock;
  readonly #token: number;
  readonly #lost = new AbortController();
  #waiting: { resolve(held: boolean): void; reject(error: unknown): void } | undefined;
  #over = false;

  constructor(
    core: Core,
    name: string,
    mode: "exclusive" | "shared" | "role",
    wait: "wait" | "try" | "steal",
  ) {
    core.check();
    checkText(name, "name");
    this.#core = core;
    this.#token = register(() => this.#look());
    try {
      this.#native = new groups.NativeLock(core.native, this.#token, name, mode, wait);
    } catch (error) {
      forget(this.#token);
      throw raised(error);
    }
    core.add(this);
  }

  /** Aborted when the lock is lost: it was stolen, or the group is over. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get token(): bigint {
    return BigInt(this.#native.token() ?? 0);
  }

  /** Waits until it is held. False if it is not free. */
  async held(signal?: AbortSignal): Promise<boolean> {
    let abort: (() => void) | undefined;
    try {
      const held = await new Promise<boolean>((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        this.#waiting = { resolve, reject };
        abort = () => reject(signal!.reason);
        signal?.addEventListener("abort", abort, { once: true });
        this.#look();
      });
      // It came just before the group was left.
      this.#core.check();
      return held;
    } catch (error) {
      this.release();
      throw error;
    } finally {
      this.#waiting = undefined;
      if (abort !== undefined) signal?.removeEventListener("abort", abort);
    }
  }

  release(): void {
    if (this.#over) return;
    this.#over = true;
    this.#native.release();
    forget(this.#token);
    this.#core.delete(this);
  }

  end(error?: Error): void {
    // A lock that is held protects something until its holder lets go.
    if (this.#waiting !== undefined) this.#waiting.reject(error ?? closedError());
    else if (error !== undefined) this.#lose();
  }

  #look(): void {
    if (this.#over) return;
    switch (this.#native.state()) {
      case LockState.Held:
        return this.#waiting?.resolve(true);
      case LockState.Denied:
        this.#waiting?.resolve(false);
        return this.release();
      case LockState.Failed:
        return this.#waiting?.reject(new GroupError(this.#native.failure()!));
      case LockState.Lost:
        return this.#lose();
    }
  }

  #lose(): void {
    this.release();
    const message = "the lock was stolen, or the group is over";
    this.#lost.abort(new GroupError({ code: "ERR_OPEN_CHANNEL_LOST", message }));
    // It was held, and lost before anybody looked.
    this.#waiting?.resolve(true);
  }
}

/** A lock that this member holds, until `release()`. */
export class LockGuard {
  /**
   * The fencing token: whoever has the lock later has a greater one. A resource that remembers the
   * greatest one can refuse a holder that comes late.
   */
  readonly token: bigint;
  readonly #claim: Claim;
  #lost: Promise<void> | undefined;

  /** @internal */
  constructor(
    readonly name: string,
    readonly mode: "exclusive" | "shared",
    claim: Claim,
  ) {
    this.#claim = claim;
    this.token = claim.token;
  }

  /** Aborted when the lock is lost: it was stolen, or the group is over. */
  get signal(): AbortSignal {
    return this.#claim.lost;
  }

  /** Fulfilled when the lock is lost; never after `release()`. */
  get lost(): Promise<void> {
    return (this.#lost ??= new Promise((resolve) => {
      if (this.signal.aborted) resolve();
      else this.signal.addEventListener("abort", () => resolve(), { once: true });
    }));
  }

  /** Lets it go. */
  release(): void {
    this.#claim.release();
  }

  [dispose](): void {
    this.release();
  }
}

export async function lock(
  core: Core,
  name: string,
  options: LockOptions,
): Promise<LockGuard | null> {
  const { mode = "exclusive", ifAvailable = false, steal = false, signal } = options;
  if (mode !== "exclusive" && mode !== "shared")
    throw invalidArgument(`mode is ${String(mode)}; it can be "exclusive" or "shared"`);
  if (steal && (ifAvailable || mode === "shared"))
    throw invalidArgument(`steal goes with mode "exclusive", and without ifAvailable`);
  checkSignal(signal);
  if (signal?.aborted) throw signal.reason;
  hold();
  try {
    for (let wait = steal ? "steal" : ifAvailable ? "try" : "wait"; ; wait = "wait") {
      const claim = new Claim(core, name, mode, wait as "wait" | "try" | "steal");
      if (!(await claim.held(signal))) return null;
      if (!claim.lost.aborted) return new LockGuard(name, mode, claim);
      if (ifAvailable) return null;
      // Another one has stolen it at once: stand in line again.
    }
  } finally {
    release();
  }
}
