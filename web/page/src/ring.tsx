import type { Peer, Permuted } from "@introducer/client";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { compare, mostCompared, type Comparison } from "./compare.js";
import { Circle } from "./circle.js";
import type { Grid, LiveGrid } from "./grid.js";
import { Announcer, Said, shortId } from "./parts.js";
import { href } from "./route.js";
import { hashFile, randomStorageIndex, readStorageIndex } from "./storageindex.js";
import { Table, type Column } from "./table.js";
import { clip, count } from "./visible.js";

const mostServices = 1000; // to choose from: anybody can make some up

interface RingProps {
  readonly live: LiveGrid;
  readonly grid: Grid;
  readonly service: string; // "": the first there is
  readonly storageIndex: string; // "": some
}

/** The order of a service's peers for one storage index, computed here and compared with the introducer's. */
export function Ring({ live, grid, service: wanted, storageIndex }: RingProps) {
  const some = useMemo(randomStorageIndex, []);
  const service = wanted || grid.services[0] || "";
  const text = storageIndex || some;
  const reading = useMemo(() => readStorageIndex(text), [text]);
  const peers = live.client.peers(service);
  const order = useMemo(() => (reading.ok ? live.client.permutedPeers(service, reading.bytes) : []), [peers, reading]);
  const comparison = useComparison(live, service, reading.ok ? reading.bytes : undefined, order, grid.state.connection === "live");
  const [looked, setLooked] = useState<string>(); // id of the peer that is pointed at

  const go = (to: Partial<{ service: string; storageIndex: string }>) => {
    location.hash = href({ view: "ring", service, storageIndex: text, ...to });
  };
  return (
    <section aria-labelledby="ring-title" class="ring">
      <div class="controls">
        <h1 id="ring-title">The ring</h1>
        <p class="quiet">Each file meets its own order of peers, and everyone computes the same one.</p>
        <label class="labelled">
          <span>Service</span>
          <select value={service} onChange={(e) => go({ service: e.currentTarget.value })}>
            {[...new Set([service, ...grid.services.slice(0, mostServices)])].filter((s) => s !== "").map((s) => (
              <option key={s} value={s}>{clip(s, 64)}</option>
            ))}
          </select>
        </label>
        <StorageIndex text={text} problem={reading.ok ? "" : reading.problem} as={reading.ok ? `read as ${reading.as}, ${reading.bytes.length} bytes` : ""} onText={(storageIndex) => go({ storageIndex })} />
        <Verdict comparison={comparison} order={order} />
      </div>
      <Circle peers={peers} order={order} storageIndex={text} looked={looked} onLook={setLooked} />
      <div class="order" onPointerOver={(e) => setLooked((e.target as Element).closest<HTMLElement>("[data-id]")?.dataset["id"])} onPointerLeave={() => setLooked(undefined)}>
        {order.length > 0 ? (
          <Table label="Peers in the order of the storage index" class="permuted" columns={columns} rows={order} keyOf={(o) => o.peer.id} rowClass={(o) => (o.peer.id === looked ? "looked" : "")} />
        ) : (
          <p class="empty">{reading.ok ? "Nobody offers this service now." : "Type a storage index, or drop a file."}</p>
        )}
      </div>
    </section>
  );
}

const columns: Column<Permuted<Peer>>[] = [
  { name: "place", title: "#", cell: (_, i) => count(i + 1) },
  {
    name: "name",
    title: "Nickname",
    cell: ({ peer }, _, tabIndex) => (
      <a href={href({ view: "peer", service: peer.service, id: peer.id })} data-id={peer.id} tabIndex={tabIndex}>
        <Said text={peer.nickname} most={64} none="no nickname" />
      </a>
    ),
  },
  { name: "id", title: "Peer id", cell: ({ peer }) => <code title={peer.id} data-id={peer.id}>{shortId(peer.id)}</code> },
  { name: "permuted", title: "Permuted id", cell: ({ permutedId, peer }) => <code title={hex(permutedId)} data-id={peer.id}>{hex(permutedId.subarray(0, 6))}…</code> },
];

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

function StorageIndex({ text, problem, as, onText }: { text: string; problem: string; as: string; onText: (text: string) => void }) {
  const [typed, setTyped] = useState(text);
  const [note, setNote] = useState("");
  const [over, setOver] = useState(false);
  const hashing = useRef<AbortController>(undefined);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => () => hashing.current?.abort(), []);

  const type = (value: string) => {
    setTyped(value);
    setNote("");
    const reading = readStorageIndex(value);
    if (reading.ok) onText(value.trim());
  };
  const current = readStorageIndex(typed);
  const wrong = current.ok ? problem : current.problem;
  const told = wrong || note || as;
  const take = async (file: File | undefined) => {
    if (file === undefined) return;
    hashing.current?.abort();
    const { signal } = (hashing.current = new AbortController());
    const name = clip(file.name, 40);
    try {
      const index = await hashFile(file, (part) => setNote(`hashing ${name}: ${Math.floor(100 * part)} %`), signal);
      onText(index);
      setNote(`SHA-256 of ${name}, its first 16 bytes; the file stays here`);
    } catch (e) {
      if (!signal.aborted) setNote(`${name} could not be read: ${clip(String(e), 100)}`);
    }
  };
  return (
    <div
      class={`drop ${over ? "over" : ""}`}
      onDragOver={(e) => { e.preventDefault(); setOver(true); }}
      onDragLeave={() => setOver(false)}
      onDrop={(e) => { e.preventDefault(); setOver(false); void take(e.dataTransfer?.files[0]); }}
    >
      <label class="labelled">
        <span>Storage index</span>
        <input
          type="text"
          value={typed}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          maxLength={140}
          aria-invalid={wrong !== ""}
          aria-describedby="index-note"
          onInput={(e) => type(e.currentTarget.value)}
        />
      </label>
      <p id="index-note" class={wrong === "" ? "quiet" : "bad"}>
        {told}
      </p>
      <Announcer text={told} />
      <div class="buttons">
        <button type="button" onClick={() => { setNote(""); onText(randomStorageIndex()); }}>Random</button>
        <label class="button">
          Hash a file…
          <input type="file" class="hidden" onChange={(e) => { void take(e.currentTarget.files?.[0]); e.currentTarget.value = ""; }} />
        </label>
        <span class="quiet">or drop one here</span>
      </div>
    </div>
  );
}

const said: Record<Comparison["is"], string> = {
  waiting: "",
  same: "The introducer says the same order",
  different: "The introducer's order differs",
  moving: "The order was not compared",
  failed: "The order was not compared",
};

function Verdict({ comparison, order }: { comparison: Comparison; order: readonly Permuted<Peer>[] }) {
  const c = comparison;
  return (
    <p class={`comparison ${c.is}`}>
      <Announcer text={said[c.is]} />
      {c.is === "waiting" && "Asking the introducer for its order…"}
      {c.is === "same" && (
        <>
          <span class="mark verified" aria-hidden="true">✓</span> Computed in this browser; the introducer says the same of{" "}
          {c.peers === order.length ? `all ${count(c.peers)}` : `the first ${count(c.peers)}`} peers, at revision {count(c.revision)}.
        </>
      )}
      {c.is === "different" && (
        <>
          <span class="mark forged" aria-hidden="true">✕</span> <strong>The introducer's order differs</strong> from place {count(c.at + 1)} on, at revision {count(c.revision)}.
        </>
      )}
      {c.is === "moving" && `Not compared: the grid changes faster than answers come. (Of at most ${count(mostCompared)} peers.)`}
      {c.is === "failed" && `Not compared: ${clip(c.reason, 200)}`}
    </p>
  );
}

const calm = 1000; // ms between two comparisons

/** Compares after each change and with each connection, at most once a second. */
function useComparison(live: LiveGrid, service: string, storageIndex: Uint8Array | undefined, order: readonly Permuted<Peer>[], connected: boolean): Comparison {
  const [comparison, setComparison] = useState<Comparison>({ is: "waiting" });
  const last = useRef(-calm);
  const asked = useRef<Uint8Array>(undefined);
  useEffect(() => {
    if (storageIndex === undefined || service === "") return;
    if (asked.current !== storageIndex) setComparison({ is: "waiting" });
    asked.current = storageIndex;
    const ended = new AbortController();
    const timer = setTimeout(async () => {
      last.current = performance.now();
      const got = await compare(live, service, storageIndex, () => live.client.permutedPeers(service, storageIndex), ended.signal);
      if (!ended.signal.aborted) setComparison(got);
    }, Math.max(0, last.current + calm - performance.now()));
    return () => {
      clearTimeout(timer);
      ended.abort();
    };
  }, [live, service, storageIndex, order, connected]);
  return comparison;
}
