package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// Apply takes the index to p in one synced transaction: the entries in set are put in place of
// what had their keys, those named in drop are removed. A key in both is set; of several entries
// with one key the last counts; dropping what isn't there is nothing. After an error nothing of it
// holds, not even the use of x: it is ErrDamaged from then on.
//
// p is of the same log as the index and not before it, no entry's revision is beyond p, and entries
// are within their limits; all else is the caller's bug, and an error too. Apply keeps nothing of
// set and drop.
func (x *Index) Apply(p Position, set []Entry, drop []Key) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead != nil {
		return x.dead
	}
	next, err := x.apply(p, set, drop)
	if err != nil {
		return x.die(fmt.Errorf("applying %d entries and %d drops to index %s: %w",
			len(set), len(drop), x.path, damage(err)))
	}
	x.applied.Store(&next)
	return nil
}

func (x *Index) apply(p Position, set []Entry, drop []Key) (standing, error) {
	next := *x.applied.Load()
	switch from := next.Position; {
	case p.LogID != from.LogID:
		return next, fmt.Errorf("a position of log %v on an index of log %v", p.LogID, from.LogID)
	case p.Revision < from.Revision:
		return next, fmt.Errorf("revision %d on an index at %d", p.Revision, from.Revision)
	case p.Revision == from.Revision && p.Chain != from.Chain:
		return next, fmt.Errorf("another chain value at revision %d", p.Revision)
	}
	next.Position = p

	x.edits.reset()
	for _, k := range drop {
		x.edits.drop(k)
	}
	for i := range set {
		if err := x.edits.set(&set[i], p); err != nil {
			return next, err
		}
	}
	x.edits.sort()
	err := caught(nil, func() error {
		return x.db.Update(func(tx *bbolt.Tx) error {
			if err := x.edits.write(tx, x.edits.edits, &next, bbolt.DefaultFillPercent); err != nil {
				return err
			}
			return writeStanding(tx, &next)
		})
	})
	return next, err
}

// editor gathers edits. bbolt keeps the values that it is given until the
// transaction has ended, so they lie in memory of the editor's own, used again for the next one.
type editor struct {
	edits  []edit
	values []byte
}

// edit is one change: value is editor.values[from:to], or from == to: the entry is dropped.
type edit struct {
	Key
	from, to int
}

func (w *editor) reset() {
	// A rare large transaction shall not hold its memory for ever.
	const keep = 1 << 20
	if cap(w.values) > keep {
		*w = editor{}
	}
	clear(w.edits) // service names
	w.edits, w.values = w.edits[:0], w.values[:0]
}

func (w *editor) drop(k Key) {
	w.edits = append(w.edits, edit{Key: k})
}

func (w *editor) set(e *Entry, at Position) error {
	if e.Revision > at.Revision {
		return fmt.Errorf("peer %x of %q: revision %d is beyond the position %d",
			e.PeerID, e.Service, e.Revision, at.Revision)
	}
	from := len(w.values)
	var err error
	if w.values, err = appendEntry(w.values, e); err != nil {
		return fmt.Errorf("peer %x of %q: %w", e.PeerID, e.Service, err)
	}
	w.edits = append(w.edits, edit{Key{e.Service, e.PeerID}, from, len(w.values)})
	return nil
}

// sort puts the edits in the order of their keys, those of one key in the order they came.
func (w *editor) sort() {
	slices.SortStableFunc(w.edits, func(a, b edit) int { return a.compare(b.Key) })
}

// compare is the order of entries: by service, then by peer id, both bytewise.
func (k Key) compare(l Key) int {
	return cmp.Or(cmp.Compare(k.Service, l.Service), bytes.Compare(k.PeerID[:], l.PeerID[:]))
}

// write makes some of w's edits, sorted, in tx and corrects the number and tally of entries in at.
// fill is how full bbolt leaves pages that it splits, 0 to 1.
func (w *editor) write(tx *bbolt.Tx, edits []edit, at *standing, fill float64) error {
	services := tx.Bucket([]byte(bucketServices))
	if services == nil {
		return errors.New("no bucket services")
	}
	for rest := edits; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Service == rest[0].Service {
			n++
		}
		if err := w.writeService(services, rest[:n], at, fill); err != nil {
			return fmt.Errorf("service %s: %w", rest[0].Service, err)
		}
		rest = rest[n:]
	}
	return nil
}

// writeService makes the edits of one service, sorted by peer id, equal ones in the order they came.
func (w *editor) writeService(services *bbolt.Bucket, edits []edit, at *standing, fill float64) error {
	name := edits[0].Service
	b := services.Bucket([]byte(name))
	if b == nil {
		if !slices.ContainsFunc(edits, func(e edit) bool { return e.from < e.to }) {
			return nil
		}
		var err error
		if b, err = services.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	b.FillPercent = fill
	prefix := serviceSum(name)
	dropped := false
	for i := range edits {
		e := &edits[i]
		if i+1 < len(edits) && edits[i+1].PeerID == e.PeerID {
			continue // a later edit has the word
		}
		key := e.PeerID[:]
		if old := b.Get(key); old != nil {
			sum, err := checkEntry(prefix, key, old)
			if err != nil {
				return fmt.Errorf("peer %x: %w", key, err)
			}
			at.entries--
			at.tally -= uint64(sum)
		}
		if e.from == e.to {
			dropped = true
			if err := b.Delete(key); err != nil {
				return fmt.Errorf("peer %x: %w", key, err)
			}
			continue
		}
		value := w.values[e.from:e.to:e.to]
		sum, err := checkEntry(prefix, key, value)
		if err != nil {
			return fmt.Errorf("peer %x: %w", key, err)
		}
		at.entries++
		at.tally += uint64(sum)
		if err := b.Put(key, value); err != nil {
			return fmt.Errorf("peer %x: %w", key, err)
		}
	}
	if dropped {
		if first, _ := b.Cursor().First(); first == nil {
			return services.DeleteBucket([]byte(name))
		}
	}
	return nil
}
