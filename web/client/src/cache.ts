import { parseAnnouncement, allEndpoints, permutationSeed } from "./announcement.js";
import { peerIdText } from "./base32.js";
import { present, type PeerEntry } from "./peer.js";
import { keyOf, PeerSet, type EntryKey } from "./set.js";
import { sameToken, type Storage, type StoredPeer, type Token } from "./storage.js";

/** One client's place in a storage: what it holds is written there now and then, in small changes. */
export class Cache {
  readonly #storage: Storage;
  readonly #scope: string;
  #unsaved = new Map<string, EntryKey>(); // what changed since #saved
  #saved: Token | undefined; // where the storage stands; undefined: unknown, all is to be written
  #life = 0; // counts how often everything became another
  #last: Promise<void> = Promise.resolve(); // one write at a time

  constructor(storage: Storage, scope: string) {
    this.#storage = storage;
    this.#scope = scope;
  }

  /** What is stored, not verified: entries to check, and where they stood. It rejects where it is damaged. */
  async load(): Promise<{ token: Token; entries: PeerEntry[] } | undefined> {
    const stored = await this.#storage.load(this.#scope);
    if (stored === undefined) return undefined;
    const { logId, revision } = stored.token;
    if (!/^[0-9a-f]{32}$/.test(logId) || typeof revision !== "bigint") {
      throw new Error("what is stored has no token");
    }
    const entries = stored.peers.map(entryOf);
    this.#saved = stored.token;
    return { token: stored.token, entries };
  }

  /** Notes that what is held of this service and peer is another, or nothing. */
  note(e: { readonly service: string; readonly peerId: Uint8Array }): void {
    const k = keyOf(e);
    this.#unsaved.set(`${k.service} ${k.peer}`, k);
  }

  /** Notes that everything is another. */
  noteAll(): void {
    this.#life++;
    this.#saved = undefined;
    this.#unsaved.clear();
  }

  /**
   * Writes what was noted: then the storage has the set as of its token. Without a token there is nothing
   * to write. Both are read when the write's turn comes.
   */
  save(set: PeerSet, tokenNow: () => Token | undefined): Promise<void> {
    return this.#then(async () => {
      const token = tokenNow();
      const from = this.#saved;
      if (token === undefined || (sameToken(from, token) && this.#unsaved.size === 0)) return;
      const keys = [...this.#unsaved.values()];
      const entries = [...set];
      const all = () => entries.map(storedOf);
      const put = from === undefined ? all() : keys.flatMap((k) => set.get(k) ?? []).map(storedOf);
      const removed = keys.filter((k) => set.get(k) === undefined);
      this.noteAll(); // until it is written
      const life = this.#life;
      await this.#storage.save(this.#scope, { ...present({ from }), token, put, removed, all });
      if (this.#life === life) this.#saved = token;
    });
  }

  clear(): Promise<void> {
    this.noteAll();
    return this.#then(() => this.#storage.clear(this.#scope));
  }

  #then(write: () => Promise<void>): Promise<void> {
    const written = this.#last.then(write);
    this.#last = written.catch(() => undefined);
    return written;
  }
}

function storedOf(e: PeerEntry): StoredPeer {
  const { firstSeen, announced, expires } = e;
  return { ...keyOf(e), signed: e.signed, revision: e.revision, ...present({ firstSeen, announced, expires }) };
}

function entryOf(p: StoredPeer): PeerEntry {
  const { message, signature, peerId } = p.signed;
  const a = parseAnnouncement(message);
  const { firstSeen, announced, expires } = p;
  return {
    service: p.service,
    id: peerIdText(peerId),
    peerId,
    verdict: "checking",
    seqnum: a.seqnum,
    nickname: a.nickname,
    endpoints: allEndpoints(a),
    permutationSeed: permutationSeed(a, peerId),
    signed: { message, signature, peerId },
    revision: p.revision,
    ...present({ firstSeen, announced, expires }),
    cached: true,
  };
}
