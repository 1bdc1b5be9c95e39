package registry

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"time"

	"github.com/introducer/introducer/wal"
)

// forget drops the tombstones that are older than the retention: first the log notes up to which revision
// they are gone, synced, and then they leave memory and index. From that note on they are not part of the
// state, wherever they may still be: a restart leaves them out, and a token from before it is not resumed.
func (r *Registry) forget(ctx context.Context, now time.Duration) error {
	if r.kept.Load() == r.peers.Load() {
		return nil
	}
	gone, err := r.olderThan(r.pages(r.headRevision(), func(p *Peer) bool { return p.live() }), now-r.opts.RetainTombstones)
	if err != nil || len(gone) == 0 {
		return err
	}
	// No tombstone between these is left standing: their order is that of their ages.
	if err := r.log.Forget(gone[len(gone)-1].Revision); err != nil {
		return err
	}
	for part := range slices.Chunk(gone, pageSize) {
		// The context of the caller is not waited with: what is noted has to be done.
		b := &batch{forgotten: part, done: make(chan struct{})}
		if err := r.submit(context.WithoutCancel(ctx), b); err != nil {
			return err
		}
	}
	return nil
}

// olderThan are those of tombstones, which ascend, whose records were written at or before the reading
// at of the introducer's clock.
func (r *Registry) olderThan(tombstones []*Peer, at time.Duration) ([]*Peer, error) {
	var failed error
	n := sort.Search(len(tombstones), func(i int) bool {
		clock, err := r.clockAt(tombstones[i].Revision)
		failed = cmp.Or(failed, err)
		return err != nil || clock > at
	})
	return tombstones[:n], failed
}

// drop takes tombstones out of memory and index. Those that a newer announcement has replaced meanwhile
// are out already. Only for the sequencer.
func (r *Registry) drop(tombstones []*Peer) {
	if len(tombstones) == 0 {
		return
	}
	var dropped []*Peer
	r.mu.Lock()
	for _, p := range tombstones {
		s := r.service(p.Service)
		if s == nil || s.tombstones[p.ID] != p {
			continue
		}
		delete(s.tombstones, p.ID)
		p.superseded = true
		s.changes.drop()
		r.changes.drop()
		if len(s.tombstones) == 0 && s.snapshot.Load().peers.Len() == 0 {
			r.services.Delete(s.name)
		}
		dropped = append(dropped, p)
	}
	r.mu.Unlock()
	r.kept.Add(-int64(len(dropped)))
	if r.indexer != nil {
		r.indexer.drop(dropped)
	}
}

// pageSize is how many peers are handled at a time where publishers and readers have to wait for it.
const pageSize = 1024

// pages are the states of all services up to a revision, oldest first, without those that skip says. It
// takes them a page at a time, so that what changes meanwhile may be among them or not.
func (r *Registry) pages(to wal.Revision, skip func(*Peer) bool) []*Peer {
	var all []*Peer
	past := func(p *Peer) bool { return p.Revision > to || skip(p) }
	for at, complete := wal.Revision(0), false; !complete; at = all[len(all)-1].Revision {
		before := len(all)
		r.mu.RLock()
		all, complete = r.changes.after(at, pageSize, past, all)
		r.mu.RUnlock()
		if len(all) == before {
			break
		}
	}
	return all
}
