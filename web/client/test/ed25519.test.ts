// Signatures that some library somewhere takes for good, and that the rules refuse.
import { Point } from "@noble/ed25519";
import { sha512 } from "@noble/hashes/sha2.js";
import { describe, expect, test, vi } from "vitest";

import { Verifier, type Signed } from "../src/index.js";
import { concatBytes, hex } from "../src/bytes.js";
import { allKeysGood, equationHolds, isNativeStrict, keyProblem, nativeVerify, publicKey } from "../src/ed25519.js";
import { announced, bytes, introducerJudges, seedOf, utf8 } from "./support.js";

const order = Point.CURVE().n;
const prime = Point.CURVE().p;

// Every encoding that decodes to one of the eight points of small order.
const smallOrder = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0000000000000000000000000000000000000000000000000000000000000080",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  "0100000000000000000000000000000000000000000000000000000000000080",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];
const torsion = Point.fromHex(smallOrder[4]!);

function number(b: Uint8Array): bigint {
  return BigInt("0x" + hex(b.slice().reverse()));
}

function encoded(n: bigint): Uint8Array {
  return bytes(n.toString(16).padStart(64, "0")).reverse();
}

function secretOf(seed: Uint8Array): bigint {
  const h = sha512(seed).slice(0, 32);
  h[0]! &= 248;
  h[31] = (h[31]! & 127) | 64;
  return number(h) % order;
}

/** Signs with any R and any public key whose honest part is the secret's: who has the key can do so. */
function signWith(message: Uint8Array, secret: bigint, id: Uint8Array, R: Uint8Array, r: bigint): Signed {
  const k = number(sha512(concatBytes(R, id, message))) % order;
  return { message, signature: concatBytes(R, encoded((r + k * secret) % order)), peerId: id };
}

const message = utf8('{"service-name":"storage","seqnum":1}');
const seed = seedOf(1);
const secret = secretOf(seed);
const id = publicKey(seed);
const r = 12345n;

const strange: Record<string, Signed> = {
  "R with a part of order 8": signWith(message, secret, id, Point.BASE.multiply(r).add(torsion).toBytes(), r),
  "R of small order": signWith(message, secret, id, torsion.toBytes(), 0n),
  "R written with a negative zero": signWith(message, secret, id, bytes(smallOrder[8]!), 0n),
  "R written with y = p+1": signWith(message, secret, id, bytes(smallOrder[12]!), 0n),
  "S + l": (() => {
    const s = announced(1);
    const large = encoded(number(s.signature.subarray(32)) + order);
    return { ...s, signature: concatBytes(s.signature.subarray(0, 32), large) };
  })(),
  "a key with a part of order 8": (() => {
    const mixed = Point.fromBytes(id).add(torsion).toBytes();
    for (let i = 0; ; i++) {
      const m = utf8(`{"service-name":"storage","seqnum":${i}}`);
      const s = signWith(m, secret, mixed, Point.BASE.multiply(r).toBytes(), r);
      if (equationHolds(s.signature, m, mixed)) return s; // one in eight
    }
  })(),
};
for (const [i, key] of smallOrder.entries()) {
  // R = identity and S = 0 hold for every message whose challenge the key's order divides.
  for (let n = 0; n < 40; n++) {
    strange[`forged for small order key ${i}, message ${n}`] = {
      message: utf8(`{"service-name":"storage","seqnum":${n}}`),
      signature: concatBytes(Uint8Array.of(1), new Uint8Array(63)),
      peerId: bytes(key),
    };
  }
}

const verifiers = {
  native: new Verifier(),
  library: new Verifier({ subtle: null }),
  "native, no memory": new Verifier({ keys: 0 }),
};

describe.each(Object.entries(verifiers))("%s", (_, verifier) => {
  test("refuses what the introducer refuses", async () => {
    const judged = await introducerJudges(Object.values(strange));
    for (const [i, [name, s]] of Object.entries(strange).entries()) {
      for (let twice = 0; twice < 2; twice++) {
        expect(await verifier.verify(s), name).toMatchObject({ ok: false, fault: "signature" });
      }
      expect(judged[i], name).toEqual({ fault: "signature", said: null });
    }
  });

  test("takes an honest R = identity, as the introducer does", async () => {
    const s = signWith(message, secret, id, Point.ZERO.toBytes(), 0n);
    expect(await verifier.verify(s)).toMatchObject({ ok: true });
    expect((await introducerJudges([s]))[0]!.fault).toBe("");
  });

  test("no bit may differ", async () => {
    const s = announced(1);
    expect(await verifier.verify(s)).toMatchObject({ ok: true });
    for (const part of ["signature", "peerId"] as const) {
      for (let i = 0; i < s[part].length * 8; i += 7) {
        const other = s[part].slice();
        other[i >> 3]! ^= 1 << (i & 7);
        expect(await verifier.verify({ ...s, [part]: other }), `${part}, bit ${i}`).toMatchObject({
          ok: false,
          fault: "signature",
        });
      }
    }
  });

  test("lengths, and whose fault it is", async () => {
    const s = announced(1);
    const unsigned = { ...s, signature: new Uint8Array(64) };
    const none = new Uint8Array();
    const cases: [string, Signed, string][] = [
      ["no message", { ...s, message: none }, "signature"],
      ["no signature", { ...s, signature: none }, "signature"],
      ["a long signature", { ...s, signature: concatBytes(s.signature, Uint8Array.of(0)) }, "signature"],
      ["no key", { ...s, peerId: none }, "signature"],
      ["a short key", { ...s, peerId: s.peerId.subarray(1) }, "signature"],
      ["nothing", { message: none, signature: none, peerId: none }, "signature"],
      ["unsigned", unsigned, "signature"],
      ["too long, unsigned", { ...unsigned, message: new Uint8Array(16385) }, "form"],
    ];
    for (const [name, c, fault] of cases) {
      expect(await verifier.verify(c), name).toMatchObject({ ok: false, fault });
    }
  });
});

test("keys encoded another way are none", () => {
  let large = 0;
  for (let y = 0; y < 19; y++) {
    for (const sign of [0, 0x80]) {
      const key = encoded(prime + BigInt(y));
      key[31]! |= sign;
      try {
        if (!Point.fromBytes(key, true).isSmallOrder()) large++;
      } catch {
        // not on the curve
      }
      expect(keyProblem(key), `y = p+${y}`).toBeDefined();
    }
  }
  expect(large).toBeGreaterThan(0);
});

describe("many keys at once", () => {
  const pause = async () => {};
  const keys = Array.from({ length: 30 }, (_, i) => publicKey(seedOf(i)));

  test("good ones", async () => {
    expect(await allKeysGood(keys, pause)).toBe(true);
    expect(await allKeysGood([], pause)).toBe(true);
  });

  test.each(smallOrder.slice(1, 8))("one bad among them, by %s", async (small) => {
    const part = Point.fromHex(small);
    for (const bad of [part, Point.fromBytes(keys[3]!).add(part)]) {
      expect(await allKeysGood([...keys, bad.toBytes()], pause)).toBe(false);
    }
  });

  test("two bad ones do not make up for each other", async () => {
    const bad = [3, 4].map((i) => Point.fromBytes(keys[i]!).add(torsion));
    const opposite = Point.fromBytes(keys[5]!).add(torsion.negate());
    expect(
      await allKeysGood(
        [bad[0]!, bad[1]!, opposite].map((p) => p.toBytes()),
        pause,
      ),
    ).toBe(false);
  });

  test("the identity and what is no point", async () => {
    expect(await allKeysGood([...keys, bytes(smallOrder[0]!)], pause)).toBe(false);
    expect(await allKeysGood([...keys, encoded(2n)], pause)).toBe(false);
  });

  test("prepare lets nothing bad pass", async () => {
    const mixed = Array.from({ length: 300 }, (_, i) => publicKey(seedOf(i)));
    const verifier = new Verifier();
    await verifier.prepare(mixed);
    await verifier.prepare([...mixed.slice(0, 5), strange["a key with a part of order 8"]!.peerId]);
    expect(await verifier.verify(strange["a key with a part of order 8"]!)).toMatchObject({ ok: false });
    expect(await verifier.verify(announced(5))).toMatchObject({ ok: true });
    expect(await verifier.verify({ ...announced(5), message })).toMatchObject({ ok: false });
  });
});

describe("WebCrypto", () => {
  test("this one keeps to the rules", async () => {
    expect(await isNativeStrict(crypto.subtle)).toBe(true);
  });

  const lax = strange["R with a part of order 8"]!;
  const fake = (verify: (...args: Uint8Array[]) => boolean, importKey = async (_: string, key: Uint8Array) => key) =>
    ({
      importKey,
      verify: async (_: object, key: Uint8Array, signature: Uint8Array, m: Uint8Array) => verify(signature, m, key),
    }) as unknown as SubtleCrypto;

  test.each<[string, SubtleCrypto]>([
    ["one that says yes to all", fake(() => true)],
    ["one that says no to all", fake(() => false)],
    [
      "one without Ed25519",
      fake(equationHolds as never, () => Promise.reject(new DOMException("no", "NotSupportedError"))),
    ],
    [
      "one that multiplies by the cofactor",
      fake((signature, m, key) => {
        const k = number(sha512(concatBytes(signature!.subarray(0, 32), key!, m!))) % order;
        const sb = Point.BASE.multiply(number(signature!.subarray(32)) % order, false);
        const difference = sb
          .subtract(Point.fromBytes(key!).multiply(k, false))
          .subtract(Point.fromBytes(signature!.subarray(0, 32)));
        return difference.isSmallOrder();
      }),
    ],
  ])("%s is not used", async (_, subtle) => {
    expect(await isNativeStrict(subtle)).toBe(false);
    const verifier = new Verifier({ subtle });
    expect(await verifier.verify(lax)).toMatchObject({ ok: false, fault: "signature" });
    expect(await verifier.verify(announced(1))).toMatchObject({ ok: true });
  });

  test("one that fails later is not relied on", async () => {
    let calls = 0;
    const subtle = fake(
      (signature, m, key) => equationHolds(signature!, m!, key!),
      async (_, key) => {
        if (++calls > 2) throw new DOMException("no", "DataError"); // two for trying it out
        return key;
      },
    );
    const verifier = new Verifier({ subtle });
    expect(await verifier.verify(announced(1))).toMatchObject({ ok: true });
    expect(calls).toBe(3);
  });

  test("is used where it is good", async () => {
    const spy = vi.spyOn(crypto.subtle, "verify");
    await new Verifier().verify(announced(1));
    expect(spy).toHaveBeenCalledTimes(3);
    spy.mockRestore();
    expect(await nativeVerify(crypto.subtle, announced(1).signature, announced(1).message, announced(1).peerId)).toBe(
      true,
    );
  });
});
