import type { ClientState, Permuted, PeerEntry } from "@introducer/client";
import { PeerView } from "@introducer/client/proto";

import type { LiveGrid } from "./grid.js";

/** What came of comparing an order computed here with the introducer's. */
export type Comparison =
  | { readonly is: "waiting" }
  | { readonly is: "same"; readonly peers: number; readonly revision: bigint }
  | { readonly is: "different"; readonly at: number; readonly revision: bigint }
  | { readonly is: "moving" } // the grid changes faster than answers come
  | { readonly is: "failed"; readonly reason: string };

/** How many peers of an order are compared at most: the answer is to stay small. */
export const mostCompared = 1000;

const tries = 5;

/**
 * Asks the introducer for the order and compares. Both sides have to be at one revision for that: while
 * the grid changes it asks again, and then gives up, without a verdict.
 */
export async function compare(
  live: LiveGrid,
  service: string,
  storageIndex: Uint8Array,
  order: () => readonly Permuted<PeerEntry>[],
  signal: AbortSignal,
): Promise<Comparison> {
  try {
    for (let i = 0; i < tries; i++) {
      const answer = await live.client.rpc.getPermutedPeers({ service, storageIndex, limit: mostCompared, view: PeerView.BASIC }, { signal });
      await live.client.when((s) => away(s) || (s.connection === "live" && s.checking === 0 && (s.token?.revision ?? 0n) >= answer.revision), signal);
      const { state } = live.client;
      if (away(state)) return { is: "failed", reason: "this page is not connected" };
      if (state.token?.revision !== answer.revision) continue;
      const mine = order().slice(0, mostCompared);
      const at = firstDifference(mine, answer.peers);
      return at < 0 ? { is: "same", peers: mine.length, revision: answer.revision } : { is: "different", at, revision: answer.revision };
    }
    return { is: "moving" };
  } catch (e) {
    return { is: "failed", reason: e instanceof Error ? e.message : String(e) };
  }
}

function away(s: ClientState): boolean {
  return s.connection === "lost" || s.connection === "stopped";
}

interface Answered {
  readonly permutedId: Uint8Array;
  readonly peer?: { readonly peerId: Uint8Array } | undefined;
}

/** The first place where the orders differ, from 0; -1: nowhere. */
export function firstDifference(mine: readonly Permuted<{ readonly peerId: Uint8Array }>[], theirs: readonly Answered[]): number {
  const n = Math.max(mine.length, theirs.length);
  for (let i = 0; i < n; i++) {
    const [a, b] = [mine[i], theirs[i]];
    if (a === undefined || b?.peer === undefined) return i;
    if (!equal(a.permutedId, b.permutedId) || !equal(a.peer.peerId, b.peer.peerId)) return i;
  }
  return -1;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}
