package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"github.com/introducer/introducer/wal"
)

// Position is a place in a log: after Revision, with the chain value that it has there. Revision 0
// with a zero Chain is before the first record.
type Position struct {
	LogID    wal.LogID
	Revision wal.Revision
	Chain    wal.Chain
}

// standing is a position with what the entries must add up to there.
type standing struct {
	Position
	entries uint64
	tally   uint64 // sum of the entries' checksums modulo 2^64
}

// Names in the file.
const (
	bucketMeta     = "meta"
	bucketServices = "services"
	keyPosition    = "position"

	standingSize = 16 + 8 + 32 + 8 + 8 + sumSize
)

// readStanding reads the standing of the open file into x.
func (x *Index) readStanding(tx *bbolt.Tx) error {
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil {
		return errors.New("no bucket meta")
	}
	if tx.Bucket([]byte(bucketServices)) == nil {
		return errors.New("no bucket services")
	}
	v := meta.Get([]byte(keyPosition))
	if v == nil {
		return errors.New("no position: it was not finished")
	}
	at, err := parseStanding(v)
	if err != nil {
		return fmt.Errorf("position: %w", err)
	}
	x.applied.Store(&at)
	return nil
}

// writeStanding writes where the index will stand after tx.
func writeStanding(tx *bbolt.Tx, at *standing) error {
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil {
		return errors.New("no bucket meta")
	}
	return meta.Put([]byte(keyPosition), at.append(nil))
}

func (s *standing) append(b []byte) []byte {
	start := len(b)
	b = append(b, s.LogID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Revision))
	b = append(b, s.Chain[:]...)
	b = binary.BigEndian.AppendUint64(b, s.entries)
	b = binary.BigEndian.AppendUint64(b, s.tally)
	return binary.BigEndian.AppendUint32(b, standingSum(b[start:]))
}

func parseStanding(v []byte) (standing, error) {
	if len(v) != standingSize {
		return standing{}, fmt.Errorf("%d bytes, want %d", len(v), standingSize)
	}
	body, sum := v[:standingSize-sumSize], binary.BigEndian.Uint32(v[standingSize-sumSize:])
	if standingSum(body) != sum {
		return standing{}, errors.New("wrong checksum")
	}
	return standing{
		Position: Position{
			LogID:    wal.LogID(body),
			Revision: wal.Revision(binary.BigEndian.Uint64(body[16:])),
			Chain:    wal.Chain(body[24:]),
		},
		entries: binary.BigEndian.Uint64(body[56:]),
		tally:   binary.BigEndian.Uint64(body[64:]),
	}, nil
}

func standingSum(body []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(keyPosition), castagnoli), castagnoli, body)
}
