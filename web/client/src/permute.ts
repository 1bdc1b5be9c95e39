import { sha1 } from "@noble/hashes/legacy.js";

import { compareBytes, concatBytes, hex } from "./bytes.js";

/** What a permutation needs to know of a peer. */
export interface Permutable {
  /** 32 bytes. Breaks ties. */
  readonly peerId: Uint8Array;
  /** What is hashed for this peer, 0 to 64 bytes. */
  readonly permutationSeed: Uint8Array;
}

/** A peer and where it stands in the order of a storage index. */
export interface Permuted<P> {
  /** 20 bytes. */
  readonly permutedId: Uint8Array;
  readonly peer: P;
}

export interface PermuteOptions {
  /** How many to return at most. Absent or 0: all. Preferred ones count. */
  readonly limit?: number;
  /** Peer ids that come first, permuted among themselves. Those of no peer are ignored. */
  readonly preferred?: Iterable<Uint8Array>;
}

/**
 * The permuted id of a peer with this seed for this storage index: SHA-1(storage index ‖ seed), 20 bytes.
 * It is Tahoe-LAFS's (allmydata.util.hashutil, permute_server_hash).
 */
export function permutedId(storageIndex: Uint8Array, seed: Uint8Array): Uint8Array {
  return sha1(concatBytes(storageIndex, seed));
}

/**
 * The peers in the order of a storage index: preferred ones first, then ascending by permuted id,
 * bytewise; ties by peer id. Everyone computes the same order, the introducer too. The storage index has
 * 1 to 64 bytes, 16 in Tahoe-LAFS, or a RangeError is thrown.
 */
export function permute<P extends Permutable>(
  peers: Iterable<P>,
  storageIndex: Uint8Array,
  options: PermuteOptions = {},
): Permuted<P>[] {
  if (storageIndex.length < 1 || storageIndex.length > 64) {
    throw new RangeError(`storage index of ${storageIndex.length} bytes, must have 1 to 64`);
  }
  const preferred = new Set(Array.from(options.preferred ?? [], hex));
  const late = (p: P) => (preferred.size > 0 && preferred.has(hex(p.peerId)) ? 0 : 1);
  const all = Array.from(peers, (peer) => ({
    permutedId: permutedId(storageIndex, peer.permutationSeed),
    peer,
    late: late(peer),
  }));
  all.sort(
    (a, b) => a.late - b.late || compareBytes(a.permutedId, b.permutedId) || compareBytes(a.peer.peerId, b.peer.peerId),
  );
  return all.slice(0, options.limit || all.length).map(({ permutedId, peer }) => ({ permutedId, peer }));
}
