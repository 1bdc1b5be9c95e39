package registry

import (
	"log/slog"
	"maps"
	"slices"
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
	drops   map[store.Key]struct{}    // :: what it has no more use for; no key of pending's
	at      store.Position            // where it stands with them
	failed  bool

	ready  chan struct{}
	stop   chan struct{}
	joined sync.WaitGroup
}

// startIndexer begins with what the index lacks already, nil for nothing, which leads it to at, and what
// it has too much.
func startIndexer(index *store.Index, logger *slog.Logger, lacking map[store.Key]store.Entry, excess map[store.Key]struct{}, at store.Position) *indexer {
	x := &indexer{
		index: index, logger: logger,
		pending: lacking,
		drops:   excess,
		at:      at,
		ready:   make(chan struct{}, 1),
		stop:    make(chan struct{}),
	}
	if x.pending == nil {
		x.pending = make(map[store.Key]store.Entry)
	}
	if x.drops == nil {
		x.drops = make(map[store.Key]struct{})
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
		x.pending[keyOf(p)] = indexEntry(p, seeds[i])
		delete(x.drops, keyOf(p))
	}
	x.at = at
	x.signal()
}

// drop takes over tombstones that are forgotten.
func (x *indexer) drop(tombstones []*Peer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.failed {
		return
	}
	for _, p := range tombstones {
		delete(x.pending, keyOf(p))
		x.drops[keyOf(p)] = struct{}{}
	}
	x.signal()
}

func (x *indexer) signal() {
	select {
	case x.ready <- struct{}{}:
	default:
	}
}

func keyOf(p *Peer) store.Key { return store.Key{Service: string(p.Service), PeerID: p.ID} }

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
	pending, drops, at := x.pending, x.drops, x.at
	if len(pending)+len(drops) == 0 || x.failed {
		x.mu.Unlock()
		return
	}
	x.pending = make(map[store.Key]store.Entry)
	x.drops = make(map[store.Key]struct{})
	x.mu.Unlock()

	entries := make([]store.Entry, 0, len(pending))
	for _, e := range pending {
		entries = append(entries, e)
	}
	if err := x.index.Apply(at, entries, slices.Collect(maps.Keys(drops))); err != nil {
		// The index holds no truth: the introducer goes on without, and the next start replays
		// the log from where the index stands, or builds another.
		x.logger.Error("writing the index; the next start brings it up to date", "err", err)
		x.mu.Lock()
		x.failed = true
		clear(x.pending)
		clear(x.drops)
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
