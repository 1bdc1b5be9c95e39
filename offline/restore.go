package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/introducer/introducer/backup"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// Restored says what was made of a backup.
type Restored struct {
	backup.Summary
	LogID wal.LogID // of the new log
	Peers int       // live; a node counts once for each service
}

// Restore makes the data directory at path, which must be empty or not be there, of a backup. All of it is
// checked, signatures too, and the directory is there only when all of it was good.
//
// Revisions, times and the introducer's clock stay what they were. The log has a new id: a subscriber's
// token may be from after the backup, of revisions that will mean something else from now on.
//
// Errors are those of backup.Reader and datadir.Build; registry.ErrDamaged: the backup is whole, but holds
// what no introducer would have written.
func Restore(ctx context.Context, from io.Reader, path string, opts Options) (Restored, error) {
	r, err := backup.NewReader(from)
	if err != nil {
		return Restored{}, err
	}
	out := Restored{}
	err = datadir.Build(path, datadir.Options{Witness: opts.Witness}, func(log *wal.Log) (iter.Seq[store.Entry], error) {
		h, err := fill(ctx, log, r, NewReporter(opts.Progress))
		if err != nil {
			return nil, err
		}
		out.LogID, out.Peers = log.ID(), h.Live()
		return h.Entries(), nil
	})
	if err != nil {
		return Restored{}, err
	}
	out.Summary, _ = r.Summary()
	return out, nil
}

// Check reads a backup as Restore does, and makes nothing of it. LogID is the backup's.
func Check(ctx context.Context, from io.Reader, opts Options) (Restored, error) {
	r, err := backup.NewReader(from)
	if err != nil {
		return Restored{}, err
	}
	h := newChecker(r.Header().Compacted)
	for _, err := range h.records(ctx, r, NewReporter(opts.Progress)) {
		if err != nil {
			return Restored{}, err
		}
	}
	s, _ := r.Summary()
	return Restored{Summary: s, LogID: s.LogID, Peers: h.Live()}, nil
}

// fill imports a backup into an empty log.
func fill(ctx context.Context, log *wal.Log, r *backup.Reader, progress *Reporter) (*registry.History, error) {
	h := newChecker(r.Header().Compacted)
	if err := log.Import(r.Header().Compacted, r.Header().Head, h.records(ctx, r, progress)); err != nil {
		return nil, err
	}
	// The witness keeps it; otherwise times to live would begin again from the last record.
	log.Beat(r.Header().Clock)
	return h.History, nil
}

// checker reads the records of a backup.
type checker struct {
	*registry.History
	err error // of the first record that is wrong
}

func newChecker(c wal.Compacted) *checker {
	h := new(checker)
	h.History = registry.NewHistory(c, func(s registry.Step) {
		if s.Err != nil && h.err == nil {
			h.err = fmt.Errorf("%w: revision %d: %w", registry.ErrDamaged, s.Revision, s.Err)
		}
	})
	return h
}

// records are those of r. What is wrong with one may be said some records later, or at the end.
func (h *checker) records(ctx context.Context, r *backup.Reader, progress *Reporter) iter.Seq2[wal.Raw, error] {
	return func(yield func(wal.Raw, error) bool) {
		for rec, err := range r.Records() {
			if err == nil {
				h.Add(rec.Read)
				err = errors.Join(h.err, context.Cause(ctx))
			}
			if !yield(rec.Raw, err) || err != nil {
				return
			}
			progress.At("reading the backup", rec.Revision, r.Header().Head.Revision)
		}
		if h.End(); h.err != nil {
			yield(wal.Raw{}, h.err)
		}
	}
}
