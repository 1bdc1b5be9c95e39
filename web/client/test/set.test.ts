// The set against the plainest model of it, over random changes.
import { createHash } from "node:crypto";
import { expect, test } from "vitest";

import { announcementDigest, parsePeerId, type PeerEntry, type Signed, type Verdict } from "../src/index.js";
import { hex } from "../src/bytes.js";
import { keyOf, PeerSet } from "../src/set.js";
import { announced, randomFrom, readJson } from "./support.js";

function entry(service: string, peer: number, revision: number): PeerEntry {
  const peerId = Uint8Array.of(peer);
  const signed: Signed = { message: Uint8Array.of(revision, peer), signature: new Uint8Array(), peerId };
  const none = { nickname: "", endpoints: [], permutationSeed: peerId, seqnum: 0n, cached: false };
  return { service, id: `${peer}`, peerId, verdict: "checking", signed, revision: BigInt(revision), ...none };
}

test("the digest of an announcement is SHA-256(peer id ‖ message), whoever signed it again", () => {
  const s = announced(1);
  const want = createHash("sha256").update(s.peerId).update(s.message).digest("hex");
  expect(hex(announcementDigest(s))).toBe(want);
  expect(hex(announcementDigest({ ...s, signature: new Uint8Array() }))).toBe(want);
  // That of the real node's announcement, computed by Python's hashlib.
  const { announcements } = readJson<{ announcements: { message_base64: string; key_string: string }[] }>(
    "announce/testdata/announcements_captured.json",
  );
  const message = new Uint8Array(Buffer.from(announcements[0]!.message_base64, "base64"));
  const captured = { message, signature: new Uint8Array(), peerId: parsePeerId(announcements[0]!.key_string) };
  expect(hex(announcementDigest(captured))).toBe("55bb7655e7de8abb7099041a92df6c96bf80d6cbb188afa13334a61e40dac2e6");
});

test.each([1, 2, 3, 4])("random changes, seed %i", (seed) => {
  const random = randomFrom(seed);
  const set = new PeerSet();
  const model = new Map<string, PeerEntry>(); // :: service and peer → entry
  const name = (e: PeerEntry) => `${e.service} ${hex(e.peerId)}`;
  for (let step = 0; step < 500; step++) {
    const e = entry(["a", "b", "c"][random(3)]!, random(20), step % 256);
    const held = model.get(name(e));
    switch (random(8)) {
      case 0:
      case 1:
        expect(set.delete(keyOf(e))).toBe(held);
        model.delete(name(e));
        break;
      case 2: {
        const verdict = { ...(held ?? e), verdict: (["verified", "forged"] as Verdict[])[random(2)]! };
        expect(set.judge(held ?? e, verdict)).toBe(held !== undefined);
        if (held !== undefined) model.set(name(e), verdict);
        expect(set.judge(e, verdict)).toBe(false); // of one that is not held
        break;
      }
      case 3:
        if (random(50) === 0) {
          set.clear();
          model.clear();
        }
        break;
      default:
        set.put(e);
        model.set(name(e), e);
    }
    if (random(3) > 0) continue; // lists are made of several changes, too
    const all = [...model.keys()].sort().map((k) => model.get(k)!);
    expect(set.services).toEqual([...new Set(all.map((x) => x.service))]);
    for (const service of ["a", "b", "c"]) {
      const entries = all.filter((x) => x.service === service);
      expect(set.entries(service)).toEqual(entries);
      expect(set.verified(service)).toEqual(entries.filter((x) => x.verdict === "verified"));
      expect(set.entries(service)).toBe(set.entries(service));
    }
    expect(new Set(set)).toEqual(new Set(all));
    const counts = { checking: 0, verified: 0, forged: 0 };
    const digest = new Uint8Array(32);
    for (const x of all) {
      counts[x.verdict]++;
      announcementDigest(x.signed).forEach((b, i) => (digest[i]! ^= b));
    }
    expect(set.counts).toEqual(counts);
    expect(set.digest).toEqual(digest);
    expect(set.get(keyOf(e))).toBe(model.get(name(e)));
  }
});
