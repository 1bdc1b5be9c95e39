package wal

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// dropDamage adds to b all that makes the log whole without what cannot be read back of it: the floor
// comes to stand above the damage, and is set in l too, since b's commit is all that is missing.
//
// Blocks of the store that are damaged themselves stay, and are found again: the store reads what it
// deletes until it has rewritten it, which it then cannot. (To excise them is no way: Pebble takes a block
// that it cannot read for an empty one, and its readable neighbours with it.)
func (l *Log) dropDamage(b *pebble.Batch, head Head) error {
	floor, rest := *l.floor.Load(), compacted{forgotten: l.Forgotten()}
	all := rest // up to the newest good record; rest is up to the floor
	good := Revision(0)
	damaged := false
	// pass puts the floor at p, the first good place behind damage, or lets it stand.
	pass := func(p position) error {
		if damaged && p.revision > floor.revision {
			floor = p
		}
		if p.revision <= floor.revision {
			rest = all
		}
		if !damaged {
			return nil
		}
		return b.DeleteRange(append(appendKey(nil, good), 0), appendKey(nil, p.revision), nil)
	}
	for rec, err := range l.scan(0, head.Revision) {
		if errors.As(err, new(*CorruptError)) {
			damaged = true
			continue
		}
		if err != nil {
			return err
		}
		all.add(rec.Chain)
		if err := pass(position{rec.Revision, rec.Chain}); err != nil {
			return err
		}
		good, damaged = rec.Revision, false
	}
	if damaged {
		if err := pass(position{head.Revision, head.Chain}); err != nil {
			return err
		}
	}
	// What lies above the head was found damaged when it was looked for.
	if err := b.DeleteRange(appendKey(nil, head.Revision+1), []byte("s"), nil); err != nil {
		return err
	}
	if err := b.Set([]byte(keyFloor), encodePosition(keyFloor, floor), nil); err != nil {
		return err
	}
	if err := b.Set([]byte(keyCompacted), encodeCompacted(rest), nil); err != nil {
		return err
	}
	l.setFloor(floor, rest)
	return nil
}
