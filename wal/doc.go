// Package wal is the introducer's log: an ordered, checked, chained and synced sequence of records on
// Pebble, and beside it a witness that knows how far the log had come. It knows bytes and revisions,
// and nothing of announcements.
//
// # What it promises
//
//   - When Append has returned, its records are on the disk. They survive the end of the process and of
//     the power, whole and in order; records of one Append come back all or not at all.
//   - Revisions are given out as 1, 2, 3, … without holes and are never used again for other bytes under
//     the same log id. Compact drops records at or below a floor, which its caller has no more use for;
//     above it, from First on, history is complete. The newest record always stays.
//   - A reader never sees a record that a crash could take back: every read ends at Head, which moves
//     when the sync has returned. Pebble by itself shows a batch before.
//   - What is read is what was written, or an error that names the revision. Nothing is repaired.
//   - If records that were synced are gone or damaged (a damaged or cut file, an old copy put back), Open
//     says so in Lost, as far as the end of the log shows it, and the log takes no new ones until an
//     operator has called Renew. Records finds what lies deeper. Pebble by itself
//     opens such a log without a word. Two losses go unnoticed: that of the very last Append before a
//     crash, when its mark was not yet written (StrictWitness closes this), and any in which log and
//     witness went back together.
//   - A failed write or sync is never tried again; see Options.Fatal.
//
// It assumes of the disk that what was synced stays until something breaks, that a write of 4 KiB to
// one slot of the witness leaves the other alone, and that whoever can write the directory is honest:
// checksums and chain find accidents, not forgers.
//
// # The log's bytes
//
// Numbers are big-endian. Sums are CRC-32C (Castagnoli). The store is Pebble's, with its default order
// of keys, bytewise. There are two kinds of keys.
//
// Meta: "m/" and a name; the value ends with the sum of key and value before it, 4 bytes.
//
//	m/schema   4  number of the schema, 1; this number governs the witness, too
//	m/id      16  log id
//	m/head     8  revision of the newest record, 0: none
//	          32  its chain value
//	m/floor    8  revision from above which history is complete, 0: from the beginning
//	          32  chain value at that revision
//	m/compacted   there only if anything was ever compacted or forgotten
//	           8  the greatest revision given to Forget; 0: none. Where the log lost its end: at most the head
//	           8  number of records at or below the floor
//	          32  XOR of their chain values
//
// Records: "r" and the revision, 8 bytes; the value is
//
//	 0   1  version, 1
//	 1   1  kind, not 0
//	 2   8  wall time, Unix ns
//	10   8  the introducer's running time, ns
//	18   n  payload, at most 1 MiB
//	 …  32  chain value
//	 …   4  sum of the revision (8 bytes, as in the key) and all of the value before
//
// The chain value at revision r is the SHA-256 of these, one behind the other: the chain value at r-1
// (32 bytes), r (8 bytes), and the value up to the end of the payload. At revision 0 it is 32 zero
// bytes. So each stands for all that came before it.
//
// Records and the m/head that goes with them are written in one synced batch. A step of compaction is one
// batch too: the floor, m/compacted, and the records that go. So at any moment the records above the
// floor link to each other and to the floor's chain value, and those that are left below can be counted
// and summed. A record that stays stays as it is, byte for byte.
//
// # The witness's bytes
//
// One file of two slots of 4,096 bytes. A mark is written into the slot that holds the older one, and
// synced; the valid slot with the greater counter counts.
//
//	 0   8  "introwit"
//	 8   4  version, 1
//	12   8  counter, one more with each mark
//	20  16  log id
//	36   8  revision of the log's head
//	44  32  its chain value
//	76   8  the introducer's running time, ns
//	84   8  wall time of the record at the head, Unix ns; 0: the log is empty
//	92   4  sum of the 92 bytes before
//	96   …  zeros, not looked at
//
// A mark is written only when what it says of the log has been synced there. So a log that is behind
// its witness, or has another record at that place, has lost something.
//
// The running time is the sum of how long the introducer has been up, over all its runs. It is kept
// here, and beaten into the witness now and then (Beat), so that deadlines can be counted in it.
package wal
