package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/wal"
)

// LogRecord is one record of the log, as readers of the log see it.
type LogRecord struct {
	Revision wal.Revision
	Time     time.Time
	Service  announce.Service
	ID       announce.PeerID
	Seqnum   uint64
	State    State            // what the record made of its peer
	Signed   *announce.Signed // the announcement or withdrawal; nil for Expired and Evicted
}

// Filter selects records of the log; its zero value selects all.
type Filter struct {
	Service announce.Service // "": of every service
	ID      *announce.PeerID // nil: of every peer
}

// ErrNoRevision is returned for a place that the log does not have: compacted, or not written.
var ErrNoRevision = errors.New("the log has no such revision")

// ReadLog yields the records from revision from to the head as it is now, in order, each with
// its checksum, chain and signature checked; the first that fails ends it with ErrDamaged. From 0
// that is all that the log still holds: what is current, and below the history floor nothing else;
// any other from is a place above that floor, so that nothing is missing behind it, or
// ErrNoRevision. One past the head is a good place to start and yields nothing. The caller owns the
// records. Cancelling ctx ends it with ctx's error, also where f leaves everything out.
func (r *Registry) ReadLog(ctx context.Context, from wal.Revision, f Filter) iter.Seq2[LogRecord, error] {
	return func(yield func(LogRecord, error) bool) {
		head := r.headRevision()
		if from > head+1 {
			yield(LogRecord{}, fmt.Errorf("%w: %d is not written yet; the newest is %d", ErrNoRevision, from, head))
			return
		}
		if from > head || head == 0 {
			return
		}
		to := head
		if from == 0 {
			to = 0 // where compaction goes on meanwhile, only up to the log's own head is all there that is current
		}
		for rec, err := range r.log.Records(from, to) {
			if ctx.Err() != nil {
				yield(LogRecord{}, context.Cause(ctx))
				return
			}
			if err != nil {
				switch {
				case errors.Is(err, wal.ErrClosed):
					err = ErrClosed
				case errors.Is(err, wal.ErrNotFound):
					err = fmt.Errorf("%w: %d was compacted away; history begins at %d", ErrNoRevision, from, r.log.First())
				default:
					err = fmt.Errorf("%w: %w", ErrDamaged, err) // the log names the revision
				}
				yield(LogRecord{}, err)
				return
			}
			out, err := r.logRecord(rec, f)
			if err != nil {
				yield(LogRecord{}, damaged(rec.Revision, err))
				return
			}
			if out != nil && !yield(*out, nil) {
				return
			}
		}
	}
}

// logRecord reads a record; nil when f leaves it out.
func (r *Registry) logRecord(rec wal.Record, f Filter) (*LogRecord, error) {
	out := &LogRecord{Revision: rec.Revision, Time: rec.Time}
	switch rec.Kind {
	case kindRemoved:
		d, err := decodeRemoved(rec.Payload)
		if err != nil {
			return nil, err
		}
		out.Service, out.ID, out.Seqnum, out.State = d.service, d.id, d.seqnum, d.state
	case kindPublished:
		d, err := decodePublished(bytes.Clone(rec.Payload))
		if err != nil {
			return nil, err
		}
		if f.ID != nil && !bytes.Equal(f.ID[:], d.signed.PeerID) {
			return nil, nil
		}
		a, id, err := r.verifier.Open(d.signed)
		if err != nil {
			return nil, err
		}
		out.Service, out.ID, out.Seqnum, out.State, out.Signed = a.Service, id, a.Seqnum, Live, &d.signed
		if a.Withdrawn {
			out.State = Withdrawn
		}
	default:
		return nil, fmt.Errorf("record kind %d is unknown to this version", rec.Kind)
	}
	if f.Service != "" && f.Service != out.Service || f.ID != nil && *f.ID != out.ID {
		return nil, nil
	}
	return out, nil
}

// Wait returns when the head has passed revision after, with the head.
func (r *Registry) Wait(ctx context.Context, after wal.Revision) (wal.Revision, error) {
	s := &Subscription{r: r, wake: make(chan struct{}, 1)}
	r.hub.watch(s)
	defer r.hub.remove(s)
	for {
		if head := r.headRevision(); head > after {
			return head, nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-r.closing.Done():
			return 0, ErrClosed
		}
	}
}
