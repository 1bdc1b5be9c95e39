package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"
)

// The meta keys that this package reads and writes. "m/schema" is package migrations'.
const (
	keyID        = "m/id"
	keyHead      = "m/head"
	keyFloor     = "m/floor"
	keyCompacted = "m/compacted"
)

// position is a place in the log: the value of m/head and m/floor.
type position struct {
	revision Revision
	chain    Chain
}

// seal appends the checksum that a meta value ends with.
func seal(key string, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, metaSum(key, value))
}

func metaSum(key string, value []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(key), castagnoli), castagnoli, value)
}

func encodePosition(key string, p position) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+32+4), uint64(p.revision))
	return seal(key, append(b, p.chain[:]...))
}

func encodeID(id LogID) []byte { return seal(keyID, id[:]) }

// unseal checks a meta value of size bytes and returns it without its checksum.
func unseal(key string, value []byte, size int) ([]byte, error) {
	if len(value) != size+4 || binary.BigEndian.Uint32(value[size:]) != metaSum(key, value[:size]) {
		return nil, corrupt(0, "%s is damaged: % x", key, value)
	}
	return value[:size], nil
}

func decodePosition(key string, value []byte) (position, error) {
	v, err := unseal(key, value, 8+32)
	if err != nil {
		return position{}, err
	}
	return position{Revision(binary.BigEndian.Uint64(v)), Chain(v[8:])}, nil
}

func readPosition(r pebble.Reader, key string) (position, error) {
	v, closer, err := r.Get([]byte(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return position{}, corrupt(0, "%s is missing", key)
	}
	if err != nil {
		return position{}, readError(0, fmt.Errorf("reading %s: %w", key, err))
	}
	defer closer.Close()
	return decodePosition(key, v)
}

func readID(r pebble.Reader) (LogID, error) {
	v, closer, err := r.Get([]byte(keyID))
	if errors.Is(err, pebble.ErrNotFound) {
		return LogID{}, fmt.Errorf("it has no id, its making was not finished: %w", ErrNotLog)
	}
	if err != nil {
		return LogID{}, readError(0, fmt.Errorf("reading %s: %w", keyID, err))
	}
	defer closer.Close()
	id, err := unseal(keyID, v, len(LogID{}))
	if err != nil {
		return LogID{}, err
	}
	return LogID(id), nil
}

// compacted is the value of m/compacted: what compaction left. The zero value is that of a log never
// compacted, which has no such key.
type compacted struct {
	forgotten Revision // see Log.Forget
	kept      uint64   // records at or below the floor
	sum       Chain    // XOR of their chain values
}

func (c *compacted) add(chain Chain) {
	c.kept++
	c.sum = c.sum.xor(chain)
}

func (c *compacted) sub(chain Chain) {
	c.kept--
	c.sum = c.sum.xor(chain)
}

func (c Chain) xor(d Chain) Chain {
	for i := range c {
		c[i] ^= d[i]
	}
	return c
}

func encodeCompacted(c compacted) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+8+32+4), uint64(c.forgotten))
	b = binary.BigEndian.AppendUint64(b, c.kept)
	return seal(keyCompacted, append(b, c.sum[:]...))
}

func decodeCompacted(value []byte) (compacted, error) {
	v, err := unseal(keyCompacted, value, 8+8+32)
	if err != nil {
		return compacted{}, err
	}
	return compacted{
		forgotten: Revision(binary.BigEndian.Uint64(v)),
		kept:      binary.BigEndian.Uint64(v[8:]),
		sum:       Chain(v[16:]),
	}, nil
}

func readCompacted(r pebble.Reader) (compacted, error) {
	v, closer, err := r.Get([]byte(keyCompacted))
	if errors.Is(err, pebble.ErrNotFound) {
		return compacted{}, nil
	}
	if err != nil {
		return compacted{}, readError(0, fmt.Errorf("reading %s: %w", keyCompacted, err))
	}
	defer closer.Close()
	return decodeCompacted(v)
}

// readError turns damage that Pebble found into ours. r: the record that was asked for, or 0.
func readError(r Revision, err error) error {
	if pebble.IsCorruptionError(err) {
		return &CorruptError{Revision: r, Err: err}
	}
	return err
}
