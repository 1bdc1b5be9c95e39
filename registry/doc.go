// Package registry is the introducer itself, without a network: it judges announcements,
// orders them, appends them to the log, shows them to readers and subscribers, and ends those
// whose time is over.
//
// # Promises
//
// An accepted announcement is synced to the log before its publisher hears so and before any
// reader sees it. Revisions are given out without holes or repeats; per (service, peer id) the seqnum
// served never goes down while its tombstone is kept, across restarts too. The view in memory,
// the index and a replay of the log are the same state. A lookup names the revision whose
// state it shows. A subscriber's set equals the registry's whenever Next says AtHead. What is
// read back from the disk is checked down to the signature.
//
// # The way through
//
// Publish verifies on the caller's goroutine and hands over to one sequencer goroutine, which
// takes all that waits, judges it in order, appends one batch to the log with one sync, swaps
// the new state in, and answers; while it syncs the next batch gathers. Readers never wait for
// it: View loads an immutable table (package permute), replaced copy-on-write in pages. The
// index follows behind, and may lag: a restart replays the log from where the index stands.
//
// There are no queues to subscribers. Each service has a journal, its peers' latest states in
// revision order, and a subscriber is a cursor in it that is woken by a level trigger: first
// snapshot, resume, live and catching up are one code path.
//
// # The introducer's clock
//
// Times to live run on the introducer's clock: the time it has been running, summed over all
// its runs. It goes on from the greatest value that a record or the witness beside the log has
// noted, so downtime counts for nothing and a crash forgets at most one heartbeat, which makes
// lives longer, never shorter. The end of a life is a record of its own, so that a replay
// never asks a clock. An introducer that cannot write removes nothing.
//
// # What is dropped
//
// A record that a later one of the same (service, peer id) supersedes stays in the log for
// Options.RetainHistory, and a tombstone is known for Options.RetainTombstones; both are counted on
// the introducer's clock, so that neither an outage nor a wall clock that leaps costs anyone a
// history or a reset. What is left replays to the same state, since dropping goes from old to new:
// whatever a tombstone ended is gone before it.
//
// That a tombstone is forgotten is noted in the log first (wal.Log.Forget), as the revision up to which
// all are. From there on it is no part of the state, whatever index and log still hold, and who last
// heard before it has to start anew: the resume floor. The other floor is the history's: ReadLog is
// complete above it (wal.Log.First), and holds only what is current below.
//
// # Bytes
//
// Payloads of the log's records (package wal gives each a revision, a time, the introducer's
// clock, a kind and checksums). Integers are big-endian; times are Unix nanoseconds, UTC.
//
//	kind 1, published: an announcement or a withdrawal
//	  8   first seen: when the first announcement of this (service, peer id) was accepted
//	  32  peer id
//	  64  signature
//	  …   message, as it was signed
//
//	kind 2, removed: an expiry or an eviction
//	  1   state: 3 expired, 4 evicted
//	  8   seqnum of what was removed
//	  8   first seen
//	  32  peer id
//	  32  digest of what was removed: SHA-256(peer id ‖ message)
//	  …   service name
//
// A record stands for itself: the newest of each (service, peer id) restores the whole state.
package registry
