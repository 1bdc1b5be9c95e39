import type { PeerEntry } from "@introducer/client";

import { clip, endpointHost } from "./visible.js";

/** What a table shows of a peer, made once for each announcement. */
export interface Row {
  readonly entry: PeerEntry;
  readonly key: string; // one for each service and peer id
  readonly name: string; // "" for none
  readonly order: string; // of names: small letters, and numbers by their size
  readonly endpoint: string; // the first, shortened; "" for none
}

const made = new WeakMap<PeerEntry, Row>();

export function rowOf(entry: PeerEntry): Row {
  let row = made.get(entry);
  if (row === undefined) {
    const name = clip(entry.nickname, 64);
    row = {
      entry,
      key: `${entry.service}/${entry.id}`,
      name,
      // Nodes are named node-2 and node-10; those without a name come last.
      order: name === "" ? "\u{10ffff}" : name.toLowerCase().replace(/\d+/g, (n) => n.padStart(12, "0")),
      endpoint: entry.endpoints.length > 0 ? endpointHost(entry.endpoints[0]!) : "",
    };
    made.set(entry, row);
  }
  return row;
}

/** The columns that a table of peers can be sorted by. */
export type SortKey = "name" | "service" | "id" | "endpoint" | "seqnum" | "announced" | "expires";

export interface Sort {
  readonly by: SortKey;
  readonly descending: boolean;
}

/** Which peers are shown: all, or those with a fault, or those that end by themselves. */
export type Filter = "all" | "forged" | "expiring";

const ending = (e: PeerEntry) => e.expires?.getTime() ?? Infinity;

const values: Record<SortKey, (r: Row) => string | number | bigint> = {
  name: (r) => r.order,
  service: (r) => r.entry.service,
  id: (r) => r.entry.id,
  endpoint: (r) => r.endpoint,
  seqnum: (r) => r.entry.seqnum,
  announced: (r) => r.entry.announced?.getTime() ?? 0,
  expires: (r) => ending(r.entry),
};

/** The rows in order, in a new array; equal ones by peer id and service, whatever the direction. */
export function sortRows(rows: readonly Row[], sort: Sort): Row[] {
  const value = values[sort.by];
  const sign = sort.descending ? -1 : 1;
  // What is compared is taken out once: half a million comparisons should do nothing else.
  const keyed = rows.map((row) => ({ row, value: value(row) }));
  keyed.sort((a, b) => {
    if (a.value !== b.value) return a.value < b.value ? -sign : sign;
    return a.row.key < b.row.key ? -1 : a.row.key > b.row.key ? 1 : 0;
  });
  return keyed.map((k) => k.row);
}

/**
 * Those whose nickname, peer id, service or endpoints' hosts have every word of the query in them,
 * whatever the case. Secrets in endpoints are not searched.
 */
export function searchRows(rows: readonly Row[], query: string, filter: Filter): readonly Row[] {
  const words = query.toLowerCase().split(/\s+/).filter((w) => w !== "");
  if (words.length === 0 && filter === "all") return rows;
  return rows.filter((row) => {
    const { entry } = row;
    if (filter === "forged" && entry.verdict !== "forged") return false;
    if (filter === "expiring" && entry.expires === undefined) return false;
    return words.every(
      (w) =>
        row.name.toLowerCase().includes(w) ||
        entry.id.includes(w) ||
        entry.service.includes(w) ||
        entry.endpoints.some((e) => endpointHost(e).toLowerCase().includes(w)),
    );
  });
}
