package wal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// Revision says where a record stands in the log: 1, 2, 3, … without holes. 0 is before the first.
type Revision uint64

// LogID tells one log's history from every other's: 16 random bytes, made with the log and made
// anew when an operator accepts a loss. All zeros is no id.
type LogID [16]byte

// NewLogID reads a log id from rand, which is crypto/rand.Reader except in tests.
func NewLogID(rand io.Reader) (LogID, error) {
	var id LogID
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return LogID{}, fmt.Errorf("making a log id: %w", err)
	}
	if id == (LogID{}) {
		return LogID{}, errors.New("making a log id: the source gives zeros")
	}
	return id, nil
}

// String is the id in 32 lower-case hexadecimal digits.
func (id LogID) String() string { return hex.EncodeToString(id[:]) }

// Chain is a chain value: the SHA-256 that stands for a record and everything before it. All zeros
// is the value before the first record.
type Chain [32]byte

// String is the value in 64 lower-case hexadecimal digits.
func (c Chain) String() string { return hex.EncodeToString(c[:]) }

// Kind is the caller's own mark on a record, which tells what its payload is. 0 is refused.
type Kind uint8

// Limits of one Append.
const (
	MaxPayload = 1 << 20  // bytes of one payload
	MaxEntries = 1 << 16  // entries of one call
	MaxBatch   = 64 << 20 // bytes of all payloads of one call
)

// Entry is what a caller appends. Payload may be nil, which is the same as empty; it stays the
// caller's.
type Entry struct {
	Kind    Kind
	Payload []byte
}

// Record is an entry in its place in the log.
type Record struct {
	Revision Revision
	// Time is the wall clock when it was appended, UTC, in nanoseconds. It never goes backwards from
	// one record to the next, whatever the wall clock does.
	Time time.Time
	// Clock is the introducer's running time when it was appended, summed over all its runs. It never
	// goes backwards either.
	Clock   time.Duration
	Kind    Kind
	Payload []byte
	Chain   Chain
}

// Head is the newest record, without its payload. Of an empty log all fields are zero.
type Head struct {
	Revision Revision
	Chain    Chain
	Time     time.Time
	Clock    time.Duration
}

func (r *Record) head() Head {
	return Head{Revision: r.Revision, Chain: r.Chain, Time: r.Time, Clock: r.Clock}
}
