import { decodeBase32 } from "./base32.js";
import { clip } from "./bytes.js";
import { JsonNumber, kindOf, parseJson, type Json, type JsonObject } from "./json.js";

/**
 * What a node says of one service it offers. Only {@link parseAnnouncement} makes one, from the signed
 * bytes. All texts are a stranger's: show them as text, never as markup or links.
 */
export interface Announcement {
  /** Service name: `[a-z][a-z0-9_-]{0,63}`. */
  readonly service: string;
  /** The publisher's counter, 0 to 2^63-1: a newer announcement beats the older. */
  readonly seqnum: bigint;
  /** For people; "" for none. At most 256 bytes of UTF-8. */
  readonly nickname: string;
  /** What permutations hash for this peer, 0 to 64 bytes. Absent: its peer id. See {@link permutationSeed}. */
  readonly permutationSeed?: Uint8Array;
  /** "" for none. A FURL is a secret in some grids. */
  readonly furl: string;
  readonly nurls: readonly string[];
  /** At most 16, each of at most 1,000 bytes. {@link allEndpoints} has FURL and NURLs too. */
  readonly endpoints: readonly string[];
  /** Seconds from when it is accepted, 1 to 31,536,000. Absent: it never expires. */
  readonly ttlSeconds?: number;
  /** The peer takes its announcement back. */
  readonly withdrawn: boolean;
}

/** An announcement as its node signed it. The bytes are of whatever length and content they came. */
export interface Signed {
  /** One UTF-8 JSON object of at most 16 KiB, kept to the byte. */
  readonly message: Uint8Array;
  /** 64 bytes: Ed25519 over message. */
  readonly signature: Uint8Array;
  /** 32 bytes: the node's Ed25519 public key. */
  readonly peerId: Uint8Array;
}

/** The size of the longest message, in bytes. */
export const maxMessage = 16384;

const maxDepth = 16;
const maxSeqnum = (1n << 63n) - 1n;
const utf8 = new TextEncoder();

/**
 * Reads a message and holds it to every rule of form, those of the introducer itself; it does not know
 * who signed it. It throws a SyntaxError that says what is wrong and where.
 */
export function parseAnnouncement(message: Uint8Array): Announcement {
  if (message.length > maxMessage) {
    throw new SyntaxError(`${message.length} bytes, at most ${maxMessage} are allowed`);
  }
  let text: string;
  try {
    // A byte order mark is kept, so that the parser refuses it.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(message);
  } catch {
    throw new SyntaxError("not UTF-8");
  }
  const said = parseJson(text, maxDepth);
  if (!(said instanceof Map)) {
    throw new SyntaxError(`must be one JSON object, is ${kindOf(said)}`);
  }
  return announcement(new Members(said));
}

function announcement(m: Members): Announcement {
  const service = required(m.text("service-name", 64), "service-name");
  if (!isService(service)) {
    throw new SyntaxError(
      `service name ${clip(service)}: must be a lower-case letter, then at most 63 of lower-case letters, digits, _ and -`,
    );
  }
  const seed = m.text("permutation-seed-base32", Infinity);
  const ttl = m.integer("ttl-seconds", 1n, 31_536_000n);
  return {
    service,
    seqnum: required(m.integer("seqnum", 0n, maxSeqnum), "seqnum"),
    nickname: m.text("nickname", 256) ?? "",
    ...(seed !== undefined && { permutationSeed: seedBytes(seed) }),
    furl: m.text("anonymous-storage-FURL", Infinity) ?? "",
    nurls: m.list("anonymous-storage-NURLs", Infinity, Infinity),
    endpoints: m.list("endpoints", 16, 1000),
    ...(ttl !== undefined && { ttlSeconds: Number(ttl) }),
    withdrawn: m.boolean("withdrawn"),
  };
}

/** Tells whether name is a service name. */
export function isService(name: string): boolean {
  return /^[a-z][a-z0-9_-]{0,63}$/.test(name);
}

/** Where to reach the service: the FURL, the NURLs and the endpoints, in this order, each once, none empty. */
export function allEndpoints(a: Announcement): string[] {
  return [...new Set([a.furl, ...a.nurls, ...a.endpoints])].filter((s) => s !== "");
}

/** What permutations hash for the peer: the announced seed, or else the peer id. */
export function permutationSeed(a: Announcement, peerId: Uint8Array): Uint8Array {
  return a.permutationSeed ?? peerId;
}

function seedBytes(text: string): Uint8Array {
  const size = Math.floor((text.length * 5) / 8);
  if (size > 64) {
    throw new SyntaxError(`member "permutation-seed-base32" is of ${size} bytes, at most 64 are allowed`);
  }
  try {
    return decodeBase32(text);
  } catch (e) {
    throw new SyntaxError(`member "permutation-seed-base32": ${(e as Error).message}`);
  }
}

function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) {
    throw new SyntaxError(`member "${name}" is missing`);
  }
  return value;
}

/** Reads members of one object, each of one type. An absent one is undefined; null is of a wrong type. */
class Members {
  constructor(readonly all: JsonObject) {}

  /** A string of at most size bytes of UTF-8. */
  text(name: string, size: number): string | undefined {
    const value = this.all.get(name);
    return value === undefined ? undefined : sized(name, value, size, "a string");
  }

  list(name: string, count: number, size: number): string[] {
    const value = this.all.get(name);
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw wrongKind(name, "a list of strings", value);
    if (value.length > count) throw new SyntaxError(`member "${name}" has more than ${count} entries`);
    return value.map((entry) => sized(name, entry, size, "a list of strings"));
  }

  /**
   * JSON has 1.0 and 1e0 as well, but whether these are integers depends on who reads. So they are
   * refused, and -0 with them.
   */
  integer(name: string, least: bigint, most: bigint): bigint | undefined {
    const value = this.all.get(name);
    if (value === undefined) return undefined;
    if (!(value instanceof JsonNumber)) throw wrongKind(name, "an integer", value);
    if (!/^[0-9]+$/.test(value.text)) {
      throw new SyntaxError(`member "${name}" must be an integer in digits alone, without sign, fraction or exponent`);
    }
    const n = BigInt(value.text);
    if (n < least || n > most) throw new SyntaxError(`member "${name}" must be from ${least} to ${most}`);
    return n;
  }

  boolean(name: string): boolean {
    const value = this.all.get(name) ?? (this.all.has(name) ? null : false);
    if (typeof value !== "boolean") throw wrongKind(name, "true or false", value);
    return value;
  }
}

function sized(name: string, value: Json, size: number, wanted: string): string {
  if (typeof value !== "string") throw wrongKind(name, wanted, value);
  const bytes = size === Infinity ? 0 : utf8.encode(value).length;
  if (bytes > size) throw new SyntaxError(`member "${name}" has a text of ${bytes} bytes, at most ${size} are allowed`);
  return value;
}

function wrongKind(name: string, wanted: string, value: Json): SyntaxError {
  return new SyntaxError(`member "${name}" must be ${wanted}, is ${kindOf(value)}`);
}
