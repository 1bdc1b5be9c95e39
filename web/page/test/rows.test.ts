import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerEntry } from "@introducer/client";

import { rowOf, searchRows, sortRows, type SortKey } from "../src/rows.js";

function entry(nickname: string, more: Partial<PeerEntry> = {}): PeerEntry {
  return {
    service: "storage", id: `v0-${nickname || "none"}`, peerId: new Uint8Array(32), verdict: "verified", seqnum: 1n, nickname, endpoints: [],
    permutationSeed: new Uint8Array(32), signed: { message: new Uint8Array(), signature: new Uint8Array(), peerId: new Uint8Array(32) },
    revision: 1n, cached: false, ...more,
  };
}

const rows = [
  entry("node-10", { seqnum: 3n, announced: new Date(3), expires: new Date(9) }),
  entry("Node-9", { seqnum: (1n << 63n) - 1n, announced: new Date(1), endpoints: ["pb://tub@192.0.2.7:1/swissnum"] }),
  entry("", { seqnum: 2n, announced: new Date(2), verdict: "forged", service: "helper" }),
  entry("node-2", { expires: new Date(5), endpoints: ["https://x.example/", "https://EXAMPLE.net/secret"] }),
].map(rowOf);
const names = (all: readonly { entry: PeerEntry }[]) => all.map((r) => r.entry.nickname);

test("a row is made once", () => {
  const e = entry("once");
  assert.equal(rowOf(e), rowOf(e));
  assert.equal(rowOf(entry("a\u202eb")).name, "a\\u{202e}b");
});

test("rows in order", () => {
  const order = (by: SortKey, descending = false) => names(sortRows(rows, { by, descending }));
  assert.deepEqual(order("name"), ["node-2", "Node-9", "node-10", ""]);
  assert.deepEqual(order("name", true), ["", "node-10", "Node-9", "node-2"]);
  assert.deepEqual(order("seqnum"), ["node-2", "", "node-10", "Node-9"]);
  assert.deepEqual(order("announced"), ["node-2", "Node-9", "", "node-10"]);
  assert.deepEqual(order("expires"), ["node-2", "node-10", "", "Node-9"]); // those that never do in the order of services and ids
  assert.deepEqual(order("service"), ["", "Node-9", "node-10", "node-2"]);
  assert.deepEqual(names(rows), ["node-10", "Node-9", "", "node-2"], "what was given is as it was");
});

test("rows found", () => {
  const found = (query: string, filter: "all" | "forged" | "expiring" = "all") => names(searchRows(rows, query, filter));
  assert.equal(searchRows(rows, " ", "all"), rows);
  assert.deepEqual(found("NODE-"), ["node-10", "Node-9", "node-2"]);
  assert.deepEqual(found("node example.net"), ["node-2"]);
  assert.deepEqual(found("192.0.2.7"), ["Node-9"]);
  assert.deepEqual(found("swissnum"), []);
  assert.deepEqual(found("secret"), []);
  assert.deepEqual(found("helper"), [""]);
  assert.deepEqual(found("v0-node-10"), ["node-10"]);
  assert.deepEqual(found("", "forged"), [""]);
  assert.deepEqual(found("node", "expiring"), ["node-10", "node-2"]);
});
