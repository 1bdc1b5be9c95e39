package registry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/introducer/introducer/announce"
)

// Publish makes announcements durable and visible. It verifies them on the caller's
// goroutine (and, for many, on idle cores), then waits until those that were accepted are
// synced to the log and applied to the view; results keep the order of items. Each item is
// judged by itself: a refused one fails none of its neighbours.
//
// An error means that none of the items was written, except ErrFailed and ctx's own: after
// those the outcome is unknown, and publishing the same bytes again gives the same answer. The
// registry does not keep items' slices after it returned without an error.
func (r *Registry) Publish(ctx context.Context, items []announce.Signed) ([]Result, error) {
	if err := r.writable(); err != nil {
		return nil, err
	}
	var size int64
	for _, s := range items {
		size += int64(len(s.Message)) + publishedHead
	}
	if len(items) > maxGroupItems || size > r.opts.MaxPendingBytes {
		return nil, fmt.Errorf("%w: %d announcements of %d bytes, of %d and %d", ErrTooLarge, len(items), size, maxGroupItems, r.opts.MaxPendingBytes)
	}
	if !r.pending.TryAcquire(size) {
		return nil, ErrOverloaded
	}

	b := &batch{results: make([]Result, len(items)), done: make(chan struct{}), size: size}
	opened := make([]candidate, len(items))
	parallel(len(items), func(i int) {
		opened[i], b.results[i] = r.open(items[i])
	})
	for i := range opened {
		if b.results[i].Outcome == 0 {
			opened[i].index = i
			b.candidates = append(b.candidates, opened[i])
		}
	}
	if len(b.candidates) == 0 {
		r.pending.Release(size)
		return b.results, nil
	}
	if err := r.submit(ctx, b); err != nil {
		return nil, err // results may still be written to
	}
	return b.results, nil
}

// candidate is a well-formed, rightly signed announcement that waits to be judged.
type candidate struct {
	index  int // in its batch's results
	said   *announce.Announcement
	id     announce.PeerID
	digest [32]byte
	signed announce.Signed
}

// open checks all of an announcement that does not depend on what is known. The result's
// outcome is 0 when it may be judged.
func (r *Registry) open(s announce.Signed) (candidate, Result) {
	a, id, err := r.verifier.Open(s)
	switch {
	case errors.Is(err, announce.ErrBadSignature):
		return candidate{}, Result{Outcome: BadSignature, Reason: err.Error()}
	case err != nil:
		return candidate{}, Result{Outcome: Invalid, Reason: err.Error()}
	}
	if reason := r.forbidden(a.Service, id); reason != "" {
		return candidate{}, Result{Outcome: Forbidden, Reason: reason}
	}
	return candidate{said: a, id: id, digest: s.Digest(), signed: s}, Result{}
}

// forbidden is why the operator's rules refuse a peer, "" if they don't.
func (r *Registry) forbidden(s announce.Service, id announce.PeerID) string {
	if r.opts.Allow == nil {
		return ""
	}
	return r.opts.Allow(s, id)
}

// Evict removes the live announcements of a peer for the services given, or for all when
// none is. It returns how many there were. It does not keep the peer from announcing again:
// that is what Options.Allow is for.
func (r *Registry) Evict(ctx context.Context, id announce.PeerID, services ...announce.Service) (int, error) {
	if err := r.writable(); err != nil {
		return 0, err
	}
	evicted := 0
	for {
		b := &batch{eviction: &eviction{id: id, services: services}, done: make(chan struct{})}
		if err := r.submit(ctx, b); err != nil {
			return evicted, err
		}
		evicted += b.evicted
		if b.evicted < maxGroupItems {
			return evicted, nil
		}
	}
}

// eviction asks for the end of a peer's live announcements, as many as fit one group.
type eviction struct {
	id       announce.PeerID
	services []announce.Service // none: all, as they are when the eviction's turn comes
}

// writable says why nothing can be written now, if so.
func (r *Registry) writable() error {
	switch {
	case r.closing.Err() != nil:
		return ErrClosed
	case r.lost != nil:
		return ErrQuarantined
	case r.failed.Load():
		return ErrFailed
	}
	return nil
}

// submit hands a batch to the sequencer and waits for it.
func (r *Registry) submit(ctx context.Context, b *batch) error {
	if !r.queue.put(b) {
		r.pending.Release(b.size)
		if err := r.writable(); err != nil {
			return err
		}
		return ErrClosed
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// batch is one caller's work on its way through the sequencer, which owns it from put until
// done is closed.
type batch struct {
	candidates []candidate
	eviction   *eviction // nil: none
	forgotten  []*Peer   // tombstones to drop from memory and index
	size       int64     // taken from Registry.pending

	results []Result
	evicted int
	err     error
	done    chan struct{}
}

// queue is where batches gather while the group before them syncs. Its length is bounded by
// Registry.pending and by the callers, each of whom waits.
type queue struct {
	mu      sync.Mutex
	batches []*batch
	closed  bool
	ready   chan struct{} // holds one token while batches wait
}

func (q *queue) put(b *batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.batches = append(q.batches, b)
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// A group is bounded so that one sync stays short and memory small; a single batch may
// exceed the bound by itself.
const (
	maxGroupItems = 4096
	maxGroupBytes = 8 << 20
)

// take removes what is to be written together.
func (q *queue) take() []*batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	var n, items int
	var size int64
	for ; n < len(q.batches); n++ {
		b := q.batches[n]
		items += len(b.candidates)
		if b.eviction != nil {
			items += maxGroupItems
		}
		size += b.size
		if n > 0 && (items > maxGroupItems || size > maxGroupBytes) {
			break
		}
	}
	group := q.batches[:n:n]
	q.batches = q.batches[n:]
	if len(q.batches) > 0 {
		q.signal()
	} else {
		q.batches = nil
	}
	return group
}

// shut refuses further batches and returns those that nobody took.
func (q *queue) shut() []*batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	rest := q.batches
	q.batches = nil
	return rest
}

// parallel calls f for 0 … n-1 on as many goroutines as are worth their start: verifying a
// signature takes some 60 µs, starting a goroutine below 1 µs.
func parallel(n int, f func(int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
