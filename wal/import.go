package wal

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// Import fills an empty log with another log's records as they lie there: revisions, times, chain values
// and what compaction left stay what they were; the id is this log's own. It is for whoever
// makes a log of a copy, before anyone else has to do with it: after an error the log is neither what it
// was nor what it should be, and to be thrown away.
//
// Records are checked as by a Sequence, and must end at head. An error that comes with one ends it.
func (l *Log) Import(c Compacted, head Position, records iter.Seq2[Raw, error]) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.importAll(c, head, records); err != nil {
		return fmt.Errorf("importing records: %w", err)
	}
	return nil
}

// importBytes is about how much is written at a time.
const importBytes = 1 << 20

func (l *Log) importAll(c Compacted, head Position, records iter.Seq2[Raw, error]) error {
	if err := l.writable(); err != nil {
		return err
	}
	if l.Head() != (Head{}) || l.First() != 1 {
		return errors.New("the log is not empty")
	}
	b := l.db.NewBatch()
	seq := NewSequence(c.Floor)
	var last Head
	for raw, err := range records {
		var rec Record
		if err == nil {
			rec, err = seq.Next(raw)
		}
		if err == nil {
			err = b.Set(appendKey(nil, raw.Revision), raw.Value, nil)
		}
		if err == nil && b.Len() >= importBytes {
			err = l.apply(b, pebble.NoSync)
			b = l.db.NewBatch()
		}
		if err != nil {
			return errors.Join(err, b.Close())
		}
		last = rec.head()
	}
	err := seq.End(head)
	if err == nil {
		err = seq.Kept(c)
	}
	floor, rest := position{c.Floor.Revision, c.Floor.Chain}, compacted{c.Forgotten, c.Kept, c.Sum}
	if err == nil {
		err = b.Set([]byte(keyFloor), encodePosition(keyFloor, floor), nil)
	}
	if err == nil && rest != (compacted{}) {
		err = b.Set([]byte(keyCompacted), encodeCompacted(rest), nil)
	}
	if err != nil {
		return errors.Join(err, b.Close())
	}
	// Its sync is that of all batches before it.
	if err := l.commit(b, position{head.Revision, head.Chain}); err != nil {
		return err
	}
	// Where compaction left nothing at the head, it has the time of the last record there is.
	last.Revision, last.Chain = head.Revision, head.Chain
	l.setFloor(floor, rest)
	l.head.Store(&last)
	l.raise(last.Clock)
	return l.witness.wait(l.mark())
}
