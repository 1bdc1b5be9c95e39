import { peerIdText, verifyAnnouncement, type GonePeer, type IntroducerClient } from "@introducer/client";
import { GoneReason, type LogRecord } from "@introducer/client/proto";

/** How many records of the log's end are looked through. */
export const lookedThrough = 2000;

/** Who left, by the end of the introducer's log, latest first: what happened before this page was opened. */
export async function departures(client: IntroducerClient, signal: AbortSignal): Promise<GonePeer[]> {
  const { lastRevision, log } = await client.getInfo({ signal });
  const whole = log?.historyRevision ?? 1n; // before it the log may not be read from
  const late = lastRevision - BigInt(lookedThrough) + 1n;
  const found: GonePeer[] = [];
  for await (const { records } of client.rpc.readLog({ fromRevision: late > whole ? late : whole }, { signal })) {
    for (const r of records) {
      const gone = await departure(r);
      if (gone !== undefined) found.push(gone);
    }
  }
  return found.reverse();
}

const why = {
  [GoneReason.EXPIRED]: "expired",
  [GoneReason.EVICTED]: "evicted",
  [GoneReason.WITHDRAWN]: "withdrawn",
  [GoneReason.UNSPECIFIED]: "unknown",
} as const;

async function departure({ record, revision, time }: LogRecord): Promise<GonePeer | undefined> {
  const heard = new Date(time === undefined ? 0 : Number(time.seconds) * 1000);
  if (record.case === "removed") {
    const { service, peerId, reason } = record.value;
    return { service, peerId, id: peerIdText(peerId), revision, heard, why: why[reason] ?? "unknown" };
  }
  if (record.case !== "published" || !says.test(new TextDecoder().decode(record.value.message))) return undefined;
  const v = await verifyAnnouncement(record.value);
  // What nobody signed says nothing about any peer; a peer's own page shows it as forged.
  if (!v.ok || !v.announcement.withdrawn) return undefined;
  const { peerId } = record.value;
  return { service: v.announcement.service, peerId, id: peerIdText(peerId), revision, heard, why: "withdrawn", verdict: "verified", signed: record.value };
}

// Spares nearly all announcements their verifying. An escaped name is missed here, not on the peer's page.
const says = /"withdrawn"/;
