// What a service or a worker runs: each handler, and whether its result is still wanted.

/** What a handler runs for. */
export class Running {
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  /** Aborted when the result is of no use any more. Made when somebody asks for it. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  cancel(reason: Error): void {
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

/** All that one service or worker runs, until it is closed and nothing runs any more. */
export class Runs {
  readonly #running = new Map<number, Running>();
  readonly #over: Promise<void>;
  #resolve!: () => void;
  #closing = false;

  /** @param end Called once, at the end. */
  constructor(end: () => void) {
    this.#over = new Promise<void>((resolve) => (this.#resolve = resolve)).then(end);
  }

  get closing(): boolean {
    return this.#closing;
  }

  begin(number: number): Running {
    const running = new Running();
    this.#running.set(number, running);
    return running;
  }

  cancel(numbers: number[], reason: () => Error): void {
    for (const number of numbers) this.#running.get(number)?.cancel(reason());
  }

  end(number: number): void {
    this.#running.delete(number);
    this.#settle();
  }

  /** Waits for what runs. With an error, that is of no use any more and is not waited for. */
  close(error?: Error): Promise<void> {
    this.#closing = true;
    if (error !== undefined) {
      for (const running of this.#running.values()) running.cancel(error);
      this.#running.clear();
    }
    this.#settle();
    return this.#over;
  }

  #settle(): void {
    if (this.#closing && this.#running.size === 0) this.#resolve();
  }
}
