import type { Grid } from "./grid.js";
import { Copy, Field, Time } from "./parts.js";
import type { Status } from "./status.js";
import { useNow } from "./store.js";
import { clip, count, span } from "./visible.js";

/** Which introducer this is and how it is. */
export function Overview({ grid, status }: { grid: Grid; status: Status | undefined }) {
  const now = useNow();
  const { state } = grid;
  const head = state.token?.revision ?? BigInt(status?.last_revision ?? 0);
  const wait = <span class="quiet">…</span>;
  return (
    <dl class="overview" aria-label="This introducer">
      <Field name="Peers" class="large">
        {count(state.peers)}
      </Field>
      <Field name="Revision" class="large">
        {count(head)}
        {status !== undefined && status.first_revision > 1 && <small>history from {count(status.first_revision)}</small>}
      </Field>
      <Field name="Running for" class="large">
        {status === undefined ? (
          wait
        ) : (
          <>
            {/* By the introducer's clock: this machine's may be wrong. */}
            {span(Math.max(1, Math.floor(status.uptime_seconds + Math.max(0, now - status.heard) / 1000)))}
            <small>since <Time at={new Date(status.started)} /></small>
          </>
        )}
      </Field>
      <Field name="Signatures">
        <Signatures grid={grid} />
      </Field>
      <Field name="Set digest">
        <Digest grid={grid} />
      </Field>
      <Field name="Last restart took">{status === undefined ? wait : span(status.replay_seconds)}</Field>
      <Field name="Version">{status === undefined ? wait : clip(status.version, 60)}</Field>
      <Field name="Log id" class="log">
        {status === undefined ? (
          wait
        ) : (
          <>
            <code title={status.log_id}>{status.log_id.slice(0, 8)}…{status.log_id.slice(-4)}</code>{" "}
            <Copy text={status.log_id} what="log id" />
          </>
        )}
      </Field>
    </dl>
  );
}

function Signatures({ grid: { state } }: { grid: Grid }) {
  if (state.forged > 0) return <strong class="bad">{count(state.forged)} forged</strong>;
  if (state.checking > 0) return <span class="busy">{count(state.peers - state.checking)} verified, {count(state.checking)} to go</span>;
  return state.peers > 0 ? <span class="good">all {count(state.peers)} verified here</span> : <span class="quiet">none yet</span>;
}

function Digest({ grid: { state } }: { grid: Grid }) {
  if (state.digest === "differs") {
    return <strong class="bad" title="What this page heard is not what the introducer says it holds. It begins anew.">differs</strong>;
  }
  const again = state.mismatches > 0 ? `, differed ${count(state.mismatches)} times before` : "";
  if (state.digest === "same") return <span class="good" title={`This page holds exactly the introducer's set${again}.`}>matches{again}</span>;
  return <span class="quiet">not known yet{again}</span>;
}

/** What an operator has to see first. */
export function Alarms({ grid, status }: { grid: Grid; status: Status | undefined }) {
  const reason = status?.quarantined || status?.not_ready;
  return (
    <>
      {reason && (
        <p class="alarm" role="alert">
          <strong>{status?.quarantined ? "Quarantined." : "Not ready."}</strong> {clip(reason, 500)}
        </p>
      )}
      {(grid.state.forged > 0 || grid.state.digest === "differs") && (
        <p class="alarm" role="alert">
          <strong>Do not trust this introducer.</strong>{" "}
          {grid.state.forged > 0
            ? "What it says of some peers is not what they signed: it lies, or something between it and this page does."
            : "What it sent is not what it says it holds: it lies, or something between it and this page does."}
        </p>
      )}
    </>
  );
}
