package client

import (
	"iter"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/permute"
)

// view is what one service shows. It does not change; another takes its place.
type view struct {
	peers  *permute.Table[*Peer]
	digest [32]byte // XOR of the peers'
}

// Table returns the peers of a service as they are now, as package permute keeps them: for lookups in
// order of peer ids, for the first few of a permutation without allocating, for many storage indexes at
// once, with permuted ids. It is a snapshot and stays as it is. A service not subscribed to is empty.
func (c *Client) Table(service announce.Service) *permute.Table[*Peer] {
	if v := (*c.views.Load())[service]; v != nil {
		return v.peers
	}
	return new(permute.Table[*Peer])
}

// Peers returns the peers of a service, by peer id. The slice is the caller's.
func (c *Client) Peers(service announce.Service) []*Peer {
	t := c.Table(service)
	peers := make([]*Peer, 0, t.Len())
	for _, p := range t.All() {
		peers = append(peers, p)
	}
	return peers
}

// PermutedPeers returns the peers of a service in the order of a storage index of at most
// [permute.MaxStorageIndex] bytes (it panics if it is longer), preferred ones first, permuted among
// themselves. They are those of the moment of the call, whatever changes while they are read; the first
// few cost little. It keeps storageIndex, which must not change while it is in use.
func (c *Client) PermutedPeers(service announce.Service, storageIndex []byte, preferred ...announce.PeerID) iter.Seq[*Peer] {
	t, keys := c.Table(service), keysOf(preferred)
	return func(yield func(*Peer) bool) {
		for r := range t.Permuted(storageIndex, keys) {
			if !yield(r.Value) {
				return
			}
		}
	}
}

// FirstPeers returns the first n peers of what [Client.PermutedPeers] does, all if there are no more.
func (c *Client) FirstPeers(service announce.Service, storageIndex []byte, n int, preferred ...announce.PeerID) []*Peer {
	if n <= 0 {
		return nil
	}
	l := c.lookups.Get().(*lookup)
	defer c.lookups.Put(l)
	l.ranked = c.Table(service).Append(l.ranked[:0], storageIndex, permute.Query{Limit: n, Preferred: keysOf(preferred)}, &l.scratch)
	peers := make([]*Peer, len(l.ranked))
	for i := range l.ranked {
		peers[i] = l.ranked[i].Value
	}
	return peers
}

// lookup is what FirstPeers needs and the next lookup can use again.
type lookup struct {
	scratch permute.Scratch
	ranked  []permute.Ranked[*Peer]
}

func keysOf(ids []announce.PeerID) []permute.Key {
	if len(ids) == 0 {
		return nil
	}
	keys := make([]permute.Key, len(ids))
	for i, id := range ids {
		keys[i] = permute.Key(id)
	}
	return keys
}
