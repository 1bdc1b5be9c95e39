import { durationMs, type Duration } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";

import { Backoff } from "./backoff.js";
import type { Cache } from "./cache.js";
import type { Checker } from "./checker.js";
import { equalBytes, hex } from "./bytes.js";
import {
  PeerView,
  ResetReason,
  type Change,
  type IntroducerService,
  type Progress,
  type ResumeToken,
  type SubscribeResponse,
} from "./gen/introducer/v1/introducer_pb.js";
import { entryOf, goneOf, judged, judgedGone, type GonePeer, type PeerEntry } from "./peer.js";
import { keyOf, PeerSet } from "./set.js";
import { Slices } from "./slices.js";
import type { ClientState, Connection } from "./state.js";
import type { Token } from "./storage.js";

export interface FollowerOptions {
  readonly rpc: Client<typeof IntroducerService>;
  readonly services: readonly string[];
  readonly subscriber: { readonly nickname: string; readonly version: string };
  readonly checker: Checker;
  readonly cache: Cache | undefined;
  readonly goneLimit: number;
  readonly silence: number;
  /** Called after each change, in the midst of things. */
  readonly changed: () => void;
}

const longestDrain = 5 * 60_000; // ms: how long an introducer may ask us to stay away
const saveEvery = 1000; // ms: spares the storage while much changes

/** One subscription, over as many connections as it takes. */
export class Follower {
  readonly set = new PeerSet();
  readonly #options: FollowerOptions;
  #gone: readonly GonePeer[] = []; // the last one first
  #token: Token | undefined;
  #loaded = false; // the cache has been read
  #anew = false; // the set is not the introducer's, and stays only until the new one comes
  #stopping: AbortController | undefined; // undefined: nobody wants it to run
  #ended: Promise<void> = Promise.resolve(); // when the last run is over
  #here: AbortController | undefined; // ends the connection, if there is one
  #retry: () => void = () => {}; // ends the wait between two connections
  #saving: ReturnType<typeof setTimeout> | undefined;

  #state: ClientState | undefined; // undefined: to be made
  #facts: Facts = { connection: "stopped", digest: "unknown", mismatches: 0, resets: 0, draining: false };

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  get state(): ClientState {
    if (this.#state === undefined) {
      const { checking, verified, forged } = this.set.counts;
      const token = this.#token;
      this.#state = {
        ...this.#facts,
        ...(token && { token }),
        peers: checking + verified + forged,
        forged,
        checking,
      };
    }
    return this.#state;
  }

  get gone(): readonly GonePeer[] {
    return this.#gone;
  }

  start(): void {
    if (this.#stopping !== undefined) return;
    const { signal } = (this.#stopping = new AbortController());
    this.#ended = this.#ended.then(() => this.#run(signal));
  }

  async stop(): Promise<void> {
    this.#stopping?.abort();
    this.#stopping = undefined;
    await this.#ended;
  }

  retryNow(): void {
    this.#retry();
  }

  async #run(signal: AbortSignal): Promise<void> {
    this.#tell({ connection: "connecting" });
    await this.#load();
    const backoff = new Backoff();
    while (!signal.aborted) {
      const { error, wait } = await this.#connection(signal, backoff);
      if (signal.aborted) break;
      await this.#wait(signal, error, Math.max(wait, backoff.next()));
    }
    clearTimeout(this.#saving);
    await this.#save();
    this.#tell({ connection: "stopped" }, "error", "retryAt");
  }

  async #wait(signal: AbortSignal, error: Error, ms: number): Promise<void> {
    const connection = this.#facts.connection === "connecting" ? "connecting" : "lost";
    this.#tell({ connection, error, retryAt: new Date(Date.now() + ms) });
    await new Promise<void>((resolve) => {
      this.#retry = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", this.#retry);
        resolve();
      };
      const timer = setTimeout(this.#retry, ms);
      signal.addEventListener("abort", this.#retry);
    });
    this.#retry = () => {};
    this.#tell({}, "retryAt");
  }

  /** One connection, from Subscribe to its end: why it ended, and how long the introducer asked to stay away. */
  async #connection(stop: AbortSignal, backoff: Backoff): Promise<{ error: Error; wait: number }> {
    const here = (this.#here = new AbortController());
    const end = () => here.abort();
    stop.addEventListener("abort", end);
    let wait = 0;
    let silence: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(silence);
      const { silence: ms } = this.#options;
      silence = setTimeout(() => here.abort(new Error(`nothing was heard for ${ms} ms`)), ms);
    };
    try {
      heard();
      const responses = this.#options.rpc.subscribe(this.#request(), {
        signal: here.signal,
        onHeader: () => {
          heard();
          this.#tell({ connection: "catching-up", draining: false, lastHeard: new Date() }, "error");
        },
      });
      for await (const res of responses) {
        heard();
        this.#tell({ lastHeard: new Date() });
        await this.#take(res);
        here.signal.throwIfAborted(); // what was under way when it was given up is not taken
        if (res.event.case === "drain") wait = drainOf(res.event.value.reconnectAfter);
        if (res.event.case === "synced") backoff.reset();
      }
      return { error: new Error("the introducer ended the stream"), wait };
    } catch (e) {
      return { error: asError(here.signal.aborted ? here.signal.reason : e), wait };
    } finally {
      clearTimeout(silence);
      stop.removeEventListener("abort", end);
      here.abort(); // where the loop was left by an error of ours
    }
  }

  #request() {
    const { services, subscriber } = this.#options;
    const token = this.#token;
    const resume = token && { logId: fromHex(token.logId), revision: token.revision };
    return { services: [...services], subscriber, view: PeerView.FULL, ...(resume && { resume }) };
  }

  /** Takes in one event. */
  async #take({ event }: SubscribeResponse): Promise<void> {
    switch (event.case) {
      case "reset":
        this.#reset(event.value.reason);
        break;
      case "changes":
        await this.#changes(event.value.changes);
        this.#stand(event.value.token);
        this.#tell({});
        this.#saveSoon();
        break;
      case "synced":
        if (this.#compare(event.value)) this.#tell({ connection: "live" });
        break;
      case "progress":
        this.#compare(event.value);
        break;
      case "drain":
        this.#stand(event.value.token);
        this.#tell({ draining: true });
        break;
    }
  }

  #reset(reason: ResetReason): void {
    this.#forget();
    const lastReset = resetReasons[reason] ?? "unknown";
    this.#tell({ resets: this.#facts.resets + 1, lastReset });
  }

  #forget(): void {
    this.set.clear();
    this.#gone = [];
    this.#token = undefined;
    this.#anew = false;
    this.#options.cache?.noteAll();
  }

  // Ten thousand may come together. They are verified when all are there to be looked at.
  async #changes(all: readonly Change[]): Promise<void> {
    const slices = new Slices(50);
    const fresh: [e: PeerEntry, before: PeerEntry | undefined][] = [];
    for (const c of all) {
      this.#change(c, fresh);
      await slices.pause();
    }
    for (const [e, before] of fresh) this.#check(e, before);
  }

  #change({ change }: Change, fresh: [e: PeerEntry, before: PeerEntry | undefined][]): void {
    if (change.case === "announced") {
      const e = entryOf(change.value);
      fresh.push([e, this.set.get(keyOf(e))]);
      this.set.put(e);
      this.#options.cache?.note(e);
    } else if (change.case === "gone") {
      const g = goneOf(
        change.value,
        this.set.delete({ service: change.value.service, peer: hex(change.value.peerId) }),
      );
      this.#options.cache?.note(g);
      this.#gone = [g, ...this.#gone].slice(0, this.#options.goneLimit);
      if (g.signed !== undefined) {
        this.#options.checker.add(g.signed, (v) => {
          this.#gone = this.#gone.map((x) => (x === g ? judgedGone(g, v) : x));
          this.#tell({});
        });
      }
    }
  }

  #check(e: PeerEntry, before?: PeerEntry): void {
    this.#options.checker.add(e.signed, (v) => {
      const verdict = judged(e, v, before);
      if (!this.set.judge(e, verdict)) return; // another took its place
      if (e.cached && verdict.verdict === "forged") {
        // It was not the introducer who said so. With the token, the rest would never be told again.
        this.#tell({ storageError: new Error("what was stored does not verify") });
        this.#beginAnew("what was stored does not verify");
      }
      this.#tell({});
    });
  }

  #stand(token: ResumeToken | undefined): void {
    if (token !== undefined && !this.#anew) {
      this.#token = { logId: hex(token.logId), revision: token.revision };
    }
  }

  #compare(p: Progress): boolean {
    this.#stand(p.token);
    const at = this.#token;
    if (!equalBytes(p.setDigest, this.set.digest)) {
      this.#tell({ digest: "differs", mismatches: this.#facts.mismatches + 1, ...(at && { digestAt: at }) });
      this.#beginAnew("what is held is not what the introducer holds");
      return false;
    }
    this.#tell({ digest: "same", ...(at && { digestAt: at }) });
    this.#saveSoon();
    return true;
  }

  /**
   * Gives up the token, and the connection that goes on from it. What is held stays to be looked at until
   * the reset that answers the next one.
   */
  #beginAnew(why: string): void {
    this.#token = undefined;
    this.#anew = true;
    this.#here?.abort(new Error(why));
    void this.#options.cache?.clear().catch((e: unknown) => this.#tell({ storageError: asError(e) }));
  }

  async #load(): Promise<void> {
    const { cache } = this.#options;
    if (cache === undefined || this.#loaded) return;
    this.#loaded = true;
    try {
      const stored = await cache.load();
      if (stored === undefined) return;
      for (const e of stored.entries) {
        this.set.put(e);
        this.#check(e);
      }
      this.#token = stored.token;
      this.#tell({});
    } catch (e) {
      this.#tell({ storageError: asError(e) });
    }
  }

  #saveSoon(): void {
    if (this.#options.cache === undefined || this.#saving !== undefined) return;
    this.#saving = setTimeout(() => void this.#save(), saveEvery);
  }

  async #save(): Promise<void> {
    this.#saving = undefined;
    // A set with forged ones is nothing to come back to.
    const token = () => (this.set.counts.forged === 0 ? this.#token : undefined);
    try {
      await this.#options.cache?.save(this.set, token);
    } catch (e) {
      this.#tell({ storageError: asError(e) });
    }
  }

  #tell(facts: Partial<Facts>, ...gone: ("error" | "retryAt")[]): void {
    const now: { -readonly [K in keyof Facts]: Facts[K] } = { ...this.#facts, ...facts };
    for (const name of gone) delete now[name];
    this.#facts = now;
    this.#state = undefined;
    this.#options.changed();
  }
}

/** What of the state is not read off the set and the token. */
type Facts = Omit<ClientState, "token" | "peers" | "forged" | "checking"> & { readonly connection: Connection };

const resetReasons: Partial<Record<ResetReason, NonNullable<ClientState["lastReset"]>>> = {
  [ResetReason.NEW]: "new",
  [ResetReason.COMPACTED]: "compacted",
  [ResetReason.OTHER_LOG]: "other-log",
};

/** How long to stay away, in ms. */
function drainOf(after: Duration | undefined): number {
  return after === undefined ? 0 : Math.min(durationMs(after), longestDrain);
}

function asError(e: unknown): Error {
  return e instanceof Error ? e : new Error(String(e));
}

function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}
