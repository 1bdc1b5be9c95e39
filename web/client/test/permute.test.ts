import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";

import { decodeBase32, encodeBase32, parsePeerId, permute, permutedId, type Permutable } from "../src/index.js";
import { hex } from "../src/bytes.js";
import { bytes, randomFrom, readJson, utf8 } from "./support.js";

interface Server {
  id: string;
  seed_hex: string;
  effective_seed_hex: string;
}

interface Grid {
  servers: Server[];
  cases: { storage_index_hex: string; order: number[]; hash_hex_by_server?: string[] }[];
}

const folder = "permute/testdata/";
const peerId = (id: string) => (id.startsWith("v0-") ? parsePeerId(id) : utf8(id));
const peersOf = (servers: Server[]) =>
  servers.map((s) => ({
    name: s.id,
    peerId: peerId(s.id),
    permutationSeed: bytes(s.seed_hex ?? s.effective_seed_hex),
  }));
const names = (all: { peer: { name: string } }[]) => all.map((p) => p.peer.name);

test.each(["5_ascii52", "5_pubkey32", "5_tubid20", "50_ascii52", "50_tubid20", "1000_pubkey32"])(
  "the reference's grid of %s",
  (name) => {
    const grid = readJson<Grid>(`${folder}permutation_${name}.json`);
    expect(grid.cases).toHaveLength(8);
    const peers = peersOf(grid.servers);
    for (const c of grid.cases) {
      const got = permute(peers, bytes(c.storage_index_hex));
      expect(names(got)).toEqual(c.order.map((i) => grid.servers[i]!.id));
      for (const [i, want] of (c.hash_hex_by_server ?? []).entries()) {
        expect(hex(permutedId(bytes(c.storage_index_hex), peers[i]!.permutationSeed))).toBe(want);
      }
      expect(names(permute(peers, bytes(c.storage_index_hex), { limit: 3 }))).toEqual(names(got).slice(0, 3));
    }
  },
);

describe("the reference's known answers", () => {
  const known = readJson<{
    hash: { peer_selection_index_ascii: string; seed_base32: string; sha1_base32: string }[];
    small: { psi_ascii: string; ids_and_seeds_ascii: string[]; preferred: string[]; order: string[] }[];
    mixed: { servers: Server[]; storage_index_hex: string; order_ids: string[] }[];
    preferred_50: { servers_file: string; storage_index_hex: string; preferred_indexes: number[]; order: number[] }[];
  }>(folder + "permutation_known.json");

  test("hashes", () => {
    expect(known.hash).toHaveLength(1);
    for (const h of known.hash) {
      expect(encodeBase32(permutedId(utf8(h.peer_selection_index_ascii), decodeBase32(h.seed_base32)))).toBe(
        h.sha1_base32,
      );
    }
  });

  test("small grids, with preferred ones", () => {
    expect(known.small).toHaveLength(10);
    for (const s of known.small) {
      const peers = s.ids_and_seeds_ascii.map((name) => ({ name, peerId: utf8(name), permutationSeed: utf8(name) }));
      expect(names(permute(peers, utf8(s.psi_ascii), { preferred: s.preferred.map(utf8) }))).toEqual(s.order);
    }
  });

  test("seeds of several lengths", () => {
    expect(known.mixed).toHaveLength(4);
    for (const m of known.mixed)
      expect(names(permute(peersOf(m.servers), bytes(m.storage_index_hex)))).toEqual(m.order_ids);
  });

  test("preferred ones among 50", () => {
    expect(known.preferred_50).toHaveLength(4);
    for (const p of known.preferred_50) {
      const { servers } = readJson<Grid>(folder + p.servers_file);
      const preferred = p.preferred_indexes.map((i) => peerId(servers[i]!.id));
      const got = permute(peersOf(servers), bytes(p.storage_index_hex), { preferred });
      expect(names(got)).toEqual(p.order.map((i) => servers[i]!.id));
    }
  });
});

test("ties go by peer id, and the order does not depend on the peers' own", () => {
  const random = randomFrom(5);
  for (let i = 0; i < 50; i++) {
    const peers: Permutable[] = Array.from({ length: 1 + random(20) }, () => ({
      peerId: Uint8Array.from({ length: 32 }, () => random(256)),
      permutationSeed: Uint8Array.of(random(3)), // many the same
    }));
    const si = Uint8Array.of(random(256));
    // As plainly as it can be said, by texts.
    const sha1 = (p: Permutable) => createHash("sha1").update(si).update(p.permutationSeed).digest("hex");
    const want = peers.map((p) => sha1(p) + hex(p.peerId)).sort();
    const limit = random(25);
    const got = permute(
      peers.slice().sort(() => random(3) - 1),
      si,
      { limit },
    );
    expect(got.map((p) => hex(p.permutedId) + hex(p.peer.peerId))).toEqual(want.slice(0, limit || want.length));
  }
});

test("storage indexes have 1 to 64 bytes", () => {
  for (const n of [1, 16, 64]) expect(permute([], new Uint8Array(n))).toEqual([]);
  for (const n of [0, 65]) expect(() => permute([], new Uint8Array(n))).toThrow(RangeError);
});
