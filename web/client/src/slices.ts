/** Long work in slices of some milliseconds, between which the page may draw and others may run. */
export class Slices {
  readonly #most: number;
  #began = performance.now();

  /** How long a slice is, in ms. The default is half of a frame at 60 Hz. */
  constructor(most = 8) {
    this.#most = most;
  }

  /** Returns at once while the slice lasts, and else after everybody had a turn. */
  readonly pause = async (): Promise<void> => {
    if (performance.now() - this.#began < this.#most) return;
    await turn();
    this.#began = performance.now();
  };
}

/**
 * Resolves after everybody who waits had a turn. setTimeout would take at least 4 ms in browsers, and a
 * second in hidden tabs; scheduler.yield() comes back before timers, the network and the screen.
 */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
