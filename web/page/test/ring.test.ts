import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { encodeBase32 } from "@introducer/client";

import { firstDifference } from "../src/compare.js";
import { hashFile, readStorageIndex } from "../src/storageindex.js";

test("storage indexes as the command line reads them", () => {
  const bytes = "00112233445566778899aabbccddeeff";
  const good: [string, string, string][] = [
    ["aaisem2ekvthpcezvk54zxpo74", bytes, "base32"],
    ["  aaisem2ekvthpcezvk54zxpo74\n", bytes, "base32"],
    [bytes, bytes, "hexadecimal"],
    [bytes.toUpperCase(), bytes, "hexadecimal"],
    ["hex:0f", "0f", "hexadecimal"],
    ["base32:ae", "01", "base32"],
    ["hex:" + "ab".repeat(64), "ab".repeat(64), "hexadecimal"],
  ];
  for (const [text, want, as] of good) {
    const r = readStorageIndex(text);
    assert.ok(r.ok, text);
    assert.equal(Buffer.from(r.bytes).toString("hex"), want, text);
    assert.equal(r.as, as, text);
  }
  for (const text of ["", "x", "0f", "AAISEM2EKVTHPCEZVK54ZXPO74", "hex:", "hex:0", "hex:0g", "base32:", "base32:a", "base32:ab", "hex:" + "ab".repeat(65), "g".repeat(32), "base32:ae=", "hex:0f\n0f"]) {
    assert.ok(!readStorageIndex(text).ok, text);
  }
});

test("a file's hash, piece by piece", async () => {
  for (const size of [0, 5, (1 << 20) - 1, 1 << 20, 5_000_000]) {
    const bytes = new Uint8Array(size).map((_, i) => i * 7);
    let last = 0;
    const got = await hashFile(new Blob([bytes]), (part) => (last = part), new AbortController().signal);
    assert.equal(got, encodeBase32(createHash("sha256").update(bytes).digest().subarray(0, 16)), `${size} bytes`);
    assert.equal(last, size === 0 ? 0 : 1);
  }
  await assert.rejects(hashFile(new Blob(["x"]), () => {}, AbortSignal.abort()));
});

test("orders are compared", () => {
  const at = (id: number, permuted = id) => ({ permutedId: Uint8Array.of(permuted), peer: { peerId: Uint8Array.of(id) } });
  assert.equal(firstDifference([], []), -1);
  assert.equal(firstDifference([at(1), at(2)], [at(1), at(2)]), -1);
  assert.equal(firstDifference([at(1), at(2)], [at(2), at(1)]), 0);
  assert.equal(firstDifference([at(1), at(2)], [at(1), at(2, 9)]), 1);
  assert.equal(firstDifference([at(1)], [at(1), at(2)]), 1);
  assert.equal(firstDifference([at(1), at(2)], [at(1)]), 1);
  assert.equal(firstDifference([at(1)], [{ permutedId: Uint8Array.of(1) }]), 0);
});
