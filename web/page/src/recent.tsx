import type { GonePeer } from "@introducer/client";

import type { Grid } from "./grid.js";
import { Mark, Said, shortId, Time } from "./parts.js";
import { href } from "./route.js";
import { useNow } from "./store.js";
import { Table, type Column } from "./table.js";
import { ago, count } from "./visible.js";

/** Peers that left while the page looked. */
export function Recent({ grid }: { grid: Grid }) {
  const now = useNow(5000);
  return (
    <section aria-labelledby="recent-title">
      <h1 id="recent-title">Left lately</h1>
      <p class="quiet">Withdrawn, expired and evicted since this page was opened, at most 500; each peer's own page has its history from the log.</p>
      {grid.gone.length === 0 ? (
        <p class="empty">Nobody has left.</p>
      ) : (
        <Table label="Peers that left" class="gone" columns={columns(now)} rows={grid.gone} keyOf={(g) => `${g.service}/${g.id}/${g.revision}`} rowClass={(g) => g.verdict ?? ""} />
      )}
    </section>
  );
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
    { name: "heard", title: "Heard", cell: (g) => <Time at={g.heard}>{ago(g.heard, now)}</Time> },
  ];
}
