import type { Signed } from "./announcement.js";
import { Slices } from "./slices.js";
import { Verifier, type Verification } from "./verify.js";

interface Waiting {
  readonly signed: Signed;
  readonly done: (v: Verification) => void;
}

/** A queue of announcements to verify, in slices, so that a page with ten thousand of them stays awake. */
export class Checker {
  // Enough at a time for keys to be looked at together, and few enough to show soon.
  static readonly #batch = 2048;
  // So many signatures are with WebCrypto at a time, which works beside us.
  static readonly #abreast = 32;

  readonly #verifier: Verifier;
  #waiting: Waiting[] = [];
  #running = false;

  constructor(verifier: Verifier) {
    this.#verifier = verifier;
  }

  /** Has it verified when its turn comes; done is called with the outcome, never at once. */
  add(signed: Signed, done: (v: Verification) => void): void {
    this.#waiting.push({ signed, done });
    if (!this.#running) {
      this.#running = true;
      void this.#run();
    }
  }

  async #run(): Promise<void> {
    const slices = new Slices();
    await Promise.resolve(); // those that come together are looked at together
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, Checker.#batch);
      await this.#verifier.prepare(batch.map((w) => w.signed.peerId));
      while (batch.length > 0) {
        const some = batch.splice(0, Checker.#abreast);
        const verdicts = await Promise.all(some.map((w) => this.#verifier.verify(w.signed)));
        some.forEach((w, i) => w.done(verdicts[i]!));
        await slices.pause();
      }
    }
    this.#running = false;
  }
}
