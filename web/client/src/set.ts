import { sha256 } from "@noble/hashes/sha2.js";

import type { Signed } from "./announcement.js";
import { concatBytes, hex } from "./bytes.js";
import type { Peer, PeerEntry, Verdict } from "./peer.js";

/** SHA-256(peer id ‖ message), 32 bytes: what an announcement adds to a set's digest. */
export function announcementDigest(s: Signed): Uint8Array {
  return sha256(concatBytes(s.peerId, s.message));
}

/** What names an entry: service and peer id. As texts, they stand in the order of service, then bytes. */
export interface EntryKey {
  readonly service: string;
  /** Hexadecimal digits of the peer id. */
  readonly peer: string;
}

export function keyOf(e: { readonly service: string; readonly peerId: Uint8Array }): EntryKey {
  return { service: e.service, peer: hex(e.peerId) };
}

/**
 * The set of announcements that a subscriber holds, whatever their verdicts, and its digest: the XOR of
 * theirs. Lists stay the same array until something in them changes.
 */
export class PeerSet {
  readonly #services = new Map<string, ServicePeers>();
  #digest = new Uint8Array(32);
  #names: readonly string[] | undefined;
  #counts = noCounts();

  /** 32 bytes; all zero for the empty set. The caller's. */
  get digest(): Uint8Array {
    return this.#digest.slice();
  }

  /** How many entries have each verdict; a node counts once for each service. */
  get counts(): Readonly<Record<Verdict, number>> {
    return this.#counts;
  }

  /** Names of services with entries, in order. */
  get services(): readonly string[] {
    return (this.#names ??= [...this.#services.keys()].sort());
  }

  get(k: EntryKey): PeerEntry | undefined {
    return this.#services.get(k.service)?.get(k.peer)?.entry;
  }

  /** Puts e in the place of what is held of this service and peer. */
  put(e: PeerEntry): void {
    const k = keyOf(e);
    let peers = this.#services.get(k.service);
    if (peers === undefined) {
      this.#services.set(k.service, (peers = new ServicePeers()));
      this.#names = undefined;
    }
    const old = peers.get(k.peer);
    if (old !== undefined) this.#drop(old);
    const digest = announcementDigest(e.signed);
    peers.put(k.peer, { entry: e, digest });
    this.#xor(digest);
    this.#counts[e.verdict]++;
  }

  /** Puts a new verdict on e, if e is still what is held. Tells whether it was. */
  judge(e: PeerEntry, verdict: PeerEntry): boolean {
    const k = keyOf(e);
    if (!this.#services.get(k.service)?.replace(k.peer, e, verdict)) return false;
    this.#counts[e.verdict]--;
    this.#counts[verdict.verdict]++;
    return true;
  }

  /** Drops an entry and returns it. */
  delete(k: EntryKey): PeerEntry | undefined {
    const peers = this.#services.get(k.service);
    const held = peers?.delete(k.peer);
    if (held === undefined) return undefined;
    this.#drop(held);
    if (peers?.size === 0) {
      this.#services.delete(k.service);
      this.#names = undefined;
    }
    return held.entry;
  }

  clear(): void {
    this.#services.clear();
    this.#names = undefined;
    this.#digest = new Uint8Array(32);
    this.#counts = noCounts();
  }

  /** All entries of a service, by peer id. */
  entries(service: string): readonly PeerEntry[] {
    return this.#services.get(service)?.entries ?? none;
  }

  /** Those that verify, by peer id. */
  verified(service: string): readonly Peer[] {
    return this.#services.get(service)?.verified ?? none;
  }

  *[Symbol.iterator](): Iterator<PeerEntry> {
    for (const peers of this.#services.values()) yield* peers.values();
  }

  #drop(held: Held): void {
    this.#xor(held.digest);
    this.#counts[held.entry.verdict]--;
  }

  #xor(digest: Uint8Array): void {
    for (let i = 0; i < 32; i++) this.#digest[i]! ^= digest[i]!;
  }
}

function noCounts(): Record<Verdict, number> {
  return { checking: 0, verified: 0, forged: 0 };
}

const none: readonly never[] = Object.freeze([]);

interface Held {
  entry: PeerEntry;
  readonly digest: Uint8Array;
}

/** The peers of one service. */
class ServicePeers {
  readonly #held = new Map<string, Held>(); // :: hex of peer id → entry
  #order: string[] = []; // keys in order, as of when the list was made last
  #moved = false; // some came or went since
  #entries: readonly PeerEntry[] | undefined;
  #verified: readonly Peer[] | undefined;

  get size(): number {
    return this.#held.size;
  }

  get(peer: string): Held | undefined {
    return this.#held.get(peer);
  }

  *values(): Iterable<PeerEntry> {
    for (const { entry } of this.#held.values()) yield entry;
  }

  put(peer: string, held: Held): void {
    this.#moved ||= !this.#held.has(peer);
    this.#held.set(peer, held);
    this.#changed();
  }

  replace(peer: string, old: PeerEntry, entry: PeerEntry): boolean {
    const held = this.#held.get(peer);
    if (held?.entry !== old) return false;
    held.entry = entry;
    this.#changed();
    return true;
  }

  delete(peer: string): Held | undefined {
    const held = this.#held.get(peer);
    if (held !== undefined) {
      this.#held.delete(peer);
      this.#moved = true;
      this.#changed();
    }
    return held;
  }

  get entries(): readonly PeerEntry[] {
    if (this.#entries === undefined) {
      if (this.#moved) {
        // The old order first: what is nearly in order costs a sort little.
        const all = new Set([...this.#order.filter((peer) => this.#held.has(peer)), ...this.#held.keys()]);
        this.#order = [...all].sort();
        this.#moved = false;
      }
      this.#entries = this.#order.map((peer) => this.#held.get(peer)!.entry);
    }
    return this.#entries;
  }

  get verified(): readonly Peer[] {
    return (this.#verified ??= this.entries.filter((e): e is Peer => e.verdict === "verified"));
  }

  #changed(): void {
    this.#entries = this.#verified = undefined;
  }
}
