import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampDate } from "@bufbuild/protobuf/wkt";

import { allEndpoints, permutationSeed, type Announcement, type Signed } from "./announcement.js";
import { peerIdText } from "./base32.js";
import { clip, equalBytes, hex } from "./bytes.js";
import {
  GoneReason,
  type Gone,
  type Peer as WirePeer,
  type SignedAnnouncement,
} from "./gen/introducer/v1/introducer_pb.js";
import type { Verification } from "./verify.js";

/**
 * What this client found out about something that the introducer says.
 *
 * - `checking`: it is in the queue; what is shown is the introducer's word.
 * - `verified`: the peer signed it, and the introducer's reading of it agrees.
 * - `forged`: it is not so, and reason says why. What is shown is the introducer's word, for people to
 *   look at and for nothing else.
 */
export type Verdict = "checking" | "verified" | "forged";

/**
 * One node's announcement of one service. It does not change: another takes its place. Texts are a
 * stranger's, whatever the verdict: show them as text, never as markup or links.
 */
export interface PeerEntry {
  readonly service: string;
  /** "v0-…", 55 characters. */
  readonly id: string;
  /** 32 bytes, if verified. */
  readonly peerId: Uint8Array;
  readonly verdict: Verdict;
  /** Why it is forged. */
  readonly reason?: string;

  // From here on the peer's own word if verified, else the introducer's.

  readonly seqnum: bigint;
  readonly nickname: string;
  readonly endpoints: readonly string[];
  /** What permutations hash for this peer. */
  readonly permutationSeed: Uint8Array;
  /** What the peer said, all of it. Only if verified. */
  readonly announcement?: Announcement;
  /** The signed bytes as they came. */
  readonly signed: Signed;

  // From here on the introducer's word, always: nobody signs it.

  /** Where in the introducer's log it stands. */
  readonly revision: bigint;
  readonly firstSeen?: Date;
  readonly announced?: Date;
  /** Absent: never. */
  readonly expires?: Date;
  /** It comes from the cache, and nothing was heard of it since. */
  readonly cached: boolean;
}

/** A peer whose announcement verifies. */
export interface Peer extends PeerEntry {
  readonly verdict: "verified";
  readonly announcement: Announcement;
}

/** A peer that left. */
export interface GonePeer {
  readonly service: string;
  readonly id: string;
  readonly peerId: Uint8Array;
  readonly revision: bigint;
  /** "unknown" is a reason that this client does not know. */
  readonly why: "withdrawn" | "expired" | "evicted" | "unknown";
  /** Whether the withdrawal is the peer's own word. Of expiry and eviction nothing is signed: absent. */
  readonly verdict?: Verdict;
  readonly reason?: string;
  /** The signed withdrawal, if there is one. */
  readonly signed?: Signed;
  /** What was held of it before. */
  readonly last?: PeerEntry;
  /** When this client heard of it. */
  readonly heard: Date;
}

/** The bytes of a signed announcement on the wire. Absent is as good as empty: it verifies nowhere. */
export function signedOf(s: SignedAnnouncement | undefined): Signed {
  const none = new Uint8Array();
  return { message: s?.message ?? none, signature: s?.signature ?? none, peerId: s?.peerId ?? none };
}

export function dateOf(t: Timestamp | undefined): Date | undefined {
  if (t === undefined) return undefined;
  const date = timestampDate(t);
  return Number.isNaN(date.getTime()) ? undefined : date; // out of range
}

/** What the introducer says of a peer, not looked at yet. */
export function entryOf(p: WirePeer): PeerEntry {
  const dates = { firstSeen: dateOf(p.firstSeen), announced: dateOf(p.announced), expires: dateOf(p.expires) };
  return {
    service: p.service,
    id: peerIdText(p.peerId),
    peerId: p.peerId,
    verdict: "checking",
    seqnum: p.seqnum,
    nickname: p.nickname,
    endpoints: p.endpoints,
    permutationSeed: p.permutationSeed,
    signed: signedOf(p.announcement),
    revision: p.revision,
    ...present(dates),
    cached: false,
  };
}

/** Without the members that are undefined. */
export function present<T extends object>(o: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/**
 * The entry with its verdict. If verified, what it shows is taken from the signed bytes. before is what was
 * held of this service and peer.
 */
export function judged(e: PeerEntry, v: Verification, before?: PeerEntry): PeerEntry {
  const reason = v.ok ? (disagreement(e, v.announcement) ?? replay(v.announcement, before)) : v.reason;
  if (!v.ok || reason !== undefined) return { ...e, verdict: "forged", reason: reason ?? "" };
  const a = v.announcement;
  return {
    ...e,
    verdict: "verified",
    nickname: a.nickname,
    endpoints: allEndpoints(a),
    announcement: a,
    permutationSeed: permutationSeed(a, e.signed.peerId),
  };
}

// The introducer reads an announcement as everybody does, or lies.
function disagreement(e: PeerEntry, a: Announcement): string | undefined {
  if (a.withdrawn) return "the peer has withdrawn it";
  if (!equalBytes(e.peerId, e.signed.peerId)) return `it is signed by another peer, ${peerIdText(e.signed.peerId)}`;
  const own = allEndpoints(a);
  const readings: [string, string, string][] = [
    ["service", e.service, a.service],
    ["seqnum", `${e.seqnum}`, `${a.seqnum}`],
    ["nickname", unmarked(e.nickname), unmarked(a.nickname)],
    ["permutation seed", hex(e.permutationSeed), hex(permutationSeed(a, e.peerId))],
  ];
  for (const [what, introducer, peer] of readings) {
    if (introducer !== peer) return `the introducer says ${what} ${clip(introducer)}, the peer signed ${clip(peer)}`;
  }
  if (own.length !== e.endpoints.length || own.some((x, i) => unmarked(x) !== unmarked(e.endpoints[i]!))) {
    return "the introducer says endpoints that the peer did not sign"; // not which: a FURL is a secret
  }
  return undefined;
}

/** A peer signed its older word, too: it must not come back in the place of the newer. */
function replay(a: Announcement, before: PeerEntry | undefined): string | undefined {
  if (before?.verdict !== "verified") return undefined;
  const old = a.withdrawn ? a.seqnum <= before.seqnum : a.seqnum < before.seqnum;
  return old ? `it is old: its seqnum is ${a.seqnum}, the peer has signed ${before.seqnum} since` : undefined;
}

/** Without a byte order mark before it, which the library for messages takes off every string. */
function unmarked(s: string): string {
  return s.replace(/^\ufeff/, "");
}

const reasons: Partial<Record<GoneReason, GonePeer["why"]>> = {
  [GoneReason.WITHDRAWN]: "withdrawn",
  [GoneReason.EXPIRED]: "expired",
  [GoneReason.EVICTED]: "evicted",
};

export function whyOf(reason: GoneReason): GonePeer["why"] {
  return reasons[reason] ?? "unknown"; // one of the future
}

export function goneOf(g: Gone, last: PeerEntry | undefined): GonePeer {
  const why = whyOf(g.reason);
  return {
    service: g.service,
    id: peerIdText(g.peerId),
    peerId: g.peerId,
    revision: g.revision,
    why,
    ...(why === "withdrawn" && { verdict: "checking" as const, signed: signedOf(g.withdrawal) }),
    ...present({ last }),
    heard: new Date(),
  };
}

/** The peer that left, with the verdict on its withdrawal. */
export function judgedGone(g: GonePeer, v: Verification): GonePeer {
  const reason = v.ok ? noWithdrawal(g, v.announcement) : v.reason;
  return reason === undefined ? { ...g, verdict: "verified" } : { ...g, verdict: "forged", reason };
}

function noWithdrawal(g: GonePeer, a: Announcement): string | undefined {
  if (g.signed === undefined || !equalBytes(g.signed.peerId, g.peerId)) return "it is signed by another peer";
  if (!a.withdrawn) return "what the peer signed is no withdrawal";
  if (a.service !== g.service) {
    return `the introducer says service ${clip(g.service)}, the peer signed ${clip(a.service)}`;
  }
  return replay(a, g.last);
}
