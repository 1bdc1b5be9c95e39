package registry

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// sequence is the one goroutine that decides the order of everything: it takes all that
// waits, judges it, writes it with one sync, shows it, and answers. While it syncs, the next
// group gathers.
func (r *Registry) sequence() {
	defer func() {
		err := ErrClosed
		if r.failed.Load() {
			err = ErrFailed
		}
		for _, b := range r.queue.shut() {
			r.answer(b, err)
		}
	}()
	var timer expiryTimer
	defer timer.stop()
	// The running time is noted from here, so that the log's clock cannot move between judging
	// a group and writing it: deadlines must be what a replay makes of them.
	beat := time.NewTicker(r.opts.Heartbeat)
	defer beat.Stop()
	for {
		timer.reset(r.expiries.next(), r.clock.read(r.opts.Now()))
		select {
		case <-r.closing.Done():
			return
		case <-r.queue.ready:
			batches := r.queue.take()
			err := r.commit(batches)
			for _, b := range batches {
				r.answer(b, err)
			}
			if err != nil {
				return
			}
		case <-beat.C:
			r.log.Beat(r.clock.read(r.opts.Now()))
		case <-timer.due():
			if err := r.commit(nil); err != nil {
				return
			}
		}
	}
}

func (r *Registry) answer(b *batch, err error) {
	b.err = err
	r.pending.Release(b.size)
	close(b.done)
}

// group is what one sync makes durable.
type group struct {
	now   time.Time
	clock time.Duration
	base  wal.Revision

	records  []wal.Entry
	changes  []*Peer                           // changes[i] is made by records[i]
	replaced []*Peer                           // what it takes the place of; nil for nothing
	seeds    [][]byte                          // for the index
	services []*service                        // that change, once each
	edits    map[*service]*permute.Edit[*Peer] // :: service → its next table
	fresh    map[announce.Service]*service     // that readers don't know yet
	added    int                               // (service, peer id) pairs not known before
}

// commit writes and shows all that batches ask for and all that has expired by now.
//
// The sequencer's own state changes while it judges, before the sync: later items of a group
// have to be judged against earlier ones. There is no way back from there, and none is
// needed, since a log that fails is never written again (ErrFailed).
func (r *Registry) commit(batches []*batch) error {
	for _, b := range batches {
		r.drop(b.forgotten)
	}
	head := r.log.Head()
	g := &group{
		now:   later(r.opts.Now(), head.Time),
		base:  head.Revision,
		edits: make(map[*service]*permute.Edit[*Peer]),
		fresh: make(map[announce.Service]*service),
	}
	g.clock = max(r.clock.read(r.opts.Now()), r.log.Clock())
	for _, p := range r.expiries.due(g.clock) {
		r.remove(g, p, Expired)
	}
	for _, b := range batches {
		for _, c := range b.candidates {
			b.results[c.index] = r.decide(g, c)
		}
		if b.eviction != nil {
			b.evicted = r.evict(g, b.eviction)
		}
	}
	if len(g.records) == 0 {
		return nil
	}

	// The commit point. A crash before it loses what nobody was promised; from here on every
	// restart replays these records.
	synced, err := r.log.Append(g.now, g.clock, g.records)
	if err != nil {
		r.failed.Store(true)
		r.opts.Logger.Error("writing the log", "records", len(g.records), "err", err)
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	r.show(g, synced)
	return nil
}

// decide judges one candidate and stages what it changes.
func (r *Registry) decide(g *group, c candidate) Result {
	known := r.known(g, c.said.Service, c.id)
	outcome := judge(known, c.said, c.digest)
	switch {
	case outcome == Stale:
		return Result{
			Outcome: Stale, Revision: known.Revision, CurrentSeqnum: known.Seqnum,
			Reason: fmt.Sprintf("seqnum %d does not beat the current %d", c.said.Seqnum, known.Seqnum),
		}
	case outcome == Duplicate:
		return Result{Outcome: Duplicate, Revision: known.Revision, CurrentSeqnum: known.Seqnum}
	case r.forbidden(c.said.Service, c.id) != "":
		// Asked again: the rules may have changed while it waited, and whoever is evicted in
		// their name must not come back by what was on its way.
		return Result{Outcome: Forbidden, Reason: r.forbidden(c.said.Service, c.id)}
	case known == nil && int(r.kept.Load())+g.added >= r.opts.MaxPeers:
		return Result{Outcome: Forbidden, Reason: fmt.Sprintf("this introducer keeps no more than %d peers", r.opts.MaxPeers)}
	}

	p := newPeer(c.said, c.id, c.digest)
	p.firstSeen = g.now.UnixNano()
	if known != nil {
		p.firstSeen = known.firstSeen
	}
	p.verified.Store(true)
	r.clock.setDeadline(p, g.clock, c.said.TTL)
	payload := published{p.firstSeen, c.signed}.append(make([]byte, 0, publishedHead+len(c.signed.Message)))
	r.stage(g, p, known, seedOf(c.said, c.id), wal.Entry{Kind: kindPublished, Payload: payload})
	return Result{Outcome: outcome, Revision: p.Revision, CurrentSeqnum: p.Seqnum}
}

// evict stages the end of as many of a peer's announcements as fit.
func (r *Registry) evict(g *group, e *eviction) (evicted int) {
	services := e.services
	if len(services) == 0 {
		r.services.Range(func(name, _ any) bool {
			services = append(services, name.(announce.Service))
			return true
		})
		services = slices.AppendSeq(services, maps.Keys(g.fresh))
	}
	for _, name := range services {
		if p := r.known(g, name, e.id); p != nil && p.live() && evicted < maxGroupItems {
			r.remove(g, p, Evicted)
			evicted++
		}
	}
	return evicted
}

// remove stages the end of a live peer that did not say so itself.
func (r *Registry) remove(g *group, old *Peer, why State) {
	p := &Peer{
		Service: old.Service, ID: old.ID, Seqnum: old.Seqnum, Digest: old.Digest,
		State: why, firstSeen: old.firstSeen,
	}
	payload := removed{why, p.Seqnum, p.firstSeen, p.ID, p.Digest, p.Service}.append(nil)
	r.stage(g, p, old, nil, wal.Entry{Kind: kindRemoved, Payload: payload})
}

// stage gives a change its revision and applies it to what the sequencer alone sees.
func (r *Registry) stage(g *group, p, old *Peer, seed []byte, record wal.Entry) {
	s := r.own(g, p.Service)
	p.Service = s.name // one string for all peers of a service
	p.announced = g.now.UnixNano()
	g.records = append(g.records, record)
	p.Revision = g.base + wal.Revision(len(g.records))
	g.changes = append(g.changes, p)
	g.replaced = append(g.replaced, old)
	g.seeds = append(g.seeds, seed)
	if old == nil {
		g.added++
	}
	if p.live() {
		delete(s.tombstones, p.ID)
		g.edits[s].Set(p.ID, effectiveSeed(p.ID, seed), p)
	} else {
		g.edits[s].Delete(p.ID)
		s.tombstones[p.ID] = p
	}
}

// known is the state of a peer as the group so far leaves it; nil for none.
func (r *Registry) known(g *group, name announce.Service, id announce.PeerID) *Peer {
	s := g.fresh[name]
	if s == nil {
		s = r.service(name)
	}
	if s == nil {
		return nil
	}
	if p, ok := s.tombstones[id]; ok {
		return p
	}
	if e, ok := g.edits[s]; ok {
		p, _ := e.Get(id)
		return p
	}
	p, _ := s.snapshot.Load().peers.Get(id)
	return p
}

// own is the service that a change of this group belongs to, with its edit begun.
func (r *Registry) own(g *group, name announce.Service) *service {
	s := g.fresh[name]
	if s == nil {
		s = r.service(name)
	}
	if s == nil {
		s = newService(name)
		g.fresh[name] = s
	}
	if g.edits[s] == nil {
		g.edits[s] = s.snapshot.Load().peers.Edit()
		g.services = append(g.services, s)
	}
	return s
}

// show makes a synced group visible to readers, subscribers and the index, in the order on
// which View relies: snapshots first, the head last.
func (r *Registry) show(g *group, synced wal.Head) {
	next := make([]*snapshot, len(g.services))
	last := make(map[*service]wal.Revision, len(g.services))
	touched := make([]*service, len(g.changes))
	for i, p := range g.changes {
		s := g.fresh[p.Service]
		if s == nil {
			s = r.service(p.Service)
		}
		touched[i] = s
		last[s] = p.Revision
	}
	for i, s := range g.services {
		next[i] = &snapshot{peers: g.edits[s].Table(), revision: last[s]}
	}

	r.mu.Lock()
	for i, p := range g.changes {
		r.swap(touched[i], p, g.replaced[i])
	}
	for i, s := range g.services {
		s.snapshot.Store(next[i])
	}
	for name, s := range g.fresh {
		r.services.Store(name, s)
	}
	r.head.Store(uint64(synced.Revision))
	r.mu.Unlock()

	r.kept.Add(int64(g.added))
	for i, p := range g.changes {
		if old := g.replaced[i]; old != nil {
			r.expiries.remove(old)
		}
		r.expiries.add(p)
	}
	r.hub.changed(g.services)
	if r.indexer != nil {
		r.indexer.add(store.Position{LogID: r.log.ID(), Revision: synced.Revision, Chain: synced.Chain}, g.changes, g.seeds)
	}
}

// swap puts p in old's place in the journals, digests and counts. Registry.mu is held.
func (r *Registry) swap(s *service, p, old *Peer) {
	if old != nil {
		old.superseded = true
		s.changes.drop()
		r.changes.drop()
		if old.live() {
			xor(&s.digest, old.Digest)
			xor(&r.digest, old.Digest)
			r.peers.Add(-1)
		}
	}
	s.changes.add(p)
	r.changes.add(p)
	if p.live() {
		xor(&s.digest, p.Digest)
		xor(&r.digest, p.Digest)
		r.peers.Add(1)
	}
}

// effectiveSeed is what the permutation hashes for a peer.
func effectiveSeed(id announce.PeerID, announced []byte) []byte {
	if announced == nil {
		return id[:]
	}
	return announced
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
