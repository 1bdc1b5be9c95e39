// Package cache is what a node's client keeps on disk of what it heard, so that the next run answers
// lookups before any introducer does, resumes where this one stood, and takes no replay of what it
// knows to be old.
//
// # What is kept
//
//   - Per introducer, by URL: the set that it announced, (service, peer id) → digest, and the token to
//     resume from. Every digest is kept, those of announcements that the client refused too: the
//     introducer counts them in the digest of its set.
//   - The signed bytes of the announcements, each once, however many introducers announced it.
//   - Floors: the newest that is known of a (service, peer id), be the peer there or gone.
//
// # What is promised
//
//   - The operations of one [Cache.Append] are on disk all or not at all, and in order. What loads after
//     kill -9 is the state after some Append, no older than the last [Cache.Flush]; the power may take
//     what came in the last second before it failed.
//   - Every announcement that [Open] returns has been verified anew, and is of the digest it is under.
//   - Damage loses what it hit and nothing else. What was cut off at the end was the newest, and what
//     stood before it is whole. After damage anywhere else no token is kept, since nobody knows what an
//     introducer's set lacks; sets, announcements and floors are, until the introducers have been
//     heard again.
//   - A floor is never lowered, whatever the order of what is appended, but by [ForgetFloor].
//   - The disk is written once for each operation, and the file is written anew when it has doubled:
//     n changes cost n, not n². That is as soon as it is more than 1 MiB longer than twice what it was
//     when it was last written anew.
//   - In memory stays the digest of each announcement. While the file is opened or written anew, all of
//     it is there once.
//   - A write or sync that fails is never tried again. The file stays as good as it was, and nothing
//     more is taken; see [ErrStopped].
//
// It assumes that whoever can write the file is honest, but for the announcements, which are signed.
//
// # The file's bytes
//
// Numbers are big-endian. Sums are CRC-32C (Castagnoli). A varint is that of encoding/binary, a text is
// its length as an unsigned varint and its bytes. The file is a header and groups, one behind the other.
//
//	 0  23  "introducer's peer cache"
//	23   1  version, 1
//	24   8  marker: random bytes, other ones in each file
//	32   4  sum of the 32 bytes before
//
// A group is what was appended at once, or a part of what stood when the file was written anew:
//
//	 0   8  the file's marker
//	 8   8  n, length of the operations
//	16   4  sum of the operations
//	20   4  sum of the 20 bytes before
//	24   n  operations
//
// An operation is one byte that says which, and its fields:
//
//	1  introducer    text: its URL. The operations behind it in this group are about it
//	2  announcement  texts: signature, peer id, message
//	3  announced     key, 32 bytes digest: the introducer's set has it now, in place of an older
//	4  gone          key: its set has it no more
//	5  reset         its set is empty, and there is no token
//	6  stand         16 bytes log id, varint revision, varint count, that many texts: the token, and the
//	                 services it is for. A log id of zeros: there is none
//	7  forget        its set, its token and its URL are no longer of interest
//	8  floor         key, varint seqnum, 32 bytes digest, 1 byte (1: withdrawn, else 0), signed varint
//	                 Unix seconds. It counts if it is not below the one that was known; see [Floor.Compare]
//	9  forget floor  key
//	10 anew          nothing: the file was written anew, up to the end of this group
//
// where a key is a text, the service, and 32 bytes peer id. All varints but the time are unsigned. A
// digest is SHA-256(peer id || message). Announcements that are in no introducer's set mean nothing.
//
// A reader that meets bytes that are no whole group looks for the next marker behind which a group's
// sums are right. No stranger's bytes can pass for one, since strangers do not know the marker. Should
// the header be damaged, the first group whose own sums are right has it too.
//
// Beside the file PATH are PATH.lock, held by the process that uses it, and PATH.new, a file that is
// being written anew; it is renamed over the old one when it is whole and synced.
package cache
