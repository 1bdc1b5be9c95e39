import { Listeners, type Store } from "./store.js";

/** What status.json says; see the Go package web. Texts are strangers' where they are of visitors. */
export interface Status {
  /** When this page heard it, in ms since 1970 by its own clock. */
  readonly heard: number;
  readonly version: string;
  readonly log_id: string;
  readonly first_revision: number;
  readonly last_revision: number;
  readonly started: string;
  readonly uptime_seconds: number; // when this was heard
  readonly replay_seconds: number;
  readonly peers: number;
  readonly quarantined: string;
  readonly not_ready: string;
  readonly services: readonly { readonly service: string; readonly peers: number; readonly subscribers: number }[];
  readonly more_services: number;
  readonly visitors: {
    readonly connected: number;
    readonly subscribers: readonly {
      readonly nickname: string;
      readonly version: string;
      readonly services: readonly string[];
      readonly more_services: number;
      readonly since: string;
    }[];
    readonly publishers: readonly { readonly peer_id: string; readonly published: string; readonly announcements: number }[];
  };
}

const every = 5000; // ms

/** What the introducer says of itself, asked for while the page is seen. Undefined: nothing heard yet. */
export class LiveStatus implements Store<Status | undefined> {
  readonly #listeners = new Listeners();
  readonly subscribe = this.#listeners.add;
  #status: Status | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking = false;

  constructor() {
    document.addEventListener("visibilitychange", () => document.hidden || this.ask());
    this.ask();
  }

  get(): Status | undefined {
    return this.#status;
  }

  /** Asks now, and again in a while. Whoever does not answer is shown as lost elsewhere. */
  ask(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => document.hidden || this.ask(), every);
    if (!this.#asking) void this.#ask();
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    try {
      const res = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(2 * every) });
      if (!res.ok) return;
      this.#status = { ...((await res.json()) as Status), heard: Date.now() };
      this.#listeners.tell();
    } catch {
      // The mark in the page's head says that there is no connection.
    } finally {
      this.#asking = false;
    }
  }
}
