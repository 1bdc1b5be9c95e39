package registry

import (
	"log/slog"
	"sync"
	"time"

	"github.com/introducer/introducer/store"
)

// indexer carries what was synced to the index, behind the publishers' backs. It may lag: a
// restart replays the log from wherever the index stands. What waits is kept once per (service,
// peer id), so that a slow disk cannot make it grow beyond the peers kept.
type indexer struct {
	index  *store.Index
	logger *slog.Logger

	mu      sync.Mutex
	pending map[store.Key]store.Entry // :: what the index lacks
	at      store.Position            // where it stands with them
	failed  bool

	ready  chan struct{}
	stop   chan struct{}
	joined sync.WaitGroup
}

// startIndexer begins with what the index lacks already, nil for nothing, which leads it to at.
func startIndexer(index *store.Index, logger *slog.Logger, lacking map[store.Key]store.Entry, at store.Position) *indexer {
	x := &indexer{
		index: index, logger: logger,
		pending: lacking,
		at:      at,
		ready:   make(chan struct{}, 1),
		stop:    make(chan struct{}),
	}
	if x.pending == nil {
		x.pending = make(map[store.Key]store.Entry)
	}
	x.ready <- struct{}{}
	x.joined.Go(x.run)
	return x
}

// add takes over one group's changes, in revision order; seeds as they were announced.
func (x *indexer) add(at store.Position, changes []*Peer, seeds [][]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.failed {
		return
	}
	for i, p := range changes {
		x.pending[store.Key{Service: string(p.Service), PeerID: p.ID}] = indexEntry(p, seeds[i])
	}
	x.at = at
	select {
	case x.ready <- struct{}{}:
	default:
	}
}

func (x *indexer) run() {
	for {
		select {
		case <-x.stop:
			x.apply()
			return
		case <-x.ready:
			x.apply()
		}
	}
}

// apply writes all that waits in one transaction. While it runs the next gathers.
func (x *indexer) apply() {
	x.mu.Lock()
	pending, at := x.pending, x.at
	if len(pending) == 0 || x.failed {
		x.mu.Unlock()
		return
	}
	x.pending = make(map[store.Key]store.Entry)
	x.mu.Unlock()

	entries := make([]store.Entry, 0, len(pending))
	for _, e := range pending {
		entries = append(entries, e)
	}
	if err := x.index.Apply(at, entries, nil); err != nil {
		// The index holds no truth: the introducer goes on without, and the next start replays
		// the log from where the index stands, or builds another.
		x.logger.Error("writing the index; the next start brings it up to date", "err", err)
		x.mu.Lock()
		x.failed = true
		clear(x.pending)
		x.mu.Unlock()
	}
}

// close writes what waits and joins the goroutine.
func (x *indexer) close() {
	close(x.stop)
	x.joined.Wait()
}

func indexEntry(p *Peer, seed []byte) store.Entry {
	return store.Entry{
		Service: string(p.Service), PeerID: p.ID, State: p.State,
		Revision: p.Revision, Seqnum: p.Seqnum,
		Announced: time.Unix(0, p.announced), FirstSeen: time.Unix(0, p.firstSeen),
		Deadline: p.deadline, Digest: p.Digest, Seed: seed,
	}
}
