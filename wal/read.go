package wal

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"

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
	return l.fetch(r)
}

// fetch is get without the bound of the head.
func (l *Log) fetch(r Revision) (Record, error) {
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

// Records yields the records from … to in ascending order, as they are when it is begun: what is appended
// or compacted meanwhile does not show. from 0: the first there is; to 0, or above the head at the call: the
// head. Of a sequence from 0 that ends below the head compaction may have dropped more than what it holds
// supersedes.
//
// Every record is checked: its checksum, that none is missing, and that it follows its predecessor. Of
// those at or below the floor (see First) compaction has dropped some: a from there is ErrNotFound, since
// what follows would look whole; a sequence from 0 checks their number and sum when it has passed them.
//
// A *CorruptError names a record that is missing or not what was written; who goes on after it gets what
// lies behind. Any other error ends the sequence.
//
// A payload is good until the next step of the iteration; who keeps it clones it.
func (l *Log) Records(from, to Revision) iter.Seq2[Record, error] {
	if to == 0 || to > l.Head().Revision {
		to = toHead
	}
	return func(yield func(Record, error) bool) {
		if !l.readers.enter() {
			yield(Record{}, fmt.Errorf("reading records: %w", ErrClosed))
			return
		}
		defer l.readers.leave()
		for rec, err := range l.scan(from, to) {
			if err == nil && !l.readers.open() {
				yield(Record{}, fmt.Errorf("reading records: %w", ErrClosed))
				return
			}
			if err != nil {
				err = fmt.Errorf("reading records: %w", err)
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// toHead is an end that is looked up when a sequence is begun.
const toHead Revision = math.MaxUint64

// scan is Records without the bound of the head, unless to is toHead.
func (l *Log) scan(from, to Revision) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if from > to {
			return
		}
		if err := l.walk(from, to, yield); err != nil {
			yield(Record{}, err)
		}
	}
}

// walk is scan. The error that it returns was not yielded.
func (l *Log) walk(from, to Revision, yield func(Record, error) bool) error {
	// One iterator is one view of the store. The floor is read through it too, so that a compaction
	// meanwhile can't drop a record that this view's floor promises.
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte("m"), UpperBound: []byte("s")})
	if err != nil {
		return readError(from, err)
	}
	defer it.Close()
	floor, rest, err := iterFloor(it)
	if err != nil {
		return err
	}
	if to == toHead {
		// This view may show a head that is not synced yet, and miss a newer one that is. Whatever compaction
		// dropped from this view was superseded by a record up to either: one in the view, and synced before.
		shown, err := iterPosition(it, keyHead)
		if err != nil {
			return err
		}
		if to = min(shown.revision, l.Head().Revision); from > to {
			return nil
		}
	}
	if from > 0 && from <= floor.revision {
		return fmt.Errorf("record %d: %w: history is complete from %d on", from, ErrNotFound, floor.revision+1)
	}
	// Above the floor the predecessor is read as well, to link the first record to, and not yielded.
	seq := NewSequence(Position{floor.revision, floor.chain})
	begin := max(from, 1)
	if from > floor.revision+1 {
		begin--
		seq.Skip(begin)
	}
	var seen compacted
	below := from == 0 // what lies at or below the floor is being counted
	count := func(next Revision) error {
		if !below || next <= floor.revision {
			return nil
		}
		below = false
		if seen.kept != rest.kept || seen.sum != rest.sum {
			return corrupt(0, "of the %d records that were kept at or below revision %d, %d are there",
				rest.kept, floor.revision, seen.kept)
		}
		return nil
	}
	for raw, err := range rawRecords(it, begin, to) {
		if err != nil {
			if !errors.As(err, new(*CorruptError)) {
				return err
			}
			seq.Skip(raw.Revision + 1)
			if !yield(Record{}, err) {
				return nil
			}
			continue
		}
		if err := count(raw.Revision); err != nil && !yield(Record{}, err) {
			return nil
		}
		rec, err := seq.Next(raw)
		if err != nil && !yield(Record{}, err) {
			return nil
		}
		if rec.Revision == 0 {
			continue
		}
		if rec.Revision <= floor.revision {
			seen.add(rec.Chain)
		}
		if rec.Revision >= from && !yield(rec, nil) {
			return nil
		}
	}
	if err := count(to + 1); err != nil && !yield(Record{}, err) {
		return nil
	}
	return seq.skip(to + 1)
}

// rawRecords yields the records from … to that it holds, unchecked. What can't be read comes as a
// *CorruptError that names the first record concerned, beside a Raw with the revision of the last, and
// what lies behind follows; any other error ends it.
func rawRecords(it *pebble.Iterator, from, to Revision) iter.Seq2[Raw, error] {
	return func(yield func(Raw, error) bool) {
		next := from
		valid := it.SeekGE(appendKey(nil, next))
		for next <= to {
			raw, err := current(it, valid)
			if damage := (*CorruptError)(nil); errors.As(err, &damage) {
				first := next
				next = resume(it, next, to)
				if !yield(Raw{Revision: next - 1}, &CorruptError{Revision: first, Err: damage.Err}) {
					return
				}
				valid = it.SeekGE(appendKey(nil, next))
				continue
			}
			if err != nil {
				yield(Raw{}, err)
				return
			}
			if raw == nil || raw.Revision > to || !yield(*raw, nil) {
				return
			}
			next = raw.Revision + 1
			valid = it.Next()
		}
	}
}

// iterFloor reads m/floor and m/compacted through it.
func iterFloor(it *pebble.Iterator) (position, compacted, error) {
	var rest compacted
	value, err := iterMeta(it, keyCompacted)
	if err == nil && value != nil {
		rest, err = decodeCompacted(value)
	}
	if err != nil {
		return position{}, compacted{}, err
	}
	floor, err := iterPosition(it, keyFloor)
	return floor, rest, err
}

func iterPosition(it *pebble.Iterator, key string) (position, error) {
	value, err := iterMeta(it, key)
	if err == nil && value == nil {
		err = corrupt(0, "%s is missing", key)
	}
	if err != nil {
		return position{}, err
	}
	return decodePosition(key, value)
}

// iterMeta reads the value of a meta key through it; nil: there is none.
func iterMeta(it *pebble.Iterator, key string) ([]byte, error) {
	if !it.SeekGE([]byte(key)) || string(it.Key()) != key {
		return nil, readError(0, it.Error())
	}
	value, err := it.ValueAndErr()
	return value, readError(0, err)
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
