package wal

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Snapshot is a log as it was at one moment, for whoever copies it whole or looks at all of it. What is
// appended or compacted meanwhile does not show. It keeps on the disk what it shows: Close it soon, and
// before the log, which waits for it. For one goroutine at a time.
type Snapshot struct {
	ID LogID
	Compacted
	Head  Head
	Clock time.Duration // see Log.Clock

	reader pebble.Reader
	close  func() error
	open   func() bool // whether the log is still open
}

// Compacted is what compaction has left of a log. The zero value: it was never compacted.
type Compacted struct {
	Floor     Position // history is complete above it; see Log.First
	Forgotten Revision // see Log.Forgotten
	Kept      uint64   // records at or below the floor
	Sum       Chain    // XOR of their chain values
}

// Snapshot returns the log as it is now.
func (l *Log) Snapshot() (*Snapshot, error) {
	s, err := l.snapshot()
	if err != nil {
		return nil, fmt.Errorf("taking a snapshot of the log: %w", err)
	}
	return s, nil
}

func (l *Log) snapshot() (*Snapshot, error) {
	if !l.readers.enter() {
		return nil, ErrClosed
	}
	// Nothing is written meanwhile: the snapshot must not hold a floor above the head that it shows, or
	// what was dropped in favour of newer records would be missing from both.
	l.write.Lock()
	s := &Snapshot{ID: l.ID(), Head: l.Head(), Clock: l.Clock()}
	snap := l.db.NewSnapshot()
	l.write.Unlock()
	s.reader, s.open = snap, l.readers.open
	s.close = func() error {
		defer l.readers.leave()
		return snap.Close()
	}
	floor, err := readPosition(snap, keyFloor)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	rest, err := readCompacted(snap)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	forgotten := min(rest.forgotten, s.Head.Revision) // as in Log.open
	s.Compacted = Compacted{Position{floor.revision, floor.chain}, forgotten, rest.kept, rest.sum}
	return s, nil
}

// Close gives the snapshot up.
func (s *Snapshot) Close() error { return s.close() }

// Raw yields the records up to the head as they lie there, unchecked: give them to a Sequence. What can't
// be read comes as an error in the place of the records concerned, a *CorruptError that names the first
// of them; the Raw beside it has the revision of the last. It goes on behind them. Any other error ends it.
// A value is good until the next step.
func (s *Snapshot) Raw() iter.Seq2[Raw, error] {
	return func(yield func(Raw, error) bool) {
		it, err := s.reader.NewIter(&pebble.IterOptions{LowerBound: []byte("r"), UpperBound: []byte("s")})
		if err != nil {
			yield(Raw{}, readError(1, err))
			return
		}
		defer it.Close()
		for raw, err := range rawRecords(it, 1, s.Head.Revision) {
			if !s.open() {
				yield(Raw{}, ErrClosed)
				return
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}

// current reads the record at which it stands; nil: it is at its end.
func current(it *pebble.Iterator, valid bool) (*Raw, error) {
	if !valid {
		return nil, readError(1, it.Error())
	}
	r, ok := parseKey(it.Key())
	if !ok {
		return nil, corrupt(1, "key % x among the records", it.Key())
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return nil, readError(r, err)
	}
	return &Raw{r, value}, nil
}

// resume finds the first record behind damage that it came upon at next, in few steps however much is
// damaged: leaps of double length until something can be read, then halves. head+1: there is none.
func resume(it *pebble.Iterator, next, head Revision) Revision {
	readable := func(r Revision) bool {
		raw, err := current(it, it.SeekGE(appendKey(nil, r)))
		return err == nil && raw != nil
	}
	bad, good := next, head+1
	for leap := Revision(1); bad+leap <= head; leap *= 2 {
		if readable(bad + leap) {
			good = bad + leap
			break
		}
		bad += leap
	}
	for bad+1 < good {
		if middle := bad + (good-bad)/2; readable(middle) {
			good = middle
		} else {
			bad = middle
		}
	}
	return good
}
