/**
 * How long to wait before the next try: from a quarter of a second on twice as long each time, up to
 * 30 s, less up to a half by chance, so that those who lost one introducer do not come back as one.
 */
export class Backoff {
  #last = 0;

  /** Milliseconds. */
  next(): number {
    this.#last = Math.min(Math.max(2 * this.#last, 250), 30_000);
    return this.#last * (1 - Math.random() / 2);
  }

  reset(): void {
    this.#last = 0;
  }
}
