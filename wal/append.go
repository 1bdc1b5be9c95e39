package wal

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// keepBuffer is the largest layout buffer, in bytes, that is kept from one Append to the next.
const keepBuffer = 1 << 20

// Append adds entries to the log, all or none, and returns the new head when they are synced; they
// have the revisions up to it. now and clock are the wall clock and the introducer's running time;
// where they are behind the newest record's, its are taken instead, and a wall clock outside of 1970
// to 2262 is brought to the nearer end. No entries: nothing is done.
//
// ErrBadEntry: nothing was done and the log goes on. ErrQuarantined, ErrReadOnly, ErrClosed: this log
// takes no entries. ErrFailed: the outcome is unknown, now and for every later call; after the next
// Open the entries are there, all or none.
func (l *Log) Append(now time.Time, clock time.Duration, entries []Entry) (Head, error) {
	l.write.Lock()
	defer l.write.Unlock()
	h, err := l.append(now, clock, entries)
	if err != nil {
		return Head{}, fmt.Errorf("appending %d records: %w", len(entries), err)
	}
	return h, nil
}

func (l *Log) append(now time.Time, clock time.Duration, entries []Entry) (Head, error) {
	if err := l.changeable(); err != nil {
		return Head{}, err
	}
	if err := checkEntries(entries); err != nil {
		return Head{}, err
	}
	h := l.Head()
	if len(entries) == 0 {
		return h, nil
	}
	h.Time = laterTime(h.Time, now)
	h.Clock = l.raise(clock)

	b := l.db.NewBatch()
	key := make([]byte, 0, keySize)
	var bytes uint64
	for _, e := range entries {
		h.Revision++
		rec := Record{Revision: h.Revision, Time: h.Time, Clock: h.Clock, Kind: e.Kind, Payload: e.Payload}
		l.buf = encodeRecord(l.buf[:0], h.Chain, &rec)
		h.Chain = rec.Chain
		value := l.buf[len(Chain{})+8:]
		bytes += uint64(len(value))
		if err := b.Set(appendKey(key, rec.Revision), value, nil); err != nil {
			b.Close()
			return Head{}, err
		}
	}
	if cap(l.buf) > keepBuffer {
		l.buf = nil
	}
	if err := l.commit(b, position{h.Revision, h.Chain}); err != nil {
		return Head{}, err
	}

	// Here the records are synced. A crash before this line leaves them unacknowledged, there or not;
	// from this line on readers see them and no crash may take them back.
	l.head.Store(&h)
	l.counters.appended(len(entries), bytes)
	// Not before the sync: a witness ahead of the log would call a good log short.
	ticket := l.mark()
	if l.opts.StrictWitness {
		if err := l.witness.wait(ticket); err != nil {
			return Head{}, fmt.Errorf("%w: %w", ErrFailed, err)
		}
	}
	return h, nil
}

// Renew gives the log a new id, for an operator who accepts what is lost, or restores a backup: what
// clients remember of the old one is of another history. The head stays. Afterwards Lost is nil and
// the witness has marked the head under the new id. Of a log with damage (ReasonDamaged) the damaged
// records are dropped, and history is complete from behind them on. Where blocks of the store itself are
// damaged that does not help: they are found again by the next Open, and a backup is the way on.
//
// After a crash in the midst of it the log may be quarantined still; then Renew again.
func (l *Log) Renew(id LogID) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.renew(id); err != nil {
		return fmt.Errorf("renewing the log: %w", err)
	}
	return nil
}

func (l *Log) renew(id LogID) error {
	if err := l.writable(); err != nil {
		return err
	}
	if id == (LogID{}) || id == l.ID() {
		return errors.New("it needs a new log id")
	}
	b := l.db.NewBatch()
	if err := b.Set([]byte(keyID), encodeID(id), nil); err != nil {
		b.Close()
		return err
	}
	h := l.Head()
	var err error
	if rest := *l.compacted.Load(); rest != (compacted{}) {
		err = b.Set([]byte(keyCompacted), encodeCompacted(rest), nil) // open may have lowered it
	}
	if lost := l.Lost(); err == nil && lost != nil && lost.Reason == ReasonDamaged {
		err = l.dropDamage(b, h)
	}
	if err != nil {
		b.Close()
		return err
	}
	// The head as well: after ReasonTail it is the one in the store that is wrong.
	if err := l.commit(b, position{h.Revision, h.Chain}); err != nil {
		return err
	}
	l.id.Store(&id)
	l.lost.Store(nil)
	if err := l.witness.wait(l.mark()); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return nil
}

// changeable says why nothing can be added to the log or dropped from it; nil: it can.
func (l *Log) changeable() error {
	if err := l.writable(); err != nil {
		return err
	}
	if l.Lost() != nil {
		return ErrQuarantined
	}
	return nil
}

// writable says why the log takes no writes at all; nil: it may take them.
func (l *Log) writable() error {
	switch {
	case !l.readers.open():
		return ErrClosed
	case l.opts.ReadOnly:
		return ErrReadOnly
	}
	return l.monitor.failed()
}

// commit writes b and the new head with one sync.
func (l *Log) commit(b *pebble.Batch, head position) error {
	if err := b.Set([]byte(keyHead), encodePosition(keyHead, head), nil); err != nil {
		b.Close()
		return err
	}
	if err := l.apply(b, pebble.Sync); err != nil {
		return err
	}
	l.counters.syncs.Add(1)
	return nil
}

// apply writes b and closes it. An error is the end of all writing: whether b is on the disk is not
// known, and to sync again could only pretend to find out.
func (l *Log) apply(b *pebble.Batch, how *pebble.WriteOptions) error {
	if err := l.monitor.guard(func() error { return b.Commit(how) }); err != nil {
		l.monitor.fail(err) // b stays: Pebble may still hold it
		return l.monitor.failed()
	}
	return b.Close()
}

func checkEntries(entries []Entry) error {
	if len(entries) > MaxEntries {
		return fmt.Errorf("%w: %d at once, the limit is %d", ErrBadEntry, len(entries), MaxEntries)
	}
	total := 0
	for i, e := range entries {
		if e.Kind == 0 {
			return fmt.Errorf("%w: kind 0 at %d", ErrBadEntry, i)
		}
		if len(e.Payload) > MaxPayload {
			return fmt.Errorf("%w: %d bytes at %d, the limit is %d", ErrBadEntry, len(e.Payload), i, MaxPayload)
		}
		total += len(e.Payload)
	}
	if total > MaxBatch {
		return fmt.Errorf("%w: %d bytes at once, the limit is %d", ErrBadEntry, total, MaxBatch)
	}
	return nil
}

// laterTime is the later of the last record's time and now, in UTC and whole nanoseconds since 1970.
func laterTime(last, now time.Time) time.Time {
	now = now.UTC().Round(0)
	if max := time.Unix(0, math.MaxInt64).UTC(); now.After(max) {
		now = max
	}
	if min := time.Unix(0, 1).UTC(); now.Before(min) {
		now = min
	}
	if now.Before(last) {
		return last
	}
	return now
}
