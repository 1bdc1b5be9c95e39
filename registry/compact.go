package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/introducer/introducer/wal"
)

// care is how the log is kept small.
type care struct {
	compacting sync.Mutex // held through a compaction

	mu    sync.Mutex
	state Compaction
}

func (c *care) now() Compaction {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *care) set(s Compaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

// Compaction says how the newest compaction goes, or went.
type Compaction struct {
	Running bool
	At, To  wal.Revision // while it runs: how far it has come, and where it ends
	Dropped uint64       // records, so far

	// Of the last that has ended, zero if none did since the start.
	Ended time.Time
	Took  time.Duration
	Err   error // why it went no further; nil: it went to its end
}

// Storage says what the log holds.
type Storage struct {
	History    wal.Revision // from here on the log is complete
	Resume     wal.Revision // up to here tombstones are forgotten; 0: none
	Records    uint64       // held
	Superseded uint64       // of them: no longer current
	Bytes      uint64       // of the log on disk, about; 0: not known
	Compaction Compaction
}

// Storage takes a moment: it asks the store.
func (r *Registry) Storage() Storage {
	s := Storage{
		History: r.log.First(),
		Resume:  r.log.Forgotten(),
		Records: r.log.Held(0),
		Bytes:   r.log.Stats().DiskBytes,
	}
	s.Superseded = s.Records - min(s.Records, uint64(r.kept.Load()))
	s.Compaction = r.care.now()
	return s
}

// Compact drops from the log what it need not retain, now and without regard to whether it is worth it:
// superseded records older than Options.RetainHistory, and tombstones older than
// Options.RetainTombstones. What remains replays to the same state. Publishing and reading go on.
//
// ErrDamaged names a record that is current and cannot be read: it ends a compaction there until its node
// has announced anew. Other errors: ErrQuarantined, ErrFailed, ErrClosed, ctx's. What was done until then
// stays done.
func (r *Registry) Compact(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.closing, func() { cancel(ErrClosed) })()
	return r.compact(ctx, func(uint64) bool { return true }, nil)
}

// tend compacts in the background whenever it is worth it.
func (r *Registry) tend() {
	if r.opts.CompactEvery < 0 {
		return
	}
	ticker := time.NewTicker(r.opts.CompactEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.closing.Done():
			return
		case <-ticker.C:
		}
		err := r.compact(r.closing, r.worth, pace())
		if err != nil && r.closing.Err() == nil {
			r.opts.Logger.Error("compacting the log", "err", err)
		}
	}
}

// What makes a compaction worth it: it gives back a quarter of the log, or much.
const (
	worthShare   = 4
	worthBytes   = 64 << 20
	worthRecords = 1000 // fewer are not worth it in any log
)

// worth says whether to go to work for garbage records.
func (r *Registry) worth(garbage uint64) bool {
	held := r.log.Held(0)
	bytes := r.log.Stats().DiskBytes * garbage / max(held, 1)
	return garbage >= worthRecords && (garbage >= held/worthShare || bytes >= worthBytes)
}

// pace has a compaction rest after each step as long as the step took: half of a disk and of a processor
// are left to others.
func pace() func(context.Context) {
	began := time.Now()
	return func(ctx context.Context) {
		rest := time.NewTimer(time.Since(began))
		defer rest.Stop()
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
		began = time.Now()
	}
}

// compact is Compact if worth says so. rest, if not nil, is called after each step.
func (r *Registry) compact(ctx context.Context, worth func(garbage uint64) bool, rest func(context.Context)) error {
	if err := r.writable(); err != nil {
		return err
	}
	r.care.compacting.Lock()
	defer r.care.compacting.Unlock()
	began := r.opts.Now()
	now := r.clock.read(began)
	if err := r.forget(ctx, now); err != nil {
		return fmt.Errorf("forgetting who left: %w", logError(err))
	}
	floor, err := r.historyFloor(now)
	if err != nil {
		return fmt.Errorf("compacting: %w", logError(err))
	}
	// What is at or below the floor and current stays. Superseded while this is gathered it may be among
	// them: then the next compaction drops it.
	var keep []wal.Revision
	for _, p := range r.pages(floor, func(*Peer) bool { return false }) {
		keep = append(keep, p.Revision)
	}
	held := r.log.Held(floor)
	garbage := held - min(held, uint64(len(keep)))
	if garbage == 0 || !worth(garbage) {
		return nil
	}
	state := r.care.now()
	state.Running, state.At, state.To, state.Dropped = true, 0, floor, 0
	r.care.set(state)
	state.Dropped, err = r.log.Compact(ctx, wal.Compaction{Floor: floor, Keep: keep, Step: func(at wal.Revision, dropped uint64) {
		state.At, state.Dropped = at, dropped
		r.care.set(state)
		if rest != nil {
			rest(ctx)
		}
	}})
	state.Running, state.Err = false, logError(err)
	state.Ended = r.opts.Now().UTC()
	state.Took = state.Ended.Sub(began)
	r.care.set(state)
	if err == nil {
		r.opts.Logger.Info("compacted the log", "dropped", state.Dropped, "history", r.log.First(), "took", state.Took)
	}
	return state.Err
}

// historyFloor is up to where records may be dropped when the introducer's clock reads now: so old, or
// behind so much that is newer, that no history needs them. It is never below the log's. It may be above the
// index: a start that finds it so builds another.
func (r *Registry) historyFloor(now time.Duration) (wal.Revision, error) {
	floor, head := r.log.First()-1, r.headRevision()
	if head <= floor {
		return floor, nil
	}
	// search is how many of the records behind the floor, the head not among them, come before the first
	// for which f holds. It holds for all behind that, too.
	search := func(f func(wal.Revision) (bool, error)) (wal.Revision, error) {
		var failed error
		n := sort.Search(int(head-floor-1), func(i int) bool {
			ok, err := f(floor + 1 + wal.Revision(i))
			failed = cmp.Or(failed, err)
			return ok || err != nil
		})
		return wal.Revision(n), failed
	}
	aged, err := search(func(rev wal.Revision) (bool, error) {
		clock, err := r.clockAt(rev)
		return clock > now-r.opts.RetainHistory, err
	})
	if err == nil && r.opts.RetainHistoryBytes > 0 {
		var over wal.Revision
		over, err = search(func(rev wal.Revision) (bool, error) {
			size, err := r.log.Size(rev, head)
			return size <= uint64(r.opts.RetainHistoryBytes), err
		})
		aged = max(aged, over)
	}
	if err != nil {
		return 0, err
	}
	return floor + aged, nil
}

// clockAt is the introducer's clock when the record at rev was written, or the next one that can be read.
func (r *Registry) clockAt(rev wal.Revision) (time.Duration, error) {
	for {
		rec, err := r.log.Get(rev)
		if err == nil {
			return rec.Clock, nil
		}
		if rev >= r.headRevision() || !errors.As(err, new(*wal.CorruptError)) && !errors.Is(err, wal.ErrNotFound) {
			return 0, err
		}
		rev++
	}
}

// logError turns an error of the log into one of ours.
func logError(err error) error {
	switch {
	case errors.Is(err, wal.ErrClosed):
		return ErrClosed
	case errors.Is(err, wal.ErrQuarantined):
		return ErrQuarantined
	case errors.Is(err, wal.ErrFailed):
		return fmt.Errorf("%w: %w", ErrFailed, err)
	case errors.As(err, new(*wal.CorruptError)):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
