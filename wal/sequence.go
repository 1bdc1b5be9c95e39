package wal

import "errors"

// Raw is a record as it lies in the log: the package comment draws the value.
type Raw struct {
	Revision Revision
	Value    []byte
}

// Position is a place in a log: a revision and the chain value there. The zero value is before the
// first record.
type Position struct {
	Revision Revision
	Chain    Chain
}

// Sequence checks records that are read one after the other, from wherever: each one's checksum, that
// revisions ascend and times don't go back, that none is missing above the floor, and that each there
// follows its predecessor. After an error the next record may be given all the same; what the error says
// is then not said again of it. Not for concurrent use.
type Sequence struct {
	floor Revision
	last  Revision
	at    Head // the newest good record's time and clock
	link  linker
	below compacted // what came at or below the floor
	blind bool      // the predecessor is missing or damaged: the next record can't be linked to it
}

// NewSequence begins before the first record of a log whose history is complete above floor.
func NewSequence(floor Position) *Sequence {
	return &Sequence{floor: floor.Revision, link: linker{prev: floor.Chain}}
}

// Next reads and checks the next record. The record may be good though the error isn't nil, if it is the
// order that is wrong: then its Revision is not 0. The payload is part of raw. Errors are *CorruptError,
// or two of them.
func (s *Sequence) Next(raw Raw) (Record, error) {
	if raw.Revision <= s.last {
		return Record{}, corrupt(raw.Revision, "it comes after revision %d", s.last)
	}
	err := s.skip(raw.Revision)
	rec, bad := decodeRecord(raw.Revision, raw.Value)
	if bad != nil {
		s.blind = true
		return Record{}, errors.Join(err, bad)
	}
	if rec.Revision > s.floor {
		if err == nil && !s.blind {
			err = s.link.link(&rec, raw.Value)
		}
		s.link.prev, s.blind = rec.Chain, false
	} else {
		s.below.add(rec.Chain)
	}
	if err == nil && (rec.Time.Before(s.at.Time) || rec.Clock < s.at.Clock) {
		err = corrupt(rec.Revision, "it is older than its predecessor: time %v, clock %v", rec.Time, rec.Clock)
	}
	s.at = rec.head()
	return rec, err
}

// Kept checks that the records at or below the floor, which may have holes, were all that compaction kept.
func (s *Sequence) Kept(c Compacted) error {
	if s.below.kept != c.Kept || s.below.sum != c.Sum {
		return corrupt(0, "of %d records kept at or below revision %d, %d are there", c.Kept, s.floor, s.below.kept)
	}
	return nil
}

// Skip says that what lies before revision next cannot be read, and was reported.
func (s *Sequence) Skip(next Revision) {
	s.last, s.blind = max(s.last, next-1), true
}

// End checks that nothing is missing before the head, which is where the sequence must have ended.
func (s *Sequence) End(head Position) error {
	if s.last > head.Revision {
		return corrupt(s.last, "it is above the head, which is revision %d", head.Revision)
	}
	if err := s.skip(head.Revision + 1); err != nil {
		return err
	}
	if head.Revision > s.floor && !s.blind && s.link.prev != head.Chain {
		return corrupt(head.Revision, "its chain value is %s, the head's %s", s.link.prev, head.Chain)
	}
	return nil
}

// skip moves on to the record at next and says what is missing before it.
func (s *Sequence) skip(next Revision) error {
	from := max(s.last, s.floor) + 1
	s.last = next
	switch {
	case from >= next:
		return nil
	case from == next-1:
		return corrupt(from, "the record is missing")
	}
	return corrupt(from, "the records up to %d are missing", next-1)
}
