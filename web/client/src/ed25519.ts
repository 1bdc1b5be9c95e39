// Ed25519 as the introducer verifies it: RFC 8032 without multiplication by the cofactor, and with
// public keys that are canonically encoded points of prime order. With a key of small order anyone can
// sign; with one of mixed order, or encoded in a second way, libraries disagree on what verifies (see
// "Taming the many EdDSAs", Chalkias, Garillot, Nikolaenko, 2020). An honest key is neither.

import { getPublicKey, hashes, Point, sign } from "@noble/ed25519";
import { sha512 } from "@noble/hashes/sha2.js";

import { concatBytes, equalBytes, hex } from "./bytes.js";

const { n: order, p: prime } = Point.CURVE();

/** Says why id is no public key by which a signature means something. Undefined: it is one. */
export function keyProblem(id: Uint8Array): string | undefined {
  const p = decodePoint(id);
  if (p === undefined) return "the peer id is no canonically encoded point of the curve";
  if (p.is0()) return "the peer id is the identity point";
  return p.isTorsionFree() ? undefined : "the peer id is not of prime order";
}

/**
 * Looks at many keys at once, at an eighth of the cost when all are good: returns whether all of them
 * are. pause is awaited again and again on the way.
 *
 * A sum of good points is good. A sum of a random half of the points, one of them bad, is bad with at
 * least even chance: 40 such sums let a bad key pass once in 2^40 batches, each of which takes a while.
 */
export async function allKeysGood(ids: readonly Uint8Array[], pause: () => Promise<void>): Promise<boolean> {
  const sums = new Array<Point>(40).fill(Point.ZERO);
  for (const id of ids) {
    const p = decodePoint(id);
    if (p === undefined || p.is0()) return false;
    const coins = crypto.getRandomValues(new Uint32Array(2));
    for (let i = 0; i < sums.length; i++) {
      if ((coins[i >> 5]! >>> (i & 31)) & 1) sums[i] = sums[i]!.add(p);
    }
    await pause();
  }
  for (const sum of sums) {
    if (!sum.isTorsionFree()) return false;
    await pause();
  }
  return true;
}

function decodePoint(bytes: Uint8Array): Point | undefined {
  try {
    return Point.fromBytes(bytes); // it refuses y from p on, and a negative zero for x
  } catch {
    return undefined;
  }
}

/**
 * Tells whether a signature of 64 bytes is written in the one way that the rules allow: S below the
 * group's order, else every signature has a twin; R canonically encoded. Libraries differ in both.
 */
export function isCanonical(signature: Uint8Array): boolean {
  const r = littleEndian(signature.subarray(0, 32));
  const y = r & ((1n << 255n) - 1n);
  const negativeZero = y !== r && (y === 1n || y === prime - 1n);
  return littleEndian(signature.subarray(32)) < order && y < prime && !negativeZero;
}

/**
 * The verification equation over a good key and a canonical signature: R = SB - kA, compared as it is
 * encoded. The library's own verify multiplies by the cofactor.
 */
export function equationHolds(signature: Uint8Array, message: Uint8Array, id: Uint8Array): boolean {
  const a = decodePoint(id);
  if (a === undefined) return false;
  const r = signature.subarray(0, 32);
  const k = littleEndian(sha512(concatBytes(r, id, message))) % order;
  const s = littleEndian(signature.subarray(32));
  return equalBytes(Point.BASE.multiply(s, false).subtract(a.multiply(k, false)).toBytes(), r);
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt("0x" + hex(bytes.slice().reverse()));
}

/** Verifies by WebCrypto. It rejects where there is no Ed25519, or where it does not take the key. */
export async function nativeVerify(
  subtle: SubtleCrypto,
  signature: Uint8Array,
  message: Uint8Array,
  id: Uint8Array,
): Promise<boolean> {
  const key = await subtle.importKey("raw", owned(id), { name: "Ed25519" }, false, ["verify"]);
  return subtle.verify({ name: "Ed25519" }, key, owned(signature), owned(message));
}

// WebCrypto takes no shared memory, and its types say so.
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}

// A key, and two signatures by it over "introducer": an honest one, and one whose R has a part of order
// 8, which only those accept who multiply by the cofactor.
const probe = {
  id: "53d5350dfc33f4e364c771c9d773361065eb2120c776c4c9c826cab7f51921d7",
  honest:
    "525d3fbd523a7518d78fdc042528bf3e664acd87be89349f1381097d713195b0206a9252f271e022de287ef4c3be7338cc67e87f5dddb1ee4822b7137f9e5d0b",
  lax: "f5d0b1b0e58a1d86f0032bf9bed0a7ea3eaf510169573d72ccbbea0a7fa5bc2fca0730cbf7fdae0fac868b0a2f1cb6556f9ff2633cce7e3c4f02ea0e34016b01",
};

/**
 * Tells whether WebCrypto verifies as the rules here do. The standard leaves the equation open. With a
 * key of prime order and a canonical signature only the cofactor is left to differ in, so that one
 * signature tells.
 */
export async function isNativeStrict(subtle: SubtleCrypto): Promise<boolean> {
  const message = new TextEncoder().encode("introducer");
  const verifies = (signature: string) => nativeVerify(subtle, fromHex(signature), message, fromHex(probe.id));
  try {
    return (await verifies(probe.honest)) && !(await verifies(probe.lax));
  } catch {
    return false; // no Ed25519
  }
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** Signs with the 32-byte seed of RFC 8032, section 5.1.5. */
export function signBytes(message: Uint8Array, seed: Uint8Array): Uint8Array {
  useOurHash();
  return sign(message, seed);
}

/** The public key of a seed, 32 bytes. */
export function publicKey(seed: Uint8Array): Uint8Array {
  useOurHash();
  return getPublicKey(seed);
}

// The library's own SHA-512 is WebCrypto's, which pages without TLS do not have.
function useOurHash(): void {
  hashes.sha512 ??= sha512;
}
