package wal

import (
	"fmt"
	"sync/atomic"
)

// Stats are counts since Open, and sizes now.
type Stats struct {
	Appends uint64 // calls of Append that wrote
	Syncs   uint64 // syncs of the log that Append and Renew waited for
	Records uint64 // records appended
	Bytes   uint64 // … and their size with all overhead of ours
	Marks   uint64 // marks synced by the witness

	// BackgroundErrors counts writes that Pebble failed at in the background and tries again. While
	// it grows the disk is full or failing.
	BackgroundErrors uint64

	// DiskBytes is about what the log takes up on the disk; 0: not known, after a failure.
	DiskBytes uint64
}

type counters struct {
	appends, syncs, records, bytes atomic.Uint64
}

func (c *counters) appended(records int, bytes uint64) {
	c.appends.Add(1)
	c.records.Add(uint64(records))
	c.bytes.Add(bytes)
}

// Stats returns the counts. After Close all but DiskBytes are still right.
func (l *Log) Stats() Stats {
	s := Stats{
		Appends: l.counters.appends.Load(),
		Syncs:   l.counters.syncs.Load(),
		Records: l.counters.records.Load(),
		Bytes:   l.counters.bytes.Load(),
	}
	if l.witness != nil {
		s.Marks = l.witness.written.Load()
	}
	s.BackgroundErrors = l.monitor.backgroundErrors()
	// A Pebble that failed may hold the lock that Metrics takes, for ever.
	if l.monitor.failed() == nil && l.readers.enter() {
		defer l.readers.leave()
		s.DiskBytes = l.db.Metrics().DiskSpaceUsage()
	}
	return s
}

// Held is the number of records that there are up to revision to, which is not below the floor; 0: up to
// the head.
func (l *Log) Held(to Revision) uint64 {
	if to == 0 {
		to = l.Head().Revision
	}
	l.counting.Lock()
	defer l.counting.Unlock()
	floor := l.floor.Load().revision
	return l.compacted.Load().kept + uint64(max(to, floor)-floor)
}

// Size is about how many bytes the records from … to take up on the disk, compressed. Those of the last
// few MiB that were appended may not be counted yet; see Options.MemTableBytes.
func (l *Log) Size(from, to Revision) (bytes uint64, err error) {
	err = l.inside(func() error {
		if err := l.monitor.failed(); err != nil {
			return err
		}
		bytes, err = l.db.EstimateDiskUsage(appendKey(nil, from), appendKey(nil, to+1))
		return readError(from, err)
	})
	if err != nil {
		return 0, fmt.Errorf("measuring the records from %d to %d: %w", from, to, err)
	}
	return bytes, nil
}

// Health is nil, or the gravest of what is known to be wrong: ErrFailed, ErrQuarantined, a
// *CorruptError that Pebble came upon by itself, or a background error that has not passed. It reads nothing.
func (l *Log) Health() error {
	if err := l.monitor.failed(); err != nil {
		return err
	}
	if l.Lost() != nil {
		return ErrQuarantined
	}
	return l.monitor.health()
}
