package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// restart brings all that is known into memory: the index, then the log's tail after it. An
// index that cannot be used costs a replay of the whole log, and is built anew from that.
func (r *Registry) restart(ctx context.Context) error {
	l := newLoader(&r.clock)
	var from wal.Revision // 0: from the first record held
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if r.dir.Index != nil {
		if err := r.dir.Index.Load(l.entry); err != nil {
			r.dir.DropIndex(err)
			l = newLoader(&r.clock)
		} else {
			from = r.dir.Index.Position().Revision + 1
		}
	}
	rebuild := r.dir.Rebuild
	head := r.log.Head()
	if rebuild == "" {
		l.tail = make(map[store.Key]store.Entry)
	} else if r.log.Lost() == nil {
		r.opts.Logger.Warn("building the index anew from the log", "reason", rebuild, "records", r.log.Held(0))
	}
	for rec, err := range r.log.Records(from, head.Revision) {
		if damage := (*wal.CorruptError)(nil); errors.As(err, &damage) {
			// What lay there is not known: a peer may be missing, or be back that has left. The rest is
			// served as what it is.
			r.opts.Logger.Error("replaying the log", "err", err)
			r.log.QuarantineDamage(damage)
			continue
		}
		if err == nil && rec.Revision%4096 == 0 {
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("replaying the log from revision %d: %w", from, err)
		}
		if err := l.record(rec); err != nil {
			return fmt.Errorf("replaying the log: %w", damaged(rec.Revision, err))
		}
		if rebuild != "" && rec.Revision%100_000 == 0 {
			r.opts.Logger.Info("replaying the log", "revision", rec.Revision, "of", head.Revision)
		}
	}
	l.finish(r, head.Revision)
	if r.lost = r.log.Lost(); r.lost != nil {
		return nil // the index is left as it is: evidence
	}
	at := store.Position{LogID: r.log.ID(), Revision: head.Revision, Chain: head.Chain}
	if rebuild != "" {
		if err := r.dir.BuildIndex(at, r.entries()); err != nil {
			// It holds no truth: all is known without it, and the next start replays again.
			r.opts.Logger.Error("building the index; going on without", "err", err)
			return nil
		}
	}
	r.indexer = startIndexer(r.dir.Index, r.opts.Logger, l.tail, l.excess, at)
	return nil
}

// loader gathers the state that a Registry starts with. Journals want revision order and
// tables want the order of peer ids, in which the index has them; so all is gathered first.
type loader struct {
	clock    *clock
	services map[announce.Service]*service
	edits    map[*service]*permute.Edit[*Peer]
	placed   []placed
	holes    int      // superseded ones among placed
	last     *service // of the entry before: entries come sorted by service
	arena    []Peer

	tail map[store.Key]store.Entry // what the log had after the index; nil when that is of no use
	// Tombstones that are forgotten, which index and log may still hold.
	excess map[store.Key]struct{}
}

type placed struct {
	revision wal.Revision // beside the peer, so that sorting a million reads no peer
	peer     *Peer
	service  *service
}

func newLoader(c *clock) *loader {
	return &loader{
		clock:    c,
		services: make(map[announce.Service]*service),
		edits:    make(map[*service]*permute.Edit[*Peer]),
		excess:   make(map[store.Key]struct{}),
	}
}

// entry takes one entry of the index.
func (l *loader) entry(e store.Entry) error {
	if l.last == nil || string(l.last.name) != e.Service {
		name, err := announce.ParseService(e.Service)
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrDamaged, err)
		}
		l.last = l.service(name)
	}
	// Peers are allocated by the dozen: faster than one by one, and what is superseded later
	// holds on to no more than its neighbours.
	if len(l.arena) == 0 {
		l.arena = make([]Peer, 32)
	}
	p := &l.arena[0]
	l.arena = l.arena[1:]
	p.Service, p.ID, p.Revision = l.last.name, e.PeerID, e.Revision
	p.Seqnum, p.Digest, p.State = e.Seqnum, e.Digest, e.State
	p.announced, p.firstSeen = e.Announced.UnixNano(), e.FirstSeen.UnixNano()
	if p.live() && e.Deadline != 0 {
		l.clock.endAt(p, e.Deadline)
	}
	l.put(l.last, p, e.Seed)
	return nil
}

// record takes one record of the log's tail.
func (l *loader) record(rec wal.Record) error {
	rec.Payload = bytes.Clone(rec.Payload)
	d, err := l.clock.replay(rec)
	if err != nil {
		return err
	}
	p := d.peer
	s := l.service(p.Service)
	p.Service = s.name
	old := s.tombstones[p.ID]
	if old == nil {
		old, _ = l.edits[s].Get(p.ID)
	}
	if old != nil {
		old.superseded = true
		l.drop()
	}
	l.put(s, p, d.seed)
	if l.tail != nil {
		e := indexEntry(p, d.seed)
		l.tail[store.Key{Service: e.Service, PeerID: e.PeerID}] = e
	}
	return nil
}

// drop counts a state that was just superseded, and sweeps when half are: what a replay holds
// is bounded by the peers kept, however long the log.
func (l *loader) drop() {
	l.holes++
	if l.holes > 1024 && l.holes*2 > len(l.placed) {
		l.placed = slices.DeleteFunc(l.placed, func(at placed) bool { return at.peer.superseded })
		l.holes = 0
	}
}

func (l *loader) service(name announce.Service) *service {
	s := l.services[name]
	if s == nil {
		s = newService(name)
		l.services[name] = s
		l.edits[s] = s.snapshot.Load().peers.Edit()
	}
	return s
}

func (l *loader) put(s *service, p *Peer, seed []byte) {
	l.placed = append(l.placed, placed{p.Revision, p, s})
	if p.live() {
		delete(s.tombstones, p.ID)
		l.edits[s].Set(p.ID, effectiveSeed(p.ID, seed), p)
	} else {
		l.edits[s].Delete(p.ID)
		s.tombstones[p.ID] = p
	}
}

// finish hands everything to r, which nobody else sees yet.
//
// Tombstones that were forgotten are left out only here: in the log what they end comes before them, and
// may still be there.
func (l *loader) finish(r *Registry, head wal.Revision) {
	slices.SortFunc(l.placed, func(a, b placed) int { return cmp.Compare(a.revision, b.revision) })
	last := make(map[*service]wal.Revision, len(l.services))
	for _, at := range l.placed {
		if at.peer.superseded {
			continue
		}
		if !at.peer.live() && at.revision <= r.log.Forgotten() {
			delete(at.service.tombstones, at.peer.ID)
			delete(l.tail, keyOf(at.peer))
			l.excess[keyOf(at.peer)] = struct{}{}
			continue
		}
		// The newest change of a service is never superseded, so this ends at its revision.
		last[at.service] = at.revision
		r.swap(at.service, at.peer, nil)
		r.expiries.add(at.peer)
		r.kept.Add(1)
	}
	for name, s := range l.services {
		if last[s] == 0 {
			continue // nothing is left of it
		}
		s.snapshot.Store(&snapshot{peers: l.edits[s].Table(), revision: last[s]})
		r.services.Store(name, s)
	}
	r.head.Store(uint64(head))
}

// entries is the whole state as the index keeps it, by service and peer id. Only for Open,
// while nothing changes.
func (r *Registry) entries() iter.Seq[store.Entry] {
	return func(yield func(store.Entry) bool) {
		var services []*service
		r.services.Range(func(_, s any) bool {
			services = append(services, s.(*service))
			return true
		})
		slices.SortFunc(services, func(a, b *service) int { return cmp.Compare(a.name, b.name) })
		for _, s := range services {
			peers := slices.Clone(s.changes.peers)
			slices.SortFunc(peers, func(a, b *Peer) int { return a.ID.Compare(b.ID) })
			table := s.snapshot.Load().peers
			for _, p := range peers {
				var seed []byte
				if p.live() {
					seed, _ = table.AppendSeed([]byte{}, p.ID)
					if bytes.Equal(seed, p.ID[:]) {
						seed = nil
					}
				}
				if !p.superseded && !yield(indexEntry(p, seed)) {
					return
				}
			}
		}
	}
}
