import { expect, test } from "vitest";

import { decodeBase32, encodeBase32, parsePeerId, peerIdText } from "../src/index.js";
import { bytes, randomFrom } from "./support.js";

test.each([
  ["", ""],
  ["ff", "74"],
  ["ffff", "777q"],
  ["00", "aa"],
  ["666f6f626172", "mzxw6ytboi"], // RFC 4648, section 10
])("%s is written %o", (hexText, text) => {
  expect(encodeBase32(bytes(hexText))).toBe(text);
  expect(decodeBase32(text)).toEqual(bytes(hexText));
});

test.each(["a", "aaa", "aaaaaa", "ab", "AA", "aa=", "a1", "a8", "aa\n", " aa", "ää"])("%o is no base32", (text) => {
  expect(() => decodeBase32(text)).toThrow(RangeError);
});

test("whatever is written is read, and nothing else means the same", () => {
  const random = randomFrom(1);
  for (let i = 0; i < 500; i++) {
    const b = Uint8Array.from({ length: random(70) }, () => random(256));
    const text = encodeBase32(b);
    expect(decodeBase32(text)).toEqual(b);
    const at = random(text.length || 1);
    const other = text.slice(0, at) + "abcdefghijklmnopqrstuvwxyz234567".charAt(random(32)) + text.slice(at + 1);
    if (other === text) continue;
    try {
      expect(decodeBase32(other)).not.toEqual(b);
    } catch (e) {
      expect(e).toBeInstanceOf(RangeError);
    }
  }
});

test("peer ids", () => {
  const id = Uint8Array.from({ length: 32 }, (_, i) => i);
  const text = "v0-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq";
  expect(peerIdText(id)).toBe(text);
  expect(parsePeerId(text)).toEqual(id);
  expect(parsePeerId("pub-" + text)).toEqual(id);
  for (const wrong of ["", "aaaq", "v1-aaaq", "v0-aaaq", text.toUpperCase(), text + "a"]) {
    expect(() => parsePeerId(wrong)).toThrow(RangeError);
  }
  // A secret in the wrong place is not repeated.
  expect(() => parsePeerId("priv-" + text)).toThrow(/^peer id: a private key was given$/);
});
