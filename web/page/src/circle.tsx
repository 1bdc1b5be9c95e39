import type { Peer, Permuted } from "@introducer/client";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { clip, count } from "./visible.js";

interface CircleProps {
  readonly peers: readonly Peer[];
  readonly order: readonly Permuted<Peer>[];
  readonly storageIndex: string;
  readonly looked: string | undefined;
  readonly onLook: (id: string | undefined) => void;
}

const radius = 100;
const first = 10; // places that are drawn
const mostDots = 500; // above, peers are strokes of one path: ten thousand elements would be slow

/** Where a peer stands: its id is as good as random, and stays. */
function angle(id: Uint8Array): number {
  const turn = ((id[0]! << 24) | (id[1]! << 16) | (id[2]! << 8) | id[3]!) >>> 0;
  return (turn / 2 ** 32) * 2 * Math.PI;
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function point(id: Uint8Array, r: number): Point {
  const a = angle(id);
  return { x: round(r * Math.sin(a)), y: round(-r * Math.cos(a)) };
}

/** Where the marks of the first places stand: on the rim, or beside it where others stand already. */
function spread(shown: readonly Permuted<Peer>[]): Point[] {
  const taken: Point[] = [];
  for (const { peer } of shown) {
    const free = (p: Point) => taken.every((t) => Math.hypot(t.x - p.x, t.y - p.y) > 14);
    const beside = [0, 15, -15, 30, -30].map((d) => point(peer.peerId, radius + d));
    taken.push(beside.find(free) ?? beside[0]!);
  }
  return taken;
}

function round(n: number): number {
  return Math.round(n * 100) / 100;
}

/**
 * The peers on a circle, each where its peer id says, and a line that visits them in the order of the
 * storage index: the first ones, with their places.
 */
export function Circle({ peers, order, storageIndex, looked, onLook }: CircleProps) {
  const shown = order.slice(0, first);
  const strokes = useMemo(() => (peers.length > mostDots ? path(peers) : undefined), [peers]);
  const places = spread(shown);
  const line = places.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${x} ${y}`).join("");
  const at = looked === undefined ? undefined : peers.find((p) => p.id === looked);
  const label = `Circle of ${count(peers.length)} peers; first in order: ${shown.slice(0, 3).map(({ peer }) => clip(peer.nickname, 40) || peer.id.slice(0, 11)).join(", ")}`;
  return (
    <figure class="circle">
      <svg viewBox="-135 -135 270 270" role="img" aria-label={label} onPointerOver={(e) => onLook((e.target as Element).closest<SVGElement>("[data-id]")?.dataset["id"])} onPointerLeave={() => onLook(undefined)}>
        <circle class="rim" r={radius} />
        {strokes !== undefined ? <path class="strokes" d={strokes} /> : peers.map((p) => <Dot key={p.id} peer={p} />)}
        {/* A line of another order is another line: it is drawn from its beginning. */}
        <path key={`${storageIndex} ${shown[0]?.peer.service ?? ""}`} class="visits" d={line} pathLength={1} />
        {shown.map(({ peer }, i) => <Place key={peer.id} peer={peer} at={places[i]!} place={i + 1} looked={peer.id === looked} />)}
        {at !== undefined && <circle class="looked" cx={point(at.peerId, radius).x} cy={point(at.peerId, radius).y} r={11} />}
        <Pulses peers={peers} />
        <text class="amount" y="-1">{count(peers.length)}</text>
        <text class="unit" y="13">{peers.length === 1 ? "peer" : "peers"}</text>
      </svg>
      <figcaption class="quiet">Peers stand where their peer ids put them. The line visits the first {shown.length} in the file's order.</figcaption>
    </figure>
  );
}

function path(peers: readonly Peer[]): string {
  return peers.map((p) => { const a = point(p.peerId, radius - 3); const b = point(p.peerId, radius + 3); return `M${a.x} ${a.y}L${b.x} ${b.y}`; }).join("");
}

function Dot({ peer }: { peer: Peer }) {
  const { x, y } = point(peer.peerId, radius);
  return <circle class="peer" cx={x} cy={y} r={3} data-id={peer.id}><title>{clip(peer.nickname, 64) || peer.id}</title></circle>;
}

function Place({ peer, at: { x, y }, place, looked }: { peer: Peer; at: Point; place: number; looked: boolean }) {
  return (
    <g class={`place ${looked ? "here" : ""} p${place}`} data-id={peer.id}>
      <title>{`${place}: ${clip(peer.nickname, 64) || peer.id}`}</title>
      <circle cx={x} cy={y} r={7.5} />
      <text x={x} y={y + 2.8}>{place}</text>
    </g>
  );
}

const mostPulses = 40; // of one change

interface Pulse {
  readonly key: string;
  readonly kind: "joined" | "left";
  readonly peerId: Uint8Array;
}

/** A wave where a peer joined or left. */
function Pulses({ peers }: { peers: readonly Peer[] }) {
  const before = useRef<{ service: string | undefined; byId: Map<string, Peer> }>(undefined);
  const [pulses, setPulses] = useState<readonly Pulse[]>([]);
  useEffect(() => {
    const byId = new Map(peers.map((p) => [p.id, p]));
    const service = peers[0]?.service;
    const old = before.current;
    before.current = { service, byId };
    // What appears with the page, or with another service, did not join now.
    if (old === undefined || old.service !== service) return setPulses([]);
    const fresh: Pulse[] = [];
    for (const [id, p] of byId) if (!old.byId.has(id)) fresh.push({ key: `+${id}${p.revision}`, kind: "joined", peerId: p.peerId });
    for (const [id, p] of old.byId) if (!byId.has(id)) fresh.push({ key: `-${id}${p.revision}`, kind: "left", peerId: p.peerId });
    if (fresh.length > 0 && fresh.length <= mostPulses) setPulses((now) => [...now, ...fresh].slice(-mostPulses));
  }, [peers]);
  const over = (key: string) => setPulses((now) => now.filter((p) => p.key !== key));
  return (
    <>
      {pulses.map((p) => {
        const { x, y } = point(p.peerId, radius);
        return <circle key={p.key} class={`pulse ${p.kind}`} cx={x} cy={y} r={3} onAnimationEnd={() => over(p.key)} />;
      })}
    </>
  );
}
