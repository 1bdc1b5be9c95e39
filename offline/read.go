package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/introducer/introducer/backup"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/wal"
)

// Backup writes a backup of the data directory at path to w; see backup.Write. Nothing in the directory is
// changed. lost is not nil where the log lost records: the backup then is of what is left.
func Backup(ctx context.Context, w io.Writer, path string, opts Options) (_ backup.Summary, lost *wal.Lost, err error) {
	dir, err := look(path, opts)
	if err != nil {
		return backup.Summary{}, nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	log, err := wal.Open(dir.Log, wal.Options{WitnessPath: dir.Witness, ReadOnly: true})
	if err != nil {
		return backup.Summary{}, nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	s, err := log.Snapshot()
	if err != nil {
		return backup.Summary{}, nil, err
	}
	defer s.Close()
	sum, err := backup.Write(ctx, w, s, time.Now())
	return sum, log.Lost(), err
}

// Read reads all records of the data directory at path that can be read and calls each for them, in
// order; see registry.Step. Of what cannot be read it calls bad, and goes on. It returns the head.
func Read(ctx context.Context, path string, opts Options, each func(registry.Step), bad func(error)) (_ wal.Revision, err error) {
	dir, err := look(path, opts)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	log, err := wal.Inspect(dir.Log, wal.Options{WitnessPath: dir.Witness})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	for _, err := range log.Problems {
		bad(err)
	}
	progress := NewReporter(opts.Progress)
	h := registry.NewHistory(log.Compacted, each)
	seq := wal.NewSequence(log.Floor)
	for raw, err := range log.Raw() {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		var rec wal.Record
		if err == nil {
			rec, err = seq.Next(raw)
		} else {
			seq.Skip(raw.Revision + 1)
		}
		if err != nil {
			bad(err)
		}
		if rec.Revision == 0 {
			continue
		}
		h.Add(rec)
		progress.At("reading the log", rec.Revision, log.Head.Revision)
	}
	h.End()
	return log.Head.Revision, nil
}

// look holds a directory that is one.
func look(path string, opts Options) (*datadir.Inspection, error) {
	dir, err := datadir.Inspect(path, datadir.Options{Witness: opts.Witness})
	if err != nil {
		return nil, err
	}
	if dir.Problem != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", path, dir.Problem), dir.Close())
	}
	return dir, nil
}
