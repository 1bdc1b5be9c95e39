import { encodeBase32, parsePeerId, type Connection, type HistoryRecord, type PeerEntry } from "@introducer/client";
import { useEffect, useState } from "preact/hooks";

import type { Grid, LiveGrid } from "./grid.js";
import { Copy, Field, Mark, Said, Time } from "./parts.js";
import { href } from "./route.js";
import { clip, count, endpointHost, visible } from "./visible.js";

/** All there is to say of one peer and service. */
export function PeerPage({ live, grid, service, id }: { live: LiveGrid; grid: Grid; service: string; id: string }) {
  const peerId = parsed(id);
  const entry = peerId && live.client.entry(service, peerId);
  const gone = grid.gone.find((g) => g.service === service && g.id === id);
  const shown = entry ?? gone?.last;
  return (
    <article class="peer">
      <p class="back">
        <a href={href({ view: "peers", service })}>← Peers of <bdi>{clip(service, 64)}</bdi></a>
      </p>
      <header>
        <h1>
          <Said text={shown?.nickname ?? ""} most={128} none="no nickname" />
        </h1>
        <p class="quiet"><bdi>{clip(service, 64)}</bdi></p>
      </header>
      {peerId === undefined && <p class="alarm">That is no peer id.</p>}
      {entry === undefined && peerId !== undefined && (
        <p class="notice">
          {gone !== undefined ? (
            <>This peer {left[gone.why]}, heard <Time at={gone.heard} />{gone.verdict === "forged" && <strong class="bad"> (not its own word: {clip(gone.reason ?? "", 200)})</strong>}.</>
          ) : grid.state.connection === "live" ? (
            "This peer does not offer this service now."
          ) : (
            "Nothing heard of this peer yet."
          )}
        </p>
      )}
      {shown !== undefined && <Announced live={live} entry={shown} key={shown.revision} />}
      {peerId !== undefined && <History live={live} service={service} peerId={peerId} revision={entry?.revision ?? gone?.revision} connection={grid.state.connection} />}
    </article>
  );
}

const left = {
  withdrawn: "has withdrawn its announcement",
  expired: "expired: it did not announce itself again in time",
  evicted: "was evicted by the operator",
  unknown: "left",
};

function parsed(id: string): Uint8Array | undefined {
  try {
    return parsePeerId(id);
  } catch {
    return undefined;
  }
}

function Announced({ live, entry }: { live: LiveGrid; entry: PeerEntry }) {
  const elsewhere = live.client.services().filter((s) => s !== entry.service && live.client.entry(s, entry.peerId) !== undefined);
  const derived = entry.announcement !== undefined && entry.announcement.permutationSeed === undefined;
  return (
    <>
      <p class={`verdict ${entry.verdict}`} role={entry.verdict === "forged" ? "alert" : undefined}>
        <Mark verdict={entry.verdict} />{" "}
        {entry.verdict === "verified" && <>Signature verified in this browser: Ed25519 over {count(entry.signed.message.length)} bytes, by this peer's key.</>}
        {entry.verdict === "checking" && "The signature is being checked."}
        {entry.verdict === "forged" && <><strong>Forged.</strong> {clip(entry.reason ?? "", 400)}. What follows is the introducer's word.</>}
      </p>
      <dl class="fields">
        <Field name="Peer id" class="wide"><code>{entry.id}</code> <Copy text={entry.id} what="peer id" /></Field>
        <Field name="Sequence number">{count(entry.seqnum)}</Field>
        <Field name="Revision">{count(entry.revision)}</Field>
        <Field name="First seen">{entry.firstSeen && <Time at={entry.firstSeen} />}</Field>
        <Field name="Announced">{entry.announced && <Time at={entry.announced} />}</Field>
        <Field name="Expires">{entry.expires === undefined ? "never" : <Time at={entry.expires} />}</Field>
        {elsewhere.length > 0 && (
          <Field name="Also offers">
            {elsewhere.map((s) => <a key={s} class="also" href={href({ view: "peer", service: s, id: entry.id })}><bdi>{s}</bdi></a>)}
          </Field>
        )}
        <Field name="Permutation seed" class="wide">
          {entry.permutationSeed.length === 0 ? <span class="quiet">empty</span> : <code>{encodeBase32(entry.permutationSeed)}</code>}{" "}
          <small>
            {count(entry.permutationSeed.length)} bytes{derived && ", derived: the peer announced none, so its peer id is hashed"}
          </small>
        </Field>
      </dl>
      <section aria-labelledby="endpoints">
        <h2 id="endpoints">Endpoints</h2>
        {entry.endpoints.length === 0 ? <p class="quiet">none</p> : (
          <ul class="endpoints">
            {entry.endpoints.slice(0, mostEndpoints).map((e, i) => <Endpoint key={i} text={e} />)}
          </ul>
        )}
        {entry.endpoints.length > mostEndpoints && <p class="quiet">and {count(entry.endpoints.length - mostEndpoints)} more, in the signed message</p>}
      </section>
      <Raw entry={entry} />
    </>
  );
}

const mostEndpoints = 50;

/** Where it can be reached. Who knows all of a FURL may use it: that is shown to whoever asks. */
function Endpoint({ text }: { text: string }) {
  const [open, setOpen] = useState(false);
  const short = endpointHost(text);
  return (
    <li>
      <code><bdi dir="ltr">{open ? visible(text) : short}</bdi></code>
      {open || short !== text ? (
        <button type="button" class="small" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Hide" : "Reveal"}</button>
      ) : null}
      {open && <Copy text={text} what="endpoint" />}
    </li>
  );
}

function Raw({ entry }: { entry: PeerEntry }) {
  const [open, setOpen] = useState(false);
  const { message, signature } = entry.signed;
  const text = open ? new TextDecoder().decode(message) : "";
  return (
    <section aria-labelledby="raw">
      <h2 id="raw">Signed message</h2>
      <p>
        <button type="button" class="small" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Hide" : `Reveal ${count(message.length)} bytes`}</button>{" "}
        {open ? <Copy text={text} what="signed message" /> : <small>It has the endpoints in full, which are secrets in some grids.</small>}
      </p>
      {open && (
        <>
          <pre class="raw" tabIndex={0} aria-label="Signed message">{text.split("\n").map(visible).join("\n")}</pre>
          <dl class="fields"><Field name="Signature" class="wide"><code>{encodeBase32(signature)}</code></Field></dl>
        </>
      )}
    </section>
  );
}

const mostRecords = 200;

interface HistoryProps {
  readonly live: LiveGrid;
  readonly service: string;
  readonly peerId: Uint8Array;
  readonly revision: bigint | undefined;
  readonly connection: Connection;
}

/** What the introducer's log has of the peer, read anew whenever something of it changed, and by each connection. */
function History({ live, service, peerId, revision, connection }: HistoryProps) {
  const [records, setRecords] = useState<readonly HistoryRecord[]>();
  const [error, setError] = useState("");
  const key = encodeBase32(peerId);
  const connected = connection === "live";
  useEffect(() => {
    const ended = new AbortController();
    const read = async () => {
      let all: HistoryRecord[] = [];
      for await (const r of live.client.history(service, peerId, { signal: ended.signal })) {
        all.push(r);
        if (all.length > 2 * mostRecords) all = all.slice(-mostRecords);
      }
      setRecords(all.slice(-mostRecords).reverse());
      setError("");
    };
    read().catch((e: unknown) => ended.signal.aborted || setError(e instanceof Error ? e.message : String(e)));
    return () => ended.abort();
  }, [live, service, key, revision, connected]);

  return (
    <section aria-labelledby="history">
      <h2 id="history">History</h2>
      {error !== "" && <p class="notice">It could not be read: {clip(error, 300)}</p>}
      {records === undefined ? error === "" && <p class="quiet">…</p> : records.length === 0 ? <p class="quiet">The log has nothing of it.</p> : (
        <table class="plain">
          <thead><tr><th scope="col">Revision</th><th scope="col">Time</th><th scope="col">What</th><th scope="col">Seqnum</th><th scope="col">Nickname</th></tr></thead>
          <tbody>
            {records.map((r) => (
              <tr key={r.revision} class={r.verdict}>
                <td class="number">{count(r.revision)}</td>
                <td>{r.time && <Time at={r.time} />}</td>
                <td>{r.verdict && <Mark verdict={r.verdict} reason={r.reason} />} {r.what}{r.verdict === "forged" && <span class="badge">forged</span>}</td>
                <td class="number">{r.announcement && count(r.announcement.seqnum)}</td>
                <td>{r.announcement && <Said text={r.announcement.nickname} most={48} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
