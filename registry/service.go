package registry

import (
	"slices"
	"sync/atomic"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/wal"
)

// service is all that is known of one service.
type service struct {
	name announce.Service

	// Read without a lock, replaced whole by the sequencer.
	snapshot atomic.Pointer[snapshot]

	// :: peer id → tombstone. Owned by the sequencer.
	tombstones map[announce.PeerID]*Peer

	// Guarded by Registry.mu.
	changes journal
	digest  [32]byte // XOR of the digests of the live peers
}

// snapshot is the live peers of a service, as they were at every revision from the one it
// carries until the next snapshot's.
type snapshot struct {
	peers    *permute.Table[*Peer]
	revision wal.Revision // of the last change of this service
}

func newService(name announce.Service) *service {
	s := &service{name: name, tombstones: make(map[announce.PeerID]*Peer)}
	s.snapshot.Store(&snapshot{peers: new(permute.Table[*Peer])})
	return s
}

// journal is the states of peers in revision order: what a subscriber's cursor reads. What
// was superseded stays as a hole until there are as many holes as states; so its length is
// bounded by the peers kept, and each change costs constant time on average.
type journal struct {
	peers []*Peer
	holes int
}

func (j *journal) add(p *Peer) { j.peers = append(j.peers, p) }

// drop counts a state of this journal that was just marked superseded.
func (j *journal) drop() {
	j.holes++
	if j.holes > 64 && j.holes*2 > len(j.peers) {
		kept := make([]*Peer, 0, 2*(len(j.peers)-j.holes))
		for _, p := range j.peers {
			if !p.superseded {
				kept = append(kept, p)
			}
		}
		j.peers, j.holes = kept, 0
	}
}

// after appends to page at most limit states with revisions above r, oldest first, leaving
// out those that skip says. It reports whether those were all.
func (j *journal) after(r wal.Revision, limit int, skip func(*Peer) bool, page []*Peer) ([]*Peer, bool) {
	i, _ := slices.BinarySearchFunc(j.peers, r+1, func(p *Peer, r wal.Revision) int {
		if p.Revision < r {
			return -1
		}
		return 1
	})
	for _, p := range j.peers[i:] {
		if p.superseded || skip(p) {
			continue
		}
		if limit == 0 {
			return page, false
		}
		page = append(page, p)
		limit--
	}
	return page, true
}

func xor(d *[32]byte, e [32]byte) {
	for i := range d {
		d[i] ^= e[i]
	}
}
