package offline

import (
	"context"
	"errors"
	"fmt"

	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// ErrLost is returned for a log that lost records: what its index knows of them is evidence, and is kept.
var ErrLost = errors.New("the log lost acknowledged announcements; see to that first: introducer recover")

// Rebuilt says what an index was built of.
type Rebuilt struct {
	Head    wal.Revision
	Entries int // tombstones included
}

// RebuildIndex builds the index of the data directory at path anew from its log, whatever state the old
// one is in. That one is put aside when the new one is whole.
func RebuildIndex(ctx context.Context, path string, opts Options) (_ Rebuilt, err error) {
	dir, err := datadir.Open(path, datadir.Options{Witness: opts.Witness, MustExist: true})
	if err != nil {
		return Rebuilt{}, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if dir.Log.Lost() != nil {
		return Rebuilt{}, ErrLost
	}
	s, err := dir.Log.Snapshot()
	if err != nil {
		return Rebuilt{}, err
	}
	defer s.Close()
	progress := NewReporter(opts.Progress)
	h := registry.NewHistory(s.Compacted, nil)
	for rec, err := range dir.Log.Records(0, s.Head.Revision) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return Rebuilt{}, fmt.Errorf("building the index: %w", err)
		}
		h.Add(rec)
		progress.At("reading the log", rec.Revision, s.Head.Revision)
	}
	h.End()
	if dir.Index != nil {
		dir.DropIndex(errors.New("another is built"))
	}
	at := store.Position{LogID: s.ID, Revision: s.Head.Revision, Chain: s.Head.Chain}
	if err := dir.BuildIndex(at, h.Entries()); err != nil {
		return Rebuilt{}, err
	}
	return Rebuilt{Head: s.Head.Revision, Entries: dir.Index.Len()}, nil
}
