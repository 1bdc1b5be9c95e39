// Package backup is the format of a backup: an introducer's whole log as of one revision, in one file or
// stream, which says of itself whether it is whole.
//
// # Promises
//
// The records are those of the log to the byte, with their times, the introducer's clock and their chain
// values, removals and what is superseded included; so a log made of them replays to the same state.
// Write stops at the first record that is not what was once written. A Reader gives out a record only if
// its checksum is good and it is in its place, and says that the end was reached only if it was the end,
// nothing is missing, and every byte is as Write wrote it. Both keep one record in memory, however many
// there are.
//
// Whoever can write to a backup can make up another one: signatures of announcements are checked by who
// restores, and stand against that; sums don't.
//
// # Bytes
//
// Numbers are big-endian. A header, a frame for each record, a trailer; nothing follows.
//
//	header, 184 bytes
//	  0   8  "introbak"
//	  8   4  version, 1; a later one may change all that follows
//	 12  16  log id
//	 28   8  floor: revision above which no record is missing, 0: compaction dropped none
//	 36  32  its chain value
//	 68   8  revision at or below which tombstones were forgotten, 0: none
//	 76   8  number of records at or below the floor
//	 84  32  XOR of their chain values
//	116   8  head: revision of the newest record, which the backup is as of; 0: none
//	124  32  its chain value
//	156   8  time of the record at the head, Unix ns; 0: none
//	164   8  the introducer's running time, ns
//	172   8  when the backup was begun, Unix ns
//	180   4  CRC-32C of the 180 bytes before
//
//	frame
//	  0   4  n, length of the value, above 0
//	  4   8  revision, above that of the frame before
//	 12   n  value, as the log keeps it (package wal): it ends with a CRC-32C of revision and value
//
//	trailer, 44 bytes
//	  0   4  zeros
//	  4   8  number of frames
//	 12  32  SHA-256 of all bytes before
package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/introducer/introducer/wal"
)

// What a caller can act on.
var (
	ErrNotBackup = errors.New("not a backup of an introducer")
	ErrNewer     = errors.New("a backup of a newer introducer") // which can read it
	ErrDamaged   = errors.New("the backup is damaged")          // altered or cut short; another copy may be whole
)

// Header says what a backup is of.
type Header struct {
	LogID     wal.LogID
	Compacted wal.Compacted
	Head      wal.Position  // what the backup is as of
	HeadTime  time.Time     // of the record at the head, UTC; zero: there is none
	Clock     time.Duration // the introducer's running time
	Taken     time.Time     // when it was begun, UTC
}

// Summary is what a whole backup was.
type Summary struct {
	Header
	Records uint64
	Bytes   int64    // of header, frames and trailer
	Sum     [32]byte // SHA-256 of all but the sum itself
}

// Sizes; the package comment draws them.
const (
	magic   = "introbak"
	version = 1

	headerSize  = 8 + 4 + 16 + (8 + 32) + (8 + 8 + 32) + (8 + 32) + 8 + 8 + 8 + 4
	frameSize   = 4 + 8 // without its value
	trailerSize = 4 + 8 + 32

	maxValue = wal.MaxPayload + 1024
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h Header) append(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(b, h.LogID[:]...)
	b = appendPosition(b, h.Compacted.Floor)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Compacted.Forgotten))
	b = binary.BigEndian.AppendUint64(b, h.Compacted.Kept)
	b = append(b, h.Compacted.Sum[:]...)
	b = appendPosition(b, h.Head)
	var at int64
	if !h.HeadTime.IsZero() {
		at = h.HeadTime.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Clock))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Taken.UnixNano()))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseHeader reads a header of headerSize bytes.
func parseHeader(b []byte) (Header, error) {
	body, sum := b[:headerSize-4], binary.BigEndian.Uint32(b[headerSize-4:])
	if string(body[:8]) != magic {
		return Header{}, ErrNotBackup
	}
	if v := binary.BigEndian.Uint32(body[8:]); v != version {
		return Header{}, fmt.Errorf("%w: version %d, known is %d", ErrNewer, v, version)
	}
	if crc32.Checksum(body, castagnoli) != sum {
		return Header{}, fmt.Errorf("%w: wrong checksum of its header", ErrDamaged)
	}
	h := Header{
		LogID: wal.LogID(body[12:]),
		Compacted: wal.Compacted{
			Floor:     parsePosition(body[28:]),
			Forgotten: wal.Revision(binary.BigEndian.Uint64(body[68:])),
			Kept:      binary.BigEndian.Uint64(body[76:]),
			Sum:       wal.Chain(body[84:]),
		},
		Head: parsePosition(body[116:]),
	}
	at, clock, taken := binary.BigEndian.Uint64(body[156:]), binary.BigEndian.Uint64(body[164:]), binary.BigEndian.Uint64(body[172:])
	if max(at, clock, taken) > math.MaxInt64 || h.Compacted.Floor.Revision > h.Head.Revision ||
		h.Compacted.Forgotten > h.Head.Revision || h.LogID == (wal.LogID{}) {
		return Header{}, fmt.Errorf("%w: its header makes no sense", ErrDamaged)
	}
	if at != 0 {
		h.HeadTime = time.Unix(0, int64(at)).UTC()
	}
	h.Clock, h.Taken = time.Duration(clock), time.Unix(0, int64(taken)).UTC()
	return h, nil
}

func appendPosition(b []byte, p wal.Position) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(p.Revision)), p.Chain[:]...)
}

func parsePosition(b []byte) wal.Position {
	return wal.Position{Revision: wal.Revision(binary.BigEndian.Uint64(b)), Chain: wal.Chain(b[8:])}
}
