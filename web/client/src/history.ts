import type { Announcement, Signed } from "./announcement.js";
import { equalBytes } from "./bytes.js";
import type { LogRecord, ReadLogResponse } from "./gen/introducer/v1/introducer_pb.js";
import { dateOf, present, signedOf, whyOf, type GonePeer } from "./peer.js";
import type { Verifier } from "./verify.js";

/** One record of the introducer's log about one peer and service. */
export interface HistoryRecord {
  readonly revision: bigint;
  /** When the introducer wrote it. */
  readonly time?: Date;
  readonly what: "announced" | GonePeer["why"];
  /** Whether the peer signed it. Of expiry and eviction nothing is signed: absent. */
  readonly verdict?: "verified" | "forged";
  readonly reason?: string;
  readonly announcement?: Announcement;
  readonly signed?: Signed;
}

/** Reads what open gives. Whoever stops reading early, or aborts outer, ends the call. */
export async function* readHistory(
  open: (signal: AbortSignal) => AsyncIterable<ReadLogResponse>,
  service: string,
  peerId: Uint8Array,
  verifier: Verifier,
  outer?: AbortSignal,
): AsyncGenerator<HistoryRecord> {
  outer?.throwIfAborted();
  const here = new AbortController();
  const end = () => here.abort(outer?.reason);
  outer?.addEventListener("abort", end);
  try {
    for await (const { records } of open(here.signal)) {
      for (const r of records) yield await read(r, service, peerId, verifier);
    }
  } finally {
    outer?.removeEventListener("abort", end);
    here.abort();
  }
}

async function read(r: LogRecord, service: string, peerId: Uint8Array, verifier: Verifier): Promise<HistoryRecord> {
  const at = { revision: r.revision, ...present({ time: dateOf(r.time) }) };
  if (r.record.case === "removed") return { ...at, what: whyOf(r.record.value.reason) };
  if (r.record.case === undefined) return { ...at, what: "unknown" }; // a kind of the future
  const signed = signedOf(r.record.value);
  const v = await verifier.verify(signed);
  if (!v.ok) return { ...at, what: "announced", verdict: "forged", reason: v.reason, signed };
  const what = v.announcement.withdrawn ? "withdrawn" : "announced";
  if (!equalBytes(signed.peerId, peerId) || v.announcement.service !== service) {
    return { ...at, what, verdict: "forged", reason: "it is of another peer or service than asked for", signed };
  }
  return { ...at, what, verdict: "verified", announcement: v.announcement, signed };
}
