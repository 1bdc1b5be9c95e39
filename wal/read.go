package wal

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// Get returns the record at r. Its payload is the caller's. ErrNotFound: r is 0, above the head, or
// was dropped by compaction. A *CorruptError names r.
//
// One record alone can't show that it belongs to this history; Records and Check can.
func (l *Log) Get(r Revision) (Record, error) {
	rec, err := l.get(r)
	if err != nil {
		return Record{}, fmt.Errorf("reading record %d: %w", r, err)
	}
	return rec, nil
}

func (l *Log) get(r Revision) (Record, error) {
	if !l.readers.enter() {
		return Record{}, ErrClosed
	}
	defer l.readers.leave()
	if r == 0 || r > l.Head().Revision {
		return Record{}, ErrNotFound
	}
	var key [keySize]byte
	value, closer, err := l.db.Get(appendKey(key[:0], r))
	if errors.Is(err, pebble.ErrNotFound) {
		// The floor is looked at after the miss: it moves before records under it are dropped.
		if r <= l.floor.Load().revision {
			return Record{}, ErrNotFound
		}
		return Record{}, corrupt(r, "the record is missing")
	}
	if err != nil {
		return Record{}, readError(r, err)
	}
	defer closer.Close()
	return decodeRecord(r, bytes.Clone(value)) // Pebble reuses value
}

// Records yields the records from … to in ascending order, as they are at the call: what is appended
// meanwhile is not among them. from 0: the first there is; to 0, or above the head: the head.
//
// Every record is checked: its checksum, that none is missing, and that it follows its predecessor.
// At or below the floor (see First) single records may have been dropped, so there only the checksum
// is checked. The first error ends the sequence; a *CorruptError names the record.
//
// A payload is good until the next step of the iteration; who keeps it clones it.
func (l *Log) Records(from, to Revision) iter.Seq2[Record, error] {
	if head := l.Head().Revision; to == 0 || to > head {
		to = head
	}
	return func(yield func(Record, error) bool) {
		if !l.readers.enter() {
			yield(Record{}, fmt.Errorf("reading records: %w", ErrClosed))
			return
		}
		defer l.readers.leave()
		for rec, err := range l.scan(from, to) {
			if err == nil && !l.readers.open() {
				err = ErrClosed
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("reading records: %w", err))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// scan is Records without the bound of the head.
func (l *Log) scan(from, to Revision) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		from = max(from, 1)
		if from > to {
			return
		}
		err := l.walk(from, to, func(rec *Record) bool { return yield(*rec, nil) })
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// walk calls do with the records from … to until it returns false.
func (l *Log) walk(from, to Revision, do func(*Record) bool) error {
	// One iterator is one view of the store. The floor is read through it too, so that a compaction
	// meanwhile can't drop a record that this view's floor promises.
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte("m"), UpperBound: []byte("s")})
	if err != nil {
		return readError(from, err)
	}
	defer it.Close()
	floor, err := iterFloor(it)
	if err != nil {
		return err
	}

	// Above the floor the predecessor's chain value is needed to begin with: one record more, not
	// given to the caller.
	begin, link := from, linker{prev: floor.chain}
	if from > floor.revision+1 {
		begin--
	}
	next := max(begin, floor.revision+1) // the record that must come, above the floor
	for ok := it.SeekGE(appendKey(nil, begin)); ok; ok = it.Next() {
		r, valid := parseKey(it.Key())
		if !valid {
			return corrupt(next, "key % x among the records", it.Key())
		}
		if r > to {
			break
		}
		if r > floor.revision && r != next {
			return corrupt(next, "the record is missing, the next is %d", r)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return readError(r, err)
		}
		rec, err := decodeRecord(r, value)
		if err != nil {
			return err
		}
		if r > floor.revision {
			next++
			if r < from {
				link.prev = rec.Chain
				continue
			}
			if err := link.link(&rec, value); err != nil {
				return err
			}
		}
		if !do(&rec) {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return readError(next, err)
	}
	if next <= to {
		return corrupt(next, "the record is missing, as is all behind it")
	}
	return nil
}

// iterFloor reads m/floor through it.
func iterFloor(it *pebble.Iterator) (position, error) {
	if !it.SeekGE([]byte(keyFloor)) || string(it.Key()) != keyFloor {
		if err := it.Error(); err != nil {
			return position{}, readError(0, err)
		}
		return position{}, corrupt(0, "%s is missing", keyFloor)
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return position{}, readError(0, err)
	}
	return decodePosition(keyFloor, value)
}

// Check says whether the log holds chain value c at revision r, for whoever remembers having seen it
// there: nil, ErrAhead (the log ends before r) or ErrDiffers (it has another one). Revision 0 has the
// zero value. Below the floor nothing is known, which is nil.
func (l *Log) Check(r Revision, c Chain) error {
	floor := *l.floor.Load()
	var have Chain
	switch head := l.Head(); {
	case r > head.Revision:
		return fmt.Errorf("revision %d, the head is %d: %w", r, head.Revision, ErrAhead)
	case r == head.Revision:
		have = head.Chain
	case r == floor.revision:
		have = floor.chain
	case r < floor.revision:
		return nil
	default:
		rec, err := l.Get(r)
		if err != nil {
			return err
		}
		have = rec.Chain
	}
	if have != c {
		return fmt.Errorf("revision %d has chain value %s, not %s: %w", r, have, c, ErrDiffers)
	}
	return nil
}
