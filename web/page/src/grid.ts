import { IntroducerClient, type ClientState, type GonePeer, type PeerEntry } from "@introducer/client";

import { Listeners, type Store } from "./store.js";

/** What is known of the grid. It does not change: another takes its place. */
export interface Grid {
  readonly state: ClientState;
  /** Names of the services with peers, in order. */
  readonly services: readonly string[];
  /** Peers that left while this page looked, latest first. */
  readonly gone: readonly GonePeer[];
  /** Peers of a newer revision arrived a moment ago. */
  readonly freshAfter: bigint;
}

// A person reads no faster, and a table that is sorted anew at each of a hundred changes a second
// could not be read at all.
const pace = 200; // ms
const freshFor = 2000; // ms
const hiddenFor = 60_000; // ms

/**
 * The grid as this page holds it, from one subscription to every service. It tells its listeners at most
 * five times a second, before the browser draws.
 *
 * A browser has six connections to one introducer that speaks HTTP/1.1, and each subscription holds one
 * of them. So a page that nobody has looked at for a minute gives its own back, and resumes when it is
 * seen again.
 */
export class LiveGrid implements Store<Grid> {
  readonly client: IntroducerClient;
  readonly #listeners = new Listeners();
  readonly subscribe = this.#listeners.add;
  #grid: Grid;
  #told = -pace;
  #waits = false;
  #heads: { at: number; revision: bigint }[] = []; // where the client stood lately
  #hidden: ReturnType<typeof setTimeout> | undefined;

  constructor(baseUrl: string) {
    // Without a storage: the page comes from the introducer, which sends ten thousand peers sooner than
    // IndexedDB gives them.
    this.client = new IntroducerClient({ baseUrl, services: [], nickname: "status page", goneLimit: 500 });
    this.#grid = this.#look();
    this.client.subscribe(() => this.#changed());
    document.addEventListener("visibilitychange", () => this.#visibility());
    this.client.start();
    if (document.hidden) this.#visibility(); // opened in a tab behind this one
  }

  get(): Grid {
    return this.#grid;
  }

  /** All that is held of a service ("": of every one), of whatever verdict: the same array until one changed. */
  entries(service: string): readonly PeerEntry[] {
    if (service !== "") return this.client.entries(service);
    const lists = this.client.services().map((s) => this.client.entries(s));
    const old = this.#all;
    if (old !== undefined && old.lists.length === lists.length && lists.every((l, i) => l === old.lists[i])) return old.all;
    this.#all = { lists, all: lists.length === 1 ? lists[0]! : lists.flat() };
    return this.#all.all;
  }
  #all: { lists: (readonly PeerEntry[])[]; all: readonly PeerEntry[] } | undefined;

  #changed(): void {
    if (this.#waits) return;
    this.#waits = true;
    const draw = () => requestAnimationFrame(() => this.#tell());
    const early = this.#told + pace - performance.now();
    if (early > 0) setTimeout(draw, early);
    else draw();
  }

  #tell(): void {
    this.#waits = false;
    this.#told = performance.now();
    this.#grid = this.#look();
    this.#listeners.tell();
  }

  #look(): Grid {
    const { state } = this.client;
    const now = performance.now();
    if (state.connection !== "live") this.#heads = [];
    else if (state.token !== undefined) this.#heads.push({ at: now, revision: state.token.revision });
    while (this.#heads.length > 1 && now - this.#heads[1]!.at > freshFor) this.#heads.shift();
    return {
      state,
      services: this.client.services(),
      gone: this.client.gone(),
      freshAfter: this.#heads[0]?.revision ?? 1n << 63n,
    };
  }

  #visibility(): void {
    clearTimeout(this.#hidden);
    if (!document.hidden) this.client.start();
    else this.#hidden = setTimeout(() => void this.client.stop(), hiddenFor);
  }
}
