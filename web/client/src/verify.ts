import { maxMessage, parseAnnouncement, type Announcement, type Signed } from "./announcement.js";
import { hex } from "./bytes.js";
import { allKeysGood, equationHolds, isCanonical, isNativeStrict, keyProblem, nativeVerify } from "./ed25519.js";
import { Slices } from "./slices.js";

/**
 * What became of a signed announcement. "signature": its peer id cannot be shown to have signed it.
 * "form": it breaks a rule of form; said only of what is signed so, except for a message that is too
 * long, over which nothing is computed.
 */
export type Verification =
  | { readonly ok: true; readonly announcement: Announcement }
  | { readonly ok: false; readonly fault: "signature" | "form"; readonly reason: string };

export interface VerifierOptions {
  /** How many good keys to remember, the one that was met first forgotten first. Default 65,536, some 8 MB. */
  readonly keys?: number;
  /** Default: the global one. Null: none, everything is computed in JavaScript. */
  readonly subtle?: SubtleCrypto | null;
}

/**
 * Opens signed announcements by the introducer's own rules: Ed25519 without the cofactor, keys that are
 * canonically encoded points of prime order, then every rule of form. It uses WebCrypto where that has
 * Ed25519 and keeps to these rules, which is tried out once, and JavaScript elsewhere (pages without TLS
 * have no WebCrypto). It remembers keys found good: looking at one costs a millisecond.
 */
export class Verifier {
  readonly #most: number;
  readonly #good = new Set<string>(); // :: hex of peer id
  readonly #subtle: SubtleCrypto | undefined;
  #native: Promise<boolean> | undefined; // whether #subtle may be used

  constructor(options: VerifierOptions = {}) {
    this.#most = options.keys ?? 65536;
    this.#subtle = options.subtle === null ? undefined : (options.subtle ?? globalThis.crypto?.subtle);
  }

  /** Never rejects: whatever the bytes are, they get a verdict. */
  async verify(s: Signed): Promise<Verification> {
    if (s.message.length > maxMessage) {
      return form(`${s.message.length} bytes, at most ${maxMessage} are allowed`);
    }
    if (s.peerId.length !== 32) return bad(`the peer id has ${s.peerId.length} bytes, must have 32`);
    if (s.signature.length !== 64) return bad(`the signature has ${s.signature.length} bytes, must have 64`);
    if (!isCanonical(s.signature) || !(await this.#equation(s))) return bad("not by this peer over this message");
    // Only now the key, and only good keys are remembered: a stranger without a key cannot push the
    // grid's out.
    const problem = this.#keyProblem(s.peerId);
    if (problem !== undefined) return bad(problem);
    try {
      return { ok: true, announcement: parseAnnouncement(s.message) };
    } catch (e) {
      return form((e as Error).message);
    }
  }

  /**
   * Looks at many keys ahead of their announcements, which is cheaper than one by one. It says nothing
   * of them, and leaves bad ones to {@link Verifier.verify}.
   */
  async prepare(peerIds: Iterable<Uint8Array>): Promise<void> {
    const fresh = new Map<string, Uint8Array>();
    for (const id of peerIds) {
      const key = hex(id);
      if (!this.#good.has(key)) fresh.set(key, id);
    }
    // With fewer it does not pay.
    if (fresh.size >= 200 && (await allKeysGood([...fresh.values()], new Slices().pause))) {
      for (const key of fresh.keys()) this.#remember(key);
    }
  }

  async #equation(s: Signed): Promise<boolean> {
    if (this.#subtle !== undefined) {
      this.#native ??= isNativeStrict(this.#subtle);
      if (await this.#native) {
        try {
          return await nativeVerify(this.#subtle, s.signature, s.message, s.peerId);
        } catch {
          // It does not take the key. What follows says no, or knows better.
        }
      }
    }
    return equationHolds(s.signature, s.message, s.peerId);
  }

  #keyProblem(id: Uint8Array): string | undefined {
    const key = hex(id);
    if (this.#good.has(key)) return undefined;
    const problem = keyProblem(id);
    if (problem === undefined) this.#remember(key);
    return problem;
  }

  #remember(key: string): void {
    if (this.#good.size >= this.#most) {
      for (const oldest of this.#good) {
        this.#good.delete(oldest);
        break;
      }
    }
    if (this.#most > 0) this.#good.add(key);
  }
}

function bad(reason: string): Verification {
  return { ok: false, fault: "signature", reason };
}

function form(reason: string): Verification {
  return { ok: false, fault: "form", reason };
}

/** Verifies one announcement. For many, keep a {@link Verifier}. */
export function verifyAnnouncement(signed: Signed): Promise<Verification> {
  return new Verifier().verify(signed);
}
