package client

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client/internal/cache"
	"github.com/introducer/introducer/permute"
)

// ledger is what is known of all peers, by whose word, and what of it is shown: the rules of merging in
// the package comment, and nothing else. It verifies nothing and waits for nobody; it is for whoever
// holds Client.mu.
type ledger struct {
	records map[cache.Key]*record
	books   []*books                   // one for each introducer that is configured
	views   map[announce.Service]*view // what is shown, as of the last commit; not changed but replaced
	edits   map[announce.Service]*edit // and what is to be shown from the next on
	gone    int                        // records without a peer

	cached bool       // changes are to be noted for the cache
	ops    []cache.Op // since they were taken last

	grace     time.Duration
	maxPeers  int
	maxBytes  int64
	maxFloors int
}

// record is what is known of one key.
type record struct {
	// peer is the newest announcement. Nil: nobody vouches for it any more, or a withdrawal is newer.
	// Whoever vouches for it has this very pointer.
	peer *Peer
	// floor is that announcement's place, or that of what came after it. Its Time is when the peer went;
	// zero: it has not.
	floor cache.Floor
}

// Floors of peers that are gone are kept that long, and that many.
const (
	floorAge         = 30 * 24 * time.Hour
	defaultMaxFloors = 1_000_000
)

// edit is a view in the making.
type edit struct {
	peers  *permute.Edit[*Peer]
	digest cache.Digest
}

func newLedger(opts Options) *ledger {
	return &ledger{
		records: make(map[cache.Key]*record),
		views:   make(map[announce.Service]*view),
		edits:   make(map[announce.Service]*edit),
		grace:   opts.Grace, maxPeers: opts.MaxPeers, maxBytes: opts.MaxBytes, maxFloors: defaultMaxFloors,
	}
}

// announced takes in that b announced p, which was verified, under its key. It reports false where
// something newer is known.
func (l *ledger) announced(b *books, k cache.Key, p *Peer) bool {
	rec := l.place(b, k, p)
	if rec == nil {
		return false
	}
	if !rec.floor.Time.IsZero() {
		l.stay(k, rec)
	}
	l.settle(k)
	return true
}

// place has b vouch for p, unless something newer is known, and returns its record.
func (l *ledger) place(b *books, k cache.Key, p *Peer) *record {
	f := cache.Floor{Seqnum: p.Seqnum, Digest: p.digest}
	rec := l.records[k]
	switch {
	case rec == nil:
		rec = &record{floor: f}
		l.records[k] = rec
		l.gone++
	case f.Compare(rec.floor) < 0:
		return nil
	case f.Compare(rec.floor) > 0:
		l.unseat(rec)
		rec.floor = f
	}
	if rec.peer == nil {
		rec.peer = p
		l.gone--
	}
	b.vouch(k, rec.peer)
	return rec
}

// unseat takes the peer out of its record, if one is there.
func (l *ledger) unseat(rec *record) {
	if rec.peer != nil {
		rec.peer = nil
		l.gone++
	}
}

// stay takes back that the peer went.
func (l *ledger) stay(k cache.Key, rec *record) {
	rec.floor.Time = time.Time{}
	l.raise(k, rec)
}

// lose takes in that an introducer vouches no longer for p, if it did: by its own word, or because
// nobody asks it any more.
func (l *ledger) lose(k cache.Key, p *Peer, ownWord bool) {
	// What it held may be older than what is known: its word says nothing of that.
	if !l.vouched(k, p) {
		return
	}
	rec := l.records[k]
	vouched, answered := false, false
	for _, b := range l.books {
		if b.entries[k].peer == p {
			vouched = true
			answered = answered || b.answers
		}
	}
	if (!vouched || ownWord && !answered) && rec.floor.Time.IsZero() {
		rec.floor.Time = time.Now()
	}
	if !vouched {
		l.unseat(rec)
	}
	// Also while others vouch for it: the cache may have had the floor from this one's set alone.
	l.raise(k, rec)
	l.settle(k)
}

// vouched tells whether whoever vouches for p vouches for the newest that is known of k.
func (l *ledger) vouched(k cache.Key, p *Peer) bool {
	rec := l.records[k]
	return p != nil && rec != nil && rec.peer == p
}

// withdrawn takes in the peer's own word that it withdrew the service.
func (l *ledger) withdrawn(k cache.Key, seqnum uint64, digest cache.Digest) {
	f := cache.Floor{Seqnum: seqnum, Digest: digest, Withdrawn: true, Time: time.Now()}
	rec := l.records[k]
	switch {
	case rec == nil:
		rec = &record{}
		l.records[k] = rec
		l.gone++
	case f.Compare(rec.floor) <= 0:
		return
	}
	l.unseat(rec)
	rec.floor = f
	l.raise(k, rec)
	l.settle(k)
}

// known takes in that f was announced once, by one who is not asked any more.
func (l *ledger) known(k cache.Key, f cache.Floor) {
	rec := l.records[k]
	switch {
	case rec == nil:
		rec = &record{}
		l.records[k] = rec
		l.gone++
	case f.Compare(rec.floor) <= 0:
		return
	}
	rec.floor = f
	l.raise(k, rec)
}

// raise notes the floor of k for the cache.
func (l *ledger) raise(k cache.Key, rec *record) {
	l.note(cache.Raise{Key: k, Floor: rec.floor})
}

func (l *ledger) note(ops ...cache.Op) {
	if l.cached {
		l.ops = append(l.ops, ops...)
	}
}

// settle makes what is shown of k what is to be shown.
func (l *ledger) settle(k cache.Key) {
	v := l.views[k.Service]
	if v == nil {
		return // not subscribed to
	}
	var want *Peer
	if rec := l.records[k]; rec != nil && rec.peer != nil && rec.floor.Time.IsZero() {
		want = rec.peer
	}
	e := l.edits[k.Service]
	var shown *Peer
	if e != nil {
		shown, _ = e.peers.Get(permute.Key(k.ID))
	} else {
		shown, _ = v.peers.Get(permute.Key(k.ID))
	}
	if want == shown {
		return
	}
	if e == nil {
		e = &edit{peers: v.peers.Edit(), digest: v.digest}
		l.edits[k.Service] = e
	}
	if shown != nil {
		xor(&e.digest, shown.digest)
	}
	if want == nil {
		e.peers.Delete(permute.Key(k.ID))
		return
	}
	xor(&e.digest, want.digest)
	e.peers.Set(permute.Key(k.ID), want.PermutationSeed, want)
}

// commit returns what is shown from now on.
func (l *ledger) commit() map[announce.Service]*view {
	if len(l.edits) == 0 {
		return l.views
	}
	l.views = maps.Clone(l.views)
	for service, e := range l.edits {
		l.views[service] = &view{peers: e.peers.Table(), digest: e.digest}
	}
	clear(l.edits)
	return l.views
}

// subscribe makes the services, which are sorted, those that are shown. Peers of others are forgotten.
func (l *ledger) subscribe(services []announce.Service) {
	views := make(map[announce.Service]*view, len(services))
	for _, s := range services {
		views[s] = cmp.Or(l.views[s], &view{peers: new(permute.Table[*Peer])})
	}
	l.views = views
	for _, b := range l.books {
		b.subscribe(l)
	}
	for k, rec := range l.records {
		switch shown := views[k.Service] != nil; {
		case !shown && rec.peer != nil:
			l.unseat(rec)
			rec.floor.Time = time.Now()
			l.raise(k, rec)
		case shown && rec.peer == nil && rec.floor.Time.IsZero():
			rec.floor.Time = time.Now() // the cache has nobody's word for it any more
			l.raise(k, rec)
		}
		l.settle(k)
	}
}

// forget drops the floors of peers that went long ago, and the oldest of too many.
func (l *ledger) forget() {
	before := time.Now().Add(-floorAge)
	if l.gone > l.maxFloors {
		var times []time.Time
		for _, rec := range l.records {
			if rec.went(time.Now()) {
				times = append(times, rec.floor.Time)
			}
		}
		slices.SortFunc(times, time.Time.Compare)
		// Some more than need be, so that this is not to be done for each.
		if last := len(times) - l.maxFloors*9/10 - 1; last >= 0 && times[last].After(before) {
			before = times[last]
		}
	}
	for k, rec := range l.records {
		if rec.went(before) {
			delete(l.records, k)
			l.gone--
			l.note(cache.ForgetFloor{Key: k})
		}
	}
}

// went reports whether the peer went at t or before, and nobody vouches for it.
func (rec *record) went(t time.Time) bool {
	return rec.peer == nil && !rec.floor.Time.IsZero() && !rec.floor.Time.After(t)
}

func xor(sum *cache.Digest, d cache.Digest) {
	for i := range sum {
		sum[i] ^= d[i]
	}
}
