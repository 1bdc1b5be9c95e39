package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Compaction says what may go, and hears how it goes.
type Compaction struct {
	// Floor is up to where records are dropped; history above it stays whole. At most the revision
	// before the head's counts, so that the newest record always stays.
	Floor Revision
	// Keep are the records at or below Floor that stay, ascending. It is only read.
	Keep []Revision
	// Step, if not nil, is called after each step, of at most 1,024 records, with how far it has come and
	// how many records are dropped so far. Nothing is held while it runs: it may sleep to leave the disk to
	// others.
	Step func(at Revision, dropped uint64)
}

// Sizes of a step. An Append that comes in the midst of one waits for it: below a millisecond.
const (
	stepRecords = 1024
	// rangeDrops is how many records dropped in a row are dropped as one range. A range lets the store drop
	// whole files unread, but each costs readers some time until the files around it are rewritten.
	rangeDrops = 16
)

// Forget notes revision r for the caller: what removals at or below it say is not needed any more. It is
// synced when Forget returns; a lower r than before changes nothing. The log itself does nothing with it.
func (l *Log) Forget(r Revision) error {
	if err := l.forget(r); err != nil {
		return fmt.Errorf("forgetting up to revision %d: %w", r, err)
	}
	return nil
}

func (l *Log) forget(r Revision) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.changeable(); err != nil {
		return err
	}
	rest := *l.compacted.Load()
	if r <= rest.forgotten {
		return nil
	}
	if r > l.Head().Revision {
		return fmt.Errorf("the head is %d: %w", l.Head().Revision, ErrAhead)
	}
	rest.forgotten = r
	b := l.db.NewBatch()
	if err := b.Set([]byte(keyCompacted), encodeCompacted(rest), nil); err != nil {
		b.Close()
		return err
	}
	h := l.Head()
	if err := l.commit(b, position{h.Revision, h.Chain}); err != nil {
		return err
	}
	l.compacted.Store(&rest)
	return nil
}

// Compact drops the records at or below c.Floor that c.Keep does not name, and gives back their room. It
// returns how many they were. It goes from old to new in steps that each hold whole or not at all, so
// that after a crash, an error or the end of ctx there is what a compaction up to an earlier floor would
// have left. All of it is synced when Compact returns without an error.
//
// Records are checked before they go, as by Records. What is damaged and may go goes; a record to keep
// that is damaged or missing ends it with a *CorruptError. ErrQuarantined, ErrReadOnly, ErrClosed,
// ErrFailed: as for Append.
func (l *Log) Compact(ctx context.Context, c Compaction) (dropped uint64, err error) {
	if err := l.changeable(); err != nil {
		return 0, fmt.Errorf("compacting up to revision %d: %w", c.Floor, err)
	}
	if h := l.Head().Revision; c.Floor >= h {
		c.Floor = max(h, 1) - 1
	}
	w := &compactor{l: l, Compaction: c, floor: *l.floor.Load(), unseen: *l.compacted.Load()}
	w.seq = NewSequence(Position{w.floor.revision, w.floor.chain})
	if err := w.run(ctx); err != nil {
		return w.dropped, fmt.Errorf("compacting up to revision %d: %w", c.Floor, err)
	}
	return w.dropped, nil
}

// compactor is one Compact under way.
type compactor struct {
	Compaction
	l     *Log
	floor position  // as the last step left it
	next  Revision  // the least revision not yet looked at
	seq   *Sequence // of what lies above the floor

	// Of the records at or below the floor that it began with: what the log counts and was not come upon, and
	// those that may go and can't be read. When all are passed the two are the same, and go; see settle.
	unseen  compacted
	bad     []Revision
	settled bool

	dropped     uint64
	first, last Revision // dropped
}

func (w *compactor) run(ctx context.Context) error {
	for w.next <= w.Floor {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := w.l.inside(w.step); err != nil {
			return err
		}
		if w.Step != nil {
			w.Step(w.next-1, w.dropped)
		}
	}
	return w.l.inside(func() error { return w.reclaim(ctx) })
}

// inside runs do as a reader, for whom Close waits.
func (l *Log) inside(do func() error) error {
	if !l.readers.enter() {
		return ErrClosed
	}
	defer l.readers.leave()
	return do()
}

// step is what one step does.
type step struct {
	floor position     // to be the log's
	rest  compacted    // to be added to the log's; kept wraps around below zero
	runs  [][]Revision // what goes; between the first and the last of a run nothing stays
}

// step looks at the next records and drops those of them that may go.
func (w *compactor) step() error {
	s := step{floor: w.floor}
	if err := w.look(&s); err != nil {
		return err
	}
	if err := w.l.drop(&s); err != nil {
		return err
	}
	for _, run := range s.runs {
		if w.dropped == 0 || run[0] < w.first {
			w.first = run[0]
		}
		w.last = max(w.last, run[len(run)-1])
		w.dropped += uint64(len(run))
	}
	w.floor = s.floor
	return nil
}

// look puts the next stepRecords records into s and moves on.
func (w *compactor) look(s *step) error {
	it, err := w.l.db.NewIter(&pebble.IterOptions{LowerBound: []byte("r"), UpperBound: []byte("s")})
	if err != nil {
		return readError(w.next, err)
	}
	defer it.Close()
	n := 0
	goOn := false // the last run of s
	for raw, err := range rawRecords(it, w.next, w.Floor) {
		if n++; n > stepRecords {
			return nil
		}
		w.next = raw.Revision + 1
		keep := len(w.Keep) > 0 && w.Keep[0] <= raw.Revision
		if keep && w.Keep[0] < raw.Revision {
			return corrupt(w.Keep[0], "the record is missing")
		}
		above := raw.Revision > w.floor.revision
		if above {
			w.settle(s)
		}
		rec, err := w.check(raw, err)
		damage := (*CorruptError)(nil)
		switch {
		case err != nil && !errors.As(err, &damage):
			return err
		case err != nil && !above && (keep || w.Floor < w.floor.revision):
			return err
		case err != nil && !above:
			w.bad = append(w.bad, raw.Revision)
			goOn = false
			continue
		case err != nil && keep && (rec.Revision == 0 || damage.Revision == rec.Revision):
			return err // else the damage lies before it
		case err != nil:
			w.l.opts.Logger.Warn("damage in the log is dropped; nothing current lay there", "error", err)
		}
		if keep {
			w.Keep = w.Keep[1:]
		} else {
			if !goOn {
				s.runs = append(s.runs, nil)
			}
			last := &s.runs[len(s.runs)-1]
			*last = append(*last, raw.Revision)
		}
		goOn = !keep
		if !above {
			w.unseen.sub(rec.Chain)
		}
		switch {
		case above && keep:
			s.rest.add(rec.Chain)
		case !above && !keep:
			s.rest.sub(rec.Chain)
		}
		// A damaged record has no chain value for the floor to stand on. It goes all the same: above the
		// floor it makes no difference whether it cannot be read or is not there.
		if above && rec.Revision != 0 {
			s.floor = position{rec.Revision, rec.Chain}
		}
	}
	w.next = w.Floor + 1
	if len(w.Keep) > 0 && w.Keep[0] <= w.Floor {
		return corrupt(w.Keep[0], "the record is missing")
	}
	if w.Floor >= w.floor.revision {
		w.settle(s)
	}
	return nil
}

// settle has s drop what lies at or below the floor and can't be read, or is missing, once all there was passed.
// What of it was to stay would have ended the compaction.
func (w *compactor) settle(s *step) {
	if w.settled {
		return
	}
	w.settled = true
	if w.unseen.kept == 0 && w.unseen.sum == (Chain{}) {
		return
	}
	w.l.opts.Logger.Warn("damage in the log is dropped; nothing current lay there", "records", w.unseen.kept, "found", len(w.bad))
	s.rest.kept -= w.unseen.kept
	s.rest.sum = s.rest.sum.xor(w.unseen.sum)
	for _, r := range w.bad {
		s.runs = append(s.runs, []Revision{r})
	}
}

// check reads a record that came with err.
func (w *compactor) check(raw Raw, err error) (Record, error) {
	switch {
	case err != nil:
		w.seq.Skip(raw.Revision + 1)
		return Record{}, err
	case raw.Revision <= w.floor.revision:
		return decodeRecord(raw.Revision, raw.Value)
	}
	return w.seq.Next(raw)
}

// drop makes s true, all of it or nothing.
func (l *Log) drop(s *step) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.changeable(); err != nil {
		return err
	}
	floor, rest := *l.floor.Load(), *l.compacted.Load()
	if s.floor == floor && len(s.runs) == 0 && s.rest == (compacted{}) {
		return nil
	}
	rest.kept += s.rest.kept
	rest.sum = rest.sum.xor(s.rest.sum)
	b := l.db.NewBatch()
	if err := fillDrop(b, s, rest); err != nil {
		b.Close()
		return err
	}
	// Readers that miss a record look at the floor: it moves before they can miss one.
	l.setFloor(s.floor, rest)
	// Not synced: a crash that takes this back takes back whole steps, the newest first.
	return l.apply(b, pebble.NoSync)
}

// setFloor says what is left at or below the floor.
func (l *Log) setFloor(floor position, rest compacted) {
	l.counting.Lock()
	defer l.counting.Unlock()
	l.floor.Store(&floor)
	l.compacted.Store(&rest)
}

func fillDrop(b *pebble.Batch, s *step, rest compacted) error {
	err := b.Set([]byte(keyFloor), encodePosition(keyFloor, s.floor), nil)
	err = errors.Join(err, b.Set([]byte(keyCompacted), encodeCompacted(rest), nil))
	for _, run := range s.runs {
		if len(run) >= rangeDrops {
			err = errors.Join(err, b.DeleteRange(appendKey(nil, run[0]), appendKey(nil, run[len(run)-1]+1), nil))
			continue
		}
		for _, r := range run {
			err = errors.Join(err, b.Delete(appendKey(nil, r), nil))
		}
	}
	return err
}

// reclaim syncs what was dropped and has the store rewrite the files that it lay in.
func (w *compactor) reclaim(ctx context.Context) error {
	if err := w.l.sync(); err != nil || w.dropped == 0 {
		return err
	}
	return w.l.monitor.guard(func() error {
		return readError(0, w.l.db.Compact(ctx, appendKey(nil, w.first), appendKey(nil, w.last+1), false))
	})
}

// sync makes durable what was written without.
func (l *Log) sync() error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	h := l.Head()
	return l.commit(l.db.NewBatch(), position{h.Revision, h.Chain})
}
