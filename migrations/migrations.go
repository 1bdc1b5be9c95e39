// Package migrations brings what lies on disk up to the schema that the code of today expects, one
// numbered step after the other: log.go for the log (Pebble), index.go for the index (bbolt).
//
// A step is frozen once it has been released. It therefore imports nothing else of this module and
// spells out every key and value it writes: were it to call today's code, a change there would
// change what an old step does. Each step ends in one transaction, synced, which also writes the
// number of the schema it leads to; a crash between two steps leaves a whole store of a known
// schema, and the next start goes on from there.
//
// Schema numbers begin at 1. 0 stands for a store that has none yet, an empty one; step 1 makes it
// ours. So the first schema is made by the same code as every later one.
package migrations

import (
	"errors"
	"fmt"
)

// ErrNewer says that a store was written by a newer release. It has not been touched.
var ErrNewer = errors.New("written by a newer release")

// ErrDamaged says that the place where a store's schema is written holds something else.
var ErrDamaged = errors.New("the schema number is damaged")

// run takes a store from schema have to schema newest. It calls step once for each number in
// have+1 … newest, in order; step must leave the store at that number or return an error. what
// names the store in errors.
func run(what string, have, newest int, step func(to int) error) error {
	if have > newest {
		return fmt.Errorf("%s of schema %d, this release knows up to %d: %w", what, have, newest, ErrNewer)
	}
	for to := have + 1; to <= newest; to++ {
		if err := step(to); err != nil {
			return fmt.Errorf("migrating the %s to schema %d: %w", what, to, err)
		}
	}
	return nil
}
