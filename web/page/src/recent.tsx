import { useEffect, useState } from "preact/hooks";
import type { GonePeer } from "@introducer/client";

import { departures, lookedThrough } from "./departures.js";
import type { Grid, LiveGrid } from "./grid.js";
import { Mark, Said, shortId, Time } from "./parts.js";
import { href } from "./route.js";
import { useNow } from "./store.js";
import { Table, type Column } from "./table.js";
import { ago, clip, count } from "./visible.js";

const most = 500;

/** Peers that left: while the page looked, and before that as far as the log's end tells. */
export function Recent({ live, grid }: { live: LiveGrid; grid: Grid }) {
  const now = useNow(5000);
  const [before, setBefore] = useState<readonly GonePeer[]>();
  const [error, setError] = useState("");
  const connected = grid.state.connection === "live";
  useEffect(() => {
    const ended = new AbortController();
    departures(live.client, ended.signal).then(
      (all) => (setBefore(all), setError("")),
      (e: unknown) => ended.signal.aborted || setError(e instanceof Error ? e.message : String(e)),
    );
    return () => ended.abort();
  }, [live, connected]);

  const known = new Set(grid.gone.map(keyOf));
  const rows = [...grid.gone, ...(before ?? []).filter((g) => !known.has(keyOf(g)))]
    .sort((a, b) => (a.revision < b.revision ? 1 : a.revision > b.revision ? -1 : 0))
    .slice(0, most);
  return (
    <section aria-labelledby="recent-title">
      <h1 id="recent-title">Left lately</h1>
      <p class="quiet">
        Withdrawn, expired and evicted, at most {most}: since this page was opened, and before that by the last {count(lookedThrough)} records of
        the log. Each peer's own page has its history.
      </p>
      {error !== "" && <p class="notice">The log could not be read: {clip(error, 300)}</p>}
      {rows.length === 0 ? (
        <p class="empty">{before === undefined && error === "" ? "…" : "Nobody has left."}</p>
      ) : (
        <Table label="Peers that left" class="gone" columns={columns(now)} rows={rows} keyOf={keyOf} rowClass={(g) => g.verdict ?? ""} />
      )}
    </section>
  );
}

function keyOf(g: GonePeer): string {
  return `${g.service}/${g.id}/${g.revision}`;
}

function columns(now: number): Column<GonePeer>[] {
  return [
    {
      name: "name",
      title: "Nickname",
      cell: (g, _, tabIndex) => (
        <a href={href({ view: "peer", service: g.service, id: g.id })} tabIndex={tabIndex}>
          <Said text={g.last?.nickname ?? ""} most={64} none="not known" />
        </a>
      ),
    },
    { name: "service", title: "Service", cell: (g) => <Said text={g.service} most={64} /> },
    { name: "id", title: "Peer id", cell: (g) => <code title={g.id}>{shortId(g.id)}</code> },
    {
      name: "why",
      title: "Why",
      cell: (g) => (
        <>
          {g.verdict && <Mark verdict={g.verdict} reason={g.reason} />} {g.why}
          {g.verdict === "forged" && <span class="badge">forged</span>}
        </>
      ),
    },
    { name: "revision", title: "Revision", cell: (g) => count(g.revision) },
    { name: "heard", title: "When", cell: (g) => <Time at={g.heard}>{ago(g.heard, now)}</Time> },
  ];
}
