package wal

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// Sizes of a record's value; the package comment draws it.
const (
	recordVersion = 1

	fixedSize   = 1 + 1 + 8 + 8 // version, kind, time, clock
	trailerSize = 32 + 4        // chain value, checksum

	keySize = 1 + 8 // 'r', revision
)

// castagnoli is the CRC-32C table; crc32 picks the processor's instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendKey appends the key of the record at r.
func appendKey(b []byte, r Revision) []byte {
	return binary.BigEndian.AppendUint64(append(b, 'r'), uint64(r))
}

// parseKey is the inverse of appendKey.
func parseKey(key []byte) (Revision, bool) {
	if len(key) != keySize || key[0] != 'r' {
		return 0, false
	}
	return Revision(binary.BigEndian.Uint64(key[1:])), true
}

// encodeRecord lays rec out behind the chain value of its predecessor. It appends to buf, which the
// caller reuses, and returns the whole: the value to store begins at byte 40. It sets rec.Chain.
//
// The order makes one buffer serve both sums: the chain value is the SHA-256 of all before it, the
// checksum covers all before it but the predecessor's chain value.
func encodeRecord(buf []byte, prev Chain, rec *Record) []byte {
	buf = append(buf, prev[:]...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(rec.Revision))
	buf = append(buf, recordVersion, byte(rec.Kind))
	buf = binary.BigEndian.AppendUint64(buf, uint64(rec.Time.UnixNano()))
	buf = binary.BigEndian.AppendUint64(buf, uint64(rec.Clock))
	buf = append(buf, rec.Payload...)
	rec.Chain = sha256.Sum256(buf)
	buf = append(buf, rec.Chain[:]...)
	return binary.BigEndian.AppendUint32(buf, crc32.Checksum(buf[len(prev):], castagnoli))
}

// decodeRecord reads the value stored at r and checks all that can be checked without its
// predecessor. The payload is part of value. Errors are *CorruptError.
func decodeRecord(r Revision, value []byte) (Record, error) {
	if len(value) < fixedSize+trailerSize {
		return Record{}, corrupt(r, "%d bytes, a record has at least %d", len(value), fixedSize+trailerSize)
	}
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(r))
	summed := value[:len(value)-4]
	sum := crc32.Update(crc32.Checksum(key[:], castagnoli), castagnoli, summed)
	if stored := binary.BigEndian.Uint32(value[len(summed):]); sum != stored {
		return Record{}, corrupt(r, "checksum %08x, stored %08x", sum, stored)
	}
	body, chain := summed[:len(summed)-32], summed[len(summed)-32:]
	at, clock := binary.BigEndian.Uint64(body[2:]), binary.BigEndian.Uint64(body[10:])
	switch {
	case body[0] != recordVersion:
		return Record{}, corrupt(r, "record version %d, known is %d", body[0], recordVersion)
	case body[1] == 0:
		return Record{}, corrupt(r, "kind 0")
	case at > math.MaxInt64 || clock > math.MaxInt64:
		return Record{}, corrupt(r, "time %d or clock %d out of range", at, clock)
	}
	return Record{
		Revision: r,
		Time:     time.Unix(0, int64(at)).UTC(),
		Clock:    time.Duration(clock),
		Kind:     Kind(body[1]),
		Payload:  body[fixedSize:],
		Chain:    Chain(chain),
	}, nil
}

// linker checks that records follow each other. The zero value begins before revision 1. Not for
// concurrent use.
type linker struct {
	prev    Chain
	scratch []byte
}

// link checks that the record of this value, already decoded as rec, follows the one linked before
// and makes it the new predecessor.
func (l *linker) link(rec *Record, value []byte) error {
	l.scratch = append(l.scratch[:0], l.prev[:]...)
	l.scratch = binary.BigEndian.AppendUint64(l.scratch, uint64(rec.Revision))
	l.scratch = append(l.scratch, value[:len(value)-trailerSize]...)
	if want := Chain(sha256.Sum256(l.scratch)); rec.Chain != want {
		return corrupt(rec.Revision, "it does not follow its predecessor: chain value %s, want %s", rec.Chain, want)
	}
	l.prev = rec.Chain
	return nil
}
