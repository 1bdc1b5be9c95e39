import { createClient, type CallOptions, type Client, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

import { Cache } from "./cache.js";
import { Checker } from "./checker.js";
import type { Signed } from "./announcement.js";
import { hex } from "./bytes.js";
import { Follower } from "./follower.js";
import {
  IntroducerService,
  type GetInfoResponse,
  type PublishResult,
  type Service,
} from "./gen/introducer/v1/introducer_pb.js";
import { readHistory, type HistoryRecord } from "./history.js";
import type { GonePeer, Peer, PeerEntry } from "./peer.js";
import { permute, type Permuted, type PermuteOptions } from "./permute.js";
import type { ClientState } from "./state.js";
import type { Storage } from "./storage.js";
import { Verifier } from "./verify.js";

export interface ClientOptions {
  /**
   * Where the introducer answers, such as "https://introducer.example". With a transport it only names
   * the scope in the storage.
   */
  readonly baseUrl?: string;
  /** How to get there. Default: the Connect protocol over fetch, in binary. */
  readonly transport?: Transport;
  /** For the default transport. Default: the global one. */
  readonly fetch?: typeof globalThis.fetch;
  /** Services to follow. Default, or none: every one, those to come too. */
  readonly services?: readonly string[];
  /** Where to keep what was heard from one run to the next. Default: nowhere. */
  readonly storage?: Storage;
  /** For the introducer's status page; at most 256 bytes each. */
  readonly nickname?: string;
  readonly version?: string;
  /** Share one between clients, so that they share the keys that it knows. */
  readonly verifier?: Verifier;
  /** How many peers that left to remember. Default 100. */
  readonly goneLimit?: number;
  /** After how many milliseconds without a word the connection counts as dead. Default 120,000. */
  readonly silence?: number;
}

/**
 * Follows the peers of some services at one introducer, over as many connections as it takes, and trusts
 * it with nothing that peers sign: every announcement is verified here.
 *
 * It is level-triggered: `state`, `peers()`, `entries()` and `gone()` are how things stand now, and are
 * the same objects until they change. Changes that come together are told once.
 *
 *     const client = new IntroducerClient({ baseUrl, services: ["storage"] });
 *     client.subscribe(() => draw(client.state, client.peers("storage")));
 *     client.start();
 */
export class IntroducerClient {
  /** All RPCs of the introducer as they are, and nothing verified. */
  readonly rpc: Client<typeof IntroducerService>;

  readonly #verifier: Verifier;
  readonly #follower: Follower;
  readonly #listeners = new Set<() => void>();
  #told = true; // the listeners know of all changes, or will in a moment

  /** Nothing happens before {@link start}. It throws a TypeError with neither baseUrl nor transport. */
  constructor(options: ClientOptions) {
    this.rpc = createClient(IntroducerService, options.transport ?? transportOf(options));
    this.#verifier = options.verifier ?? new Verifier();
    const services = [...new Set(options.services)].sort();
    this.#follower = new Follower({
      rpc: this.rpc,
      services,
      subscriber: { nickname: options.nickname ?? "", version: options.version ?? "@introducer/client" },
      checker: new Checker(this.#verifier),
      cache: options.storage && new Cache(options.storage, JSON.stringify([options.baseUrl ?? "", services])),
      goneLimit: options.goneLimit ?? 100,
      silence: options.silence ?? 120_000,
      changed: () => this.#changed(),
    });
  }

  /** Begins, or goes on after {@link stop} where it was. Once is as good as twice. */
  start(): void {
    this.#follower.start();
  }

  /** Ends the connection, keeps what is held, and resolves when all is still and the storage up to date. */
  stop(): Promise<void> {
    return this.#follower.stop();
  }

  /** Tries again now if it was waiting to: the network is back, or somebody pressed a button. */
  retryNow(): void {
    this.#follower.retryNow();
  }

  get state(): ClientState {
    return this.#follower.state;
  }

  /** Names of services that have entries, in order. */
  services(): readonly string[] {
    return this.#follower.set.services;
  }

  /** The peers of a service whose announcements verify, by peer id. */
  peers(service: string): readonly Peer[] {
    return this.#follower.set.verified(service);
  }

  /** All that the introducer says of a service, forged and not yet checked ones too, by peer id. For people. */
  entries(service: string): readonly PeerEntry[] {
    return this.#follower.set.entries(service);
  }

  /** One of {@link entries}. */
  entry(service: string, peerId: Uint8Array): PeerEntry | undefined {
    return this.#follower.set.get({ service, peer: hex(peerId) });
  }

  /** Peers that left while this client looked, or while it was away; the last one first. */
  gone(): readonly GonePeer[] {
    return this.#follower.gone;
  }

  /** {@link peers} in the order of a storage index of 1 to 64 bytes: see {@link permute}. */
  permutedPeers(service: string, storageIndex: Uint8Array, options?: PermuteOptions): Permuted<Peer>[] {
    return permute(this.peers(service), storageIndex, options);
  }

  /** Has listener called after each change, with nothing. What is returned ends that. */
  subscribe(listener: () => void): () => void {
    const call = () => listener(); // a listener given twice is called twice
    this.#listeners.add(call);
    return () => void this.#listeners.delete(call);
  }

  /** The state now and after each change, without end. A slow reader misses what is in between. */
  async *updates(signal?: AbortSignal): AsyncGenerator<ClientState, never> {
    for (let seen: ClientState | undefined; ; ) {
      signal?.throwIfAborted();
      const state = this.state;
      if (state !== seen) {
        yield (seen = state);
      } else {
        await this.#next(signal);
      }
    }
  }

  /** Resolves with the first state that is as asked, through stops and losses. It rejects with the signal's reason. */
  async when(is: (state: ClientState) => boolean, signal?: AbortSignal): Promise<ClientState> {
    for await (const state of this.updates(signal)) {
      if (is(state)) return state;
    }
    throw new Error("unreachable");
  }

  /** Resolves when everything has been heard and verified. */
  async synced(signal?: AbortSignal): Promise<void> {
    await this.when((s) => s.connection === "live" && s.checking === 0, signal);
  }

  /**
   * Publishes 1 to 1,000 signed announcements; there is a result for each, in their order. When it
   * rejects, the outcome is unknown, and publishing the same bytes again is safe.
   */
  async publish(signed: readonly Signed[], options?: CallOptions): Promise<PublishResult[]> {
    const { results } = await this.rpc.publish({ announcements: [...signed] }, options);
    if (results.length !== signed.length) {
      throw new Error(`the introducer gave ${results.length} results for ${signed.length} announcements`);
    }
    return results;
  }

  /** What introducer this is and where its log stands. */
  getInfo(options?: CallOptions): Promise<GetInfoResponse> {
    return this.rpc.getInfo({}, options);
  }

  /** The introducer's own count of every service. */
  async listServices(options?: CallOptions): Promise<Service[]> {
    return (await this.rpc.listServices({}, options)).services;
  }

  /** What the introducer's log still has of one peer and service, oldest first, each record verified. */
  history(service: string, peerId: Uint8Array, options?: CallOptions): AsyncGenerator<HistoryRecord> {
    const open = (signal: AbortSignal) => this.rpc.readLog({ service, peerId }, { ...options, signal });
    return readHistory(open, service, peerId, this.#verifier, options?.signal);
  }

  #changed(): void {
    if (!this.#told) return;
    this.#told = false;
    queueMicrotask(() => {
      this.#told = true;
      // Each by itself: what one throws is reported as an unhandled rejection, and the others are told.
      for (const call of this.#listeners) void Promise.resolve().then(call);
    });
  }

  #next(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        unsubscribe();
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const unsubscribe = this.subscribe(done);
      signal?.addEventListener("abort", done);
    });
  }
}

function transportOf(options: ClientOptions): Transport {
  const { baseUrl, fetch } = options;
  if (baseUrl === undefined) throw new TypeError("IntroducerClient needs a baseUrl or a transport");
  return createConnectTransport({ baseUrl, useBinaryFormat: true, ...(fetch && { fetch }) });
}
