import type { PeerEntry } from "@introducer/client";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import type { Grid, LiveGrid } from "./grid.js";
import { Announcer, Mark, Said, shortId, Time } from "./parts.js";
import { href } from "./route.js";
import { rowOf, searchRows, sortRows, type Filter, type Row, type Sort, type SortKey } from "./rows.js";
import type { Status } from "./status.js";
import { useNow } from "./store.js";
import { Table, type Column } from "./table.js";
import { about, ago, count } from "./visible.js";

/** The services, and the peers of one or of all of them. */
export function Peers({ live, grid, status, service }: { live: LiveGrid; grid: Grid; status: Status | undefined; service: string }) {
  const [query, setQuery] = useState("");
  const [filter, setFilter] = useState<Filter>("all");
  const [sort, setSort] = useState<Sort>({ by: "name", descending: false });
  const entries = live.entries(service);
  const sorted = useMemo(() => sortRows(entries.map(rowOf), sort), [entries, sort]);
  const shown = useMemo(() => searchRows(sorted, query, filter), [sorted, query, filter]);

  const onSort = (column: string) => {
    const by = column as SortKey;
    setSort((old) => ({ by, descending: old.by === by && !old.descending }));
  };
  const found = shown.length === entries.length ? `${count(entries.length)} peers` : `${count(shown.length)} of ${count(entries.length)} peers`;
  return (
    <section aria-labelledby="peers-title">
      <h1 id="peers-title" class="hidden">Peers{service === "" ? " of all services" : ` of ${service}`}</h1>
      <Services live={live} grid={grid} status={status} service={service} />
      <div class="tools">
        <Search query={query} onQuery={setQuery} />
        <label class="select">
          <span class="hidden">Show</span>
          <select value={filter} onChange={(e) => setFilter(e.currentTarget.value as Filter)}>
            <option value="all">All peers</option>
            <option value="forged">Forged only</option>
            <option value="expiring">With an expiry</option>
          </select>
        </label>
        <span class="found">{found}</span>
        <Announcer text={found} />
      </div>
      {shown.length > 0 ? (
        <PeerTable rows={shown} sort={sort} onSort={onSort} freshAfter={grid.freshAfter} all={service === ""} />
      ) : (
        <p class="empty">{nothing(grid, entries, service)}</p>
      )}
    </section>
  );
}

function nothing(grid: Grid, entries: readonly PeerEntry[], service: string): string {
  if (entries.length > 0) return "No peer is like that.";
  if (grid.state.connection !== "live") return "Nothing heard yet.";
  return service === "" ? "Nobody has announced anything yet." : "Nobody offers this service now.";
}

const mostTabs = 24;
const mostOthers = 1000;

function Services({ live, grid, status, service }: { live: LiveGrid; grid: Grid; status: Status | undefined; service: string }) {
  // Those that only the introducer still knows have no peers; a wrong name in the address is nobody's.
  const subscribers = new Map(status?.services.map((s) => [s.service, s.subscribers]));
  const names = [...new Set([...grid.services, ...subscribers.keys()])].sort();
  // Anybody can make up services: those with the most peers have a tab, others can be chosen.
  const peers = (name: string) => live.entries(name).length;
  const tabs = names.length <= mostTabs ? names : [...names].sort((a, b) => peers(b) - peers(a)).slice(0, mostTabs).sort();
  const others = names.length <= mostTabs ? [] : names.filter((name) => !tabs.includes(name)).slice(0, mostOthers);
  const tab = (name: string, label: string, peers: number) => {
    const n = subscribers.get(name);
    return (
      <li key={name}>
        <a href={href({ view: "peers", service: name })} aria-current={name === service ? "page" : undefined}>
          <bdi>{label}</bdi> <b>{count(peers)}</b>
          {n !== undefined && <small>{n === 1 ? "1 subscriber" : `${count(n)} subscribers`}</small>}
        </a>
      </li>
    );
  };
  return (
    <nav class="services" aria-label="Services">
      <ul>
        {tab("", "All services", grid.state.peers)}
        {tabs.map((name) => tab(name, name, peers(name)))}
        {others.length > 0 && (
          <li>
            <select aria-label="Other services" value={others.includes(service) ? service : ""} onChange={(e) => { location.hash = href({ view: "peers", service: e.currentTarget.value }); }}>
              <option value="">{count(names.length - tabs.length)} others…</option>
              {others.map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
          </li>
        )}
      </ul>
    </nav>
  );
}

function Search({ query, onQuery }: { query: string; onQuery: (query: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => {
      const busy = e.target instanceof HTMLElement && e.target.closest("input, select, textarea");
      if (e.key !== "/" || busy || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault();
      input.current?.focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <label class="search">
      <span class="hidden">Search by nickname, peer id or host</span>
      <input
        ref={input}
        type="search"
        placeholder="Search nickname, peer id, host"
        value={query}
        maxLength={200}
        spellcheck={false}
        autocomplete="off"
        aria-keyshortcuts="/"
        onInput={(e) => onQuery(e.currentTarget.value)}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}

interface PeerTableProps {
  readonly rows: readonly Row[];
  readonly sort: Sort;
  readonly onSort: (column: string) => void;
  readonly freshAfter: bigint;
  readonly all: boolean; // of every service
}

function PeerTable({ rows, sort, onSort, freshAfter, all }: PeerTableProps) {
  const now = useNow(5000);
  const columns = useMemo(() => peerColumns(now).filter((c) => all || c.name !== "service"), [now, all]);
  return (
    <Table
      label="Peers"
      class={all ? "peers of-all" : "peers"}
      columns={columns}
      rows={rows}
      keyOf={(r) => r.key}
      rowClass={({ entry }) => `${entry.verdict} ${entry.revision > freshAfter ? "fresh" : ""}`}
      sort={sort}
      onSort={onSort}
    />
  );
}

function peerColumns(now: number): Column<Row>[] {
  return [
    {
      name: "name",
      title: "Nickname",
      sortable: true,
      cell: ({ entry }, _, tabIndex) => (
        <>
          <Mark verdict={entry.verdict} reason={entry.reason} />
          <a href={href({ view: "peer", service: entry.service, id: entry.id })} tabIndex={tabIndex}>
            <Said text={entry.nickname} most={64} none="no nickname" />
          </a>
          {entry.verdict === "forged" && <span class="badge">forged</span>}
        </>
      ),
    },
    { name: "service", title: "Service", sortable: true, cell: ({ entry }) => <Said text={entry.service} most={64} /> },
    { name: "id", title: "Peer id", sortable: true, cell: ({ entry }) => <code title={entry.id}>{shortId(entry.id)}</code> },
    {
      name: "endpoint",
      title: "Endpoints",
      sortable: true,
      cell: ({ entry, endpoint }) => (
        <>
          <Said text={endpoint} most={90} />
          {entry.endpoints.length > 1 && <span class="quiet"> +{entry.endpoints.length - 1}</span>}
        </>
      ),
    },
    { name: "seqnum", title: "Seqnum", sortable: true, cell: ({ entry }) => count(entry.seqnum) },
    {
      name: "announced",
      title: "Announced",
      sortable: true,
      cell: ({ entry: { announced } }) => announced && <Time at={announced}>{ago(announced, now)}</Time>,
    },
    {
      name: "expires",
      title: "Expires",
      sortable: true,
      cell: ({ entry: { expires } }) =>
        expires === undefined ? (
          <span class="quiet">never</span>
        ) : (
          <Time at={expires}>{expires.getTime() > now ? `in ${about((expires.getTime() - now) / 1000)}` : "about now"}</Time>
        ),
    },
  ];
}
