/**
 * Client of an introducer, the publish/subscribe service registry of a grid, for browsers and Node.js.
 *
 * {@link IntroducerClient} follows the peers of some services and keeps them, each verified; the rest
 * can be used by itself: what an announcement is and whether its node signed it, and the order of peers
 * for a storage index.
 *
 * @packageDocumentation
 */
export {
  allEndpoints,
  isService,
  maxMessage,
  parseAnnouncement,
  permutationSeed,
  type Announcement,
  type Signed,
} from "./announcement.js";
export { decodeBase32, encodeBase32, parsePeerId, peerIdText } from "./base32.js";
export { IntroducerClient, type ClientOptions } from "./client.js";
export type { HistoryRecord } from "./history.js";
export { IndexedDBStorage } from "./indexeddb.js";
export type { GonePeer, Peer, PeerEntry, Verdict } from "./peer.js";
export { permute, permutedId, type Permutable, type Permuted, type PermuteOptions } from "./permute.js";
export { announcementDigest, type EntryKey } from "./set.js";
export { signAnnouncement, type AnnouncementMembers } from "./sign.js";
export type { ClientState, Connection } from "./state.js";
export {
  MemoryStorage,
  type Storage,
  type StoredChange,
  type StoredPeer,
  type StoredSet,
  type Token,
} from "./storage.js";
export { Verifier, verifyAnnouncement, type Verification, type VerifierOptions } from "./verify.js";
