import type { Signed } from "./announcement.js";
import type { EntryKey } from "./set.js";

/** Where a subscriber stands in one introducer's log. */
export interface Token {
  /** 32 hexadecimal digits. */
  readonly logId: string;
  readonly revision: bigint;
}

/** What is kept of one announcement: all that the introducer said of it and the peer did not sign. */
export interface StoredPeer extends EntryKey {
  readonly signed: Signed;
  readonly revision: bigint;
  readonly firstSeen?: Date;
  readonly announced?: Date;
  readonly expires?: Date;
}

/** A set of announcements, as of a token. */
export interface StoredSet {
  readonly token: Token;
  readonly peers: readonly StoredPeer[];
}

/** Takes what is stored from one token to another. */
export interface StoredChange {
  /** The token that `put` and `removed` start from. Absent: from nothing. */
  readonly from?: Token;
  readonly token: Token;
  readonly put: readonly StoredPeer[];
  readonly removed: readonly EntryKey[];
  /** The whole set as of token, for a storage that does not stand at `from`. */
  all(): readonly StoredPeer[];
}

/**
 * Where a client keeps what it heard from one run to the next. It need not be trusted: what comes out of
 * it is verified anew. One storage may serve many scopes, clients and browser tabs. Methods may reject;
 * the client then says so in its state and goes on without.
 */
export interface Storage {
  /** What is stored in a scope. Undefined: nothing. */
  load(scope: string): Promise<StoredSet | undefined>;
  /** Makes the stored set that of change.token, at once or not at all. */
  save(scope: string, change: StoredChange): Promise<void>;
  /** Forgets a scope. */
  clear(scope: string): Promise<void>;
}

export function sameToken(a: Token | undefined, b: Token | undefined): boolean {
  return a?.logId === b?.logId && a?.revision === b?.revision;
}

/** Keeps it in memory: for tests, and to hand a set from one client to the next. */
export class MemoryStorage implements Storage {
  readonly #sets = new Map<string, { token: Token; peers: Map<string, StoredPeer> }>();

  async load(scope: string): Promise<StoredSet | undefined> {
    const set = this.#sets.get(scope);
    return set && { token: set.token, peers: [...set.peers.values()] };
  }

  async save(scope: string, change: StoredChange): Promise<void> {
    const old = this.#sets.get(scope);
    const whole = !sameToken(old?.token, change.from);
    const peers = whole ? new Map<string, StoredPeer>() : (old?.peers ?? new Map<string, StoredPeer>());
    for (const k of whole ? [] : change.removed) peers.delete(`${k.service} ${k.peer}`);
    for (const p of whole ? change.all() : change.put) peers.set(`${p.service} ${p.peer}`, p);
    this.#sets.set(scope, { token: change.token, peers });
  }

  async clear(scope: string): Promise<void> {
    this.#sets.delete(scope);
  }
}
