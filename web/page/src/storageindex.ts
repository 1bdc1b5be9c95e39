import { decodeBase32, encodeBase32 } from "@introducer/client";
import { sha256 } from "@noble/hashes/sha2.js";

/** What somebody typed, as a storage index. */
export type Reading =
  | { readonly ok: true; readonly bytes: Uint8Array; readonly as: string }
  | { readonly ok: false; readonly problem: string };

/** The longest storage index there is, in bytes. */
const longest = 64;

/**
 * Reads a storage index as the command line does: 26 characters of base32, as Tahoe-LAFS writes its 16
 * bytes, or 32 hexadecimal digits. Other lengths need "base32:" or "hex:" before them, since many texts
 * are both.
 */
export function readStorageIndex(text: string): Reading {
  const t = text.trim();
  if (t === "") return { ok: false, problem: "" };
  const [, prefix, rest] = /^(base32:|hex:)?(.*)$/s.exec(t)!;
  const as = prefix?.slice(0, -1) ?? { 26: "base32", 32: "hex" }[t.length];
  if (as === "base32") return base32(rest!);
  if (as === "hex") return hexadecimal(rest!);
  return { ok: false, problem: `${t.length} characters; 26 of base32 or 32 hexadecimal digits, or base32: or hex: before it` };
}

function base32(text: string): Reading {
  try {
    return sized(decodeBase32(text), "base32");
  } catch (e) {
    return { ok: false, problem: (e as Error).message };
  }
}

function hexadecimal(text: string): Reading {
  if (!/^([0-9a-fA-F]{2})*$/.test(text)) return { ok: false, problem: "not hexadecimal digits, two for each byte" };
  return sized(Uint8Array.from(text.match(/../g) ?? [], (b) => parseInt(b, 16)), "hexadecimal");
}

function sized(bytes: Uint8Array, as: string): Reading {
  if (bytes.length < 1 || bytes.length > longest) return { ok: false, problem: `${bytes.length} bytes; a storage index has 1 to ${longest}` };
  return { ok: true, bytes, as };
}

/** One that no file has: to look around with. */
export function randomStorageIndex(): string {
  return encodeBase32(crypto.getRandomValues(new Uint8Array(16)));
}

/**
 * The first 16 bytes of the SHA-256 of what a file holds, in base32. A real grid derives storage indexes
 * from encryption keys; this one is for looking at the order. It reads the file piece by piece, whatever
 * its size, and the file goes nowhere.
 */
export async function hashFile(file: Blob, progress: (part: number) => void, signal: AbortSignal): Promise<string> {
  const piece = 1 << 20;
  const hash = sha256.create();
  for (let at = 0; at < file.size; at += piece) {
    signal.throwIfAborted();
    hash.update(new Uint8Array(await file.slice(at, at + piece).arrayBuffer()));
    progress(Math.min(1, (at + piece) / file.size));
  }
  return encodeBase32(hash.digest().subarray(0, 16));
}
