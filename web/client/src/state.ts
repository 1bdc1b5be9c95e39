import type { Token } from "./storage.js";

/**
 * How it stands with the introducer.
 *
 * - `stopped`: nothing is under way; `start()` begins.
 * - `connecting`: the first connection since `start()` is not there yet.
 * - `catching-up`: connected; what was missed is on its way.
 * - `live`: everything has been heard, and changes arrive as they happen.
 * - `lost`: there was a connection, and now there is none. What is held may be out of date since lastHeard.
 */
export type Connection = "stopped" | "connecting" | "catching-up" | "live" | "lost";

/** How a client stands. It does not change: each change makes another. */
export interface ClientState {
  readonly connection: Connection;
  /** When the introducer said anything last. A live one does twice a minute. Absent: never yet. */
  readonly lastHeard?: Date;
  /** Where the client stands in the introducer's log. Absent: nowhere. */
  readonly token?: Token;
  /**
   * What the last comparison of set digests found. `same`: at digestAt this client held exactly the
   * introducer's set. `differs`: it did not, and starts anew. `unknown`: there was none yet.
   */
  readonly digest: "unknown" | "same" | "differs";
  readonly digestAt?: Token;
  /** How often the digest differed. More than none is a fault of the introducer, or of what is between. */
  readonly mismatches: number;
  /** How often the introducer had the client forget everything, and why it did last. */
  readonly resets: number;
  readonly lastReset?: "new" | "compacted" | "other-log" | "unknown";
  /** How many announcements are held, of whatever verdict; how many forged; how many in the queue. */
  readonly peers: number;
  readonly forged: number;
  readonly checking: number;
  /** Why there is no connection. */
  readonly error?: Error;
  /** When the next try begins. Absent: one is under way, or none is needed. */
  readonly retryAt?: Date;
  /** The introducer said that it is about to stop. */
  readonly draining: boolean;
  /** What is wrong with the storage. The client works without. */
  readonly storageError?: Error;
}
