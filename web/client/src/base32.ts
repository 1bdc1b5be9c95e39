// Tahoe-LAFS's base32: RFC 4648, section 6, in lower case and without padding. Strict: no two texts
// mean the same bytes.

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** Base32 text of bytes, without prefix. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = "";
  let acc = 0;
  let bits = 0;
  for (const b of bytes) {
    acc = ((acc << 8) | b) & 0xfff; // at most 4 bits waited
    for (bits += 8; bits >= 5; bits -= 5) {
      text += alphabet[(acc >> (bits - 5)) & 31];
    }
  }
  return bits > 0 ? text + alphabet[(acc << (5 - bits)) & 31] : text;
}

/** Bytes of a base32 text. It throws a RangeError for every text that {@link encodeBase32} does not give. */
export function decodeBase32(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8));
  let acc = 0;
  let bits = 0;
  let n = 0;
  for (let i = 0; i < text.length; i++) {
    const value = alphabet.indexOf(text.charAt(i));
    if (value < 0) {
      throw new RangeError(`not lower-case unpadded base32 at character ${i + 1}`);
    }
    acc = ((acc << 5) | value) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[n++] = (acc >> bits) & 0xff;
    }
  }
  // Five bits or more: the last character began no byte. A bit set: another character would have
  // given the same bytes.
  if (bits >= 5 || (acc & ((1 << bits) - 1)) !== 0) {
    throw new RangeError("base32 with a length or last character that no bytes give");
  }
  return bytes;
}

/** A peer id, 32 bytes, as it is written everywhere: "v0-" and 52 characters of base32. */
export function peerIdText(peerId: Uint8Array): string {
  return "v0-" + encodeBase32(peerId);
}

/** The 32 bytes of "v0-…" or "pub-v0-…". It judges the text and not the key, and throws a RangeError. */
export function parsePeerId(text: string): Uint8Array<ArrayBuffer> {
  if (text.startsWith("priv-v0-")) {
    throw new RangeError("peer id: a private key was given"); // a secret in the wrong place: not quoted
  }
  const prefix = /^(?:pub-)?v0-/.exec(text);
  if (prefix === null) {
    throw new RangeError('peer id: must begin with "v0-" or "pub-v0-"');
  }
  const bytes = decodeBase32(text.slice(prefix[0].length));
  if (bytes.length !== 32) {
    throw new RangeError(`peer id: ${bytes.length} bytes, must be 32`);
  }
  return bytes;
}
