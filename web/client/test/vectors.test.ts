// The announcements that the reference made and sent, and what the introducer's own code makes of them
// and of thousands of others.
import { describe, expect, test } from "vitest";

import {
  parseAnnouncement,
  parsePeerId,
  permutationSeed,
  peerIdText,
  signAnnouncement,
  Verifier,
  type Signed,
  type Verification,
} from "../src/index.js";
import { decodeBase32 } from "../src/base32.js";
import { hex } from "../src/bytes.js";
import { publicKey, signBytes } from "../src/ed25519.js";
import { announced, bytes, introducerJudges, randomFrom, readJson, seedOf, utf8, type Judgement } from "./support.js";

interface Vector {
  note: string;
  seed_hex: string;
  message_base64: string;
  signature_string: string;
  key_string: string;
}

const good = readJson<{ vectors: Vector[] }>("announce/testdata/announcements_good.json").vectors;
const captured = readJson<{ announcements: Vector[] }>("announce/testdata/announcements_captured.json").announcements;
const signedOf = (v: Vector): Signed => ({
  message: new Uint8Array(Buffer.from(v.message_base64, "base64")),
  signature: decodeBase32(v.signature_string.slice(3)),
  peerId: parsePeerId(v.key_string),
});

/** Both ways to verify: WebCrypto where it is good, JavaScript alone. */
const verifiers = { native: new Verifier(), library: new Verifier({ subtle: null }) };

/** A verdict in the form of the judge's. */
function judgement(v: Verification): Judgement {
  if (!v.ok) return { fault: v.fault, said: null };
  const a = v.announcement;
  return {
    fault: "",
    said: {
      service: a.service,
      seqnum: `${a.seqnum}`,
      nickname: a.nickname,
      seed: a.permutationSeed ? Buffer.from(a.permutationSeed).toString("base64") : null,
      furl: a.furl,
      nurls: a.nurls.length > 0 ? [...a.nurls] : null, // as Go has it
      endpoints: a.endpoints.length > 0 ? [...a.endpoints] : null,
      ttlSeconds: a.ttlSeconds ?? 0,
      withdrawn: a.withdrawn,
    },
  };
}

async function expectIntroducersJudgement(all: Signed[], verifier = verifiers.native): Promise<Judgement[]> {
  const want = await introducerJudges(all);
  expect(want).toHaveLength(all.length);
  for (const [i, s] of all.entries()) {
    const got = judgement(await verifier.verify(s));
    expect(got, `${hex(s.peerId)} ${hex(s.signature)} ${JSON.stringify(new TextDecoder().decode(s.message))}`).toEqual(
      want[i],
    );
  }
  return want;
}

test("the reference signs as we do", () => {
  expect(good.length).toBeGreaterThan(5);
  for (const v of good) {
    const { message, signature, peerId } = signedOf(v);
    expect(hex(signBytes(message, bytes(v.seed_hex))), v.note).toBe(hex(signature));
    expect(peerIdText(publicKey(bytes(v.seed_hex)))).toBe(v.key_string);
    expect(peerIdText(peerId)).toBe(v.key_string);
  }
});

test.each(Object.entries(verifiers))(
  "the reference's announcements are judged as by the introducer: %s",
  async (_, verifier) => {
    const judged = await expectIntroducersJudgement([...good, ...captured].map(signedOf), verifier);
    // Three of them are signed and break a rule that the reference does not have.
    expect(judged.filter((j) => j.fault === "form")).toHaveLength(3);
    expect(judged.filter((j) => j.fault === "signature")).toHaveLength(0);
  },
);

test("a real node's announcement says what it says", async () => {
  const v = await verifiers.native.verify(signedOf(captured[0]!));
  expect(v).toMatchObject({ ok: true, announcement: { service: "storage", seqnum: 2n, nickname: "node2" } });
});

test("seeds of the reference's servers", () => {
  const file = readJson<{ cases: { note: string; server_id: string; announcement: object; seed_hex?: string }[] }>(
    "announce/testdata/permutation_seed_derivation.json",
  );
  // The reference hashes an id that is no "v0-" key. Here no such thing is a peer id.
  const noPeerId = new Set(["id not a v0 key: sha256 of the id string", "id too short: sha256 of the id string"]);
  expect(file.cases).toHaveLength(15);
  for (const c of file.cases) {
    const seed = () => {
      const message = utf8(JSON.stringify({ ...c.announcement, "service-name": "storage", seqnum: 1 }));
      return hex(permutationSeed(parseAnnouncement(message), parsePeerId(c.server_id)));
    };
    if (c.seed_hex === undefined || noPeerId.has(c.note)) expect(seed, c.note).toThrow();
    else expect(seed(), c.note).toBe(c.seed_hex);
  }
});

test("every message that the reference introducer was tried with is read, or not, as by the introducer", async () => {
  const { scenarios } = readJson<{ scenarios: { steps: { message: string }[] }[] }>(
    "announce/testdata/server_rules.json",
  );
  const messages = scenarios.flatMap((s) => s.steps.map((step) => utf8(step.message)));
  expect(messages.length).toBeGreaterThan(30);
  const seed = seedOf(7);
  await expectIntroducersJudgement(
    messages.map((m) => ({ message: m, signature: signBytes(m, seed), peerId: publicKey(seed) })),
  );
});

test("hostile messages are read, or not, as by the introducer", async () => {
  const hostile = readJson<{ name: string; accepted: boolean; message: string }[]>("web/testdata/hostile.json");
  expect(hostile.length).toBeGreaterThanOrEqual(60);
  const seed = seedOf(8);
  const signed = hostile.map(({ message }) => {
    const m = utf8(message);
    return { message: m, signature: signBytes(m, seed), peerId: publicKey(seed) };
  });
  const judged = await expectIntroducersJudgement(signed);
  for (const [i, h] of hostile.entries()) expect(judged[i]!.fault, h.name).toBe(h.accepted ? "" : "form");
});

describe("strange messages are read, or not, as by the introducer", () => {
  const seed = seedOf(3);
  const id = publicKey(seed);
  const sign = (message: Uint8Array): Signed => ({ message, signature: signBytes(message, seed), peerId: id });
  const bases = [
    '{"service-name":"storage","seqnum":1,"nickname":"n\\u00e9\\ud83d\\udcbe","endpoints":["a","b"],"ttl-seconds":60}',
    '{"seqnum":9007199254740993,"service-name":"x","permutation-seed-base32":"mvvguz3c","withdrawn":true,"x":[{"a":-1.5e+3,"b":null}]}',
    '{"service-name":"s","seqnum":0,"anonymous-storage-FURL":"pb://é","anonymous-storage-NURLs":["n"],"deep":[[[[{}]]]]}',
  ];
  const pieces = [
    '"',
    "\\",
    "\\u",
    "d800",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "0",
    "-",
    ".",
    "e",
    "null",
    " ",
    "\ufeff",
    "\0",
    "seqnum",
    '"seqnum":2,',
    "é",
    "\n",
  ];

  test.each([1, 2, 3])("changed by chance, seed %i", async (n) => {
    const random = randomFrom(n);
    const all: Signed[] = [];
    for (let i = 0; i < 300; i++) {
      let m = utf8(bases[random(bases.length)]!);
      for (let changes = 1 + random(3); changes > 0; changes--) {
        const at = random(m.length + 1);
        const put = [
          utf8(pieces[random(pieces.length)]!),
          Uint8Array.of(random(256)),
          m.subarray(random(m.length), random(m.length)),
        ][random(3)]!;
        m = Uint8Array.of(...m.subarray(0, at), ...put, ...m.subarray(at + random(4)));
      }
      all.push(sign(m));
    }
    const judged = await expectIntroducersJudgement(all);
    // Of both there are enough for this to show something.
    expect(judged.filter((j) => j.fault === "").length).toBeGreaterThan(10);
    expect(judged.filter((j) => j.fault === "form").length).toBeGreaterThan(100);
  });
});

test.each(Object.entries(verifiers))("signatures and keys changed by chance: %s", async (_, verifier) => {
  const random = randomFrom(9);
  const all: Signed[] = [];
  for (let i = 0; i < 120; i++) {
    const s = announced(i);
    const parts = [new Uint8Array(s.message), new Uint8Array(s.signature), new Uint8Array(s.peerId)] as const;
    const part = parts[random(3)]!;
    if (i % 4 > 0) part[random(part.length)]! ^= 1 << random(8);
    const cut = i % 10 === 9 ? 1 : 0;
    all.push({ message: parts[0], signature: parts[1].subarray(cut), peerId: parts[2] });
  }
  const judged = await expectIntroducersJudgement(all, verifier);
  expect(judged.filter((j) => j.fault === "").length).toBeGreaterThan(20);
});

test("what is signed here is valid", async () => {
  const s = signAnnouncement(
    { "service-name": "storage", seqnum: (1n << 63n) - 1n, nickname: "é", endpoints: ["x"] },
    seedOf(1),
  );
  expect(await verifiers.native.verify(s)).toMatchObject({
    ok: true,
    announcement: { nickname: "é", endpoints: ["x"] },
  });
  expect(() => signAnnouncement({ "service-name": "Storage", seqnum: 1 }, seedOf(1))).toThrow(SyntaxError);
  expect(() => signAnnouncement({ "service-name": "storage", seqnum: 2 ** 60 }, seedOf(1))).toThrow(/bigint/);
  expect(() => signAnnouncement({ "service-name": "storage", seqnum: 1 }, new Uint8Array(31))).toThrow(RangeError);
});
