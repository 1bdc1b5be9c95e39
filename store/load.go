package store

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Load calls yield for every entry, by service and then by peer id, both bytewise. Each entry is
// checked by itself before it is handed over; whether all are there is known only at the end, so a
// caller believes nothing of it before Load has returned nil. Entry.Seed is the caller's to keep,
// unchanged beyond its length; some hundreds of seeds share one piece of memory.
//
// An error from yield ends the load and is returned as it is; the index stays usable. Any other
// error is ErrDamaged and ends its use. yield must not call x, except Position and Len.
func (x *Index) Load(yield func(Entry) error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead != nil {
		return x.dead
	}
	l := loader{yield: yield, at: *x.applied.Load()}
	err := caught(&l.theirs, func() error { return x.db.View(l.load) })
	if l.refused != nil {
		return l.refused
	}
	if err != nil {
		return x.die(fmt.Errorf("loading index %s: %w", x.path, damage(err)))
	}
	forget(x.db)
	return nil
}

// loader is the state of one Load.
type loader struct {
	yield   func(Entry) error
	theirs  bool  // yield is running
	refused error // what yield returned
	at      standing
	entries uint64
	tally   uint64
	seeds   keeper
}

func (l *loader) load(tx *bbolt.Tx) error {
	services := tx.Bucket([]byte(bucketServices))
	if services == nil {
		return errors.New("no bucket services")
	}
	var previous []byte
	c := services.Cursor()
	for name, value := c.First(); name != nil; name, value = c.Next() {
		if value != nil || len(name) > MaxService {
			return fmt.Errorf("%q is not a service", name)
		}
		if bytes.Compare(previous, name) >= 0 {
			return fmt.Errorf("service %q after %q", name, previous)
		}
		previous = name
		if err := l.loadService(services.Bucket(name), string(name)); err != nil {
			return fmt.Errorf("service %s: %w", name, err)
		}
	}
	if l.entries != l.at.entries || l.tally != l.at.tally {
		return fmt.Errorf("%d entries that add up to %x, want %d that add up to %x",
			l.entries, l.tally, l.at.entries, l.at.tally)
	}
	return nil
}

func (l *loader) loadService(b *bbolt.Bucket, name string) error {
	var e Entry
	var previous []byte
	prefix := serviceSum(name)
	c := b.Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		if bytes.Compare(previous, key) >= 0 {
			return fmt.Errorf("peer %x after %x", key, previous)
		}
		previous = key
		sum, err := parseEntry(&e, name, prefix, key, value)
		if err != nil {
			return fmt.Errorf("peer %x: %w", key, err)
		}
		if e.Revision > l.at.Revision {
			return fmt.Errorf("peer %x: revision %d is beyond the position %d", key, e.Revision, l.at.Revision)
		}
		l.entries++
		l.tally += uint64(sum)
		e.Seed = l.seeds.keep(e.Seed)

		l.theirs = true
		l.refused = l.yield(e)
		l.theirs = false
		if l.refused != nil {
			return l.refused
		}
	}
	return nil
}

// keeper copies short slices into large pieces of memory, so that a million of them don't cost a
// million allocations.
type keeper struct{ piece []byte }

const pieceSize = 32 << 10

// keep returns a copy of b that appending cannot extend into its neighbour; nil for nil.
func (k *keeper) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	if k.piece == nil || cap(k.piece)-len(k.piece) < len(b) {
		k.piece = make([]byte, 0, pieceSize)
	}
	from := len(k.piece)
	k.piece = append(k.piece, b...)
	return k.piece[from:len(k.piece):len(k.piece)]
}
