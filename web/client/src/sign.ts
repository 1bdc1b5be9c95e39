import { parseAnnouncement, type Signed } from "./announcement.js";
import { publicKey, signBytes } from "./ed25519.js";

/** The members of a message. `permutation-seed-base32`, `endpoints` and others by their JSON names. */
export interface AnnouncementMembers {
  readonly "service-name": string;
  readonly seqnum: bigint | number;
  readonly [member: string]: unknown;
}

/**
 * Makes a message of its members and signs it with a node's private key, the 32-byte seed of RFC 8032.
 * The seed is not kept. It throws a SyntaxError for what breaks a rule of form, and a RangeError for a
 * seed of another length.
 */
export function signAnnouncement(members: AnnouncementMembers, seed: Uint8Array): Signed {
  if (seed.length !== 32) {
    throw new RangeError(`private key of ${seed.length} bytes, must have 32`);
  }
  if (typeof members.seqnum === "number" && !Number.isSafeInteger(members.seqnum)) {
    throw new SyntaxError('member "seqnum" must be an integer; use a bigint beyond 2^53');
  }
  // JSON.stringify has no bigint: the digits go in front of what it writes of the rest.
  const { seqnum, ...rest } = members;
  const message = new TextEncoder().encode(`{"seqnum":${seqnum},${JSON.stringify(rest).slice(1)}`);
  parseAnnouncement(message);
  return { message, signature: signBytes(message, seed), peerId: publicKey(seed) };
}
