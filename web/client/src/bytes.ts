/** Lower-case hexadecimal digits: as texts they stand in the bytes' order. */
export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const b of bytes) {
    text += digits.charAt(b >> 4) + digits.charAt(b & 15);
  }
  return text;
}

const digits = "0123456789abcdef";

/** -1, 0 or 1, as a stands before, at or behind b, bytewise; a beginning stands before the whole. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const d = a[i]! - b[i]!;
    if (d !== 0) {
      return Math.sign(d);
    }
  }
  return Math.sign(a.length - b.length);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

export function concatBytes(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

/** Quotes a stranger's text for an error, which must not grow with what was sent. */
export function clip(text: string): string {
  return text.length <= 64 ? JSON.stringify(text) : `${JSON.stringify(text.slice(0, 64))}… (${text.length} characters)`;
}
