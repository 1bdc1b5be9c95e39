package client

import (
	"fmt"
	"time"

	"github.com/introducer/introducer/announce"
)

// Peer is one node's newest announcement of one service. Everything in it is the node's own word, read
// from the bytes that it signed, and nothing an introducer's. It is shared by all who look: neither it
// nor what its slices hold may be changed.
type Peer struct {
	Service         announce.Service
	ID              announce.PeerID
	Seqnum          uint64
	Nickname        string        // "" for none
	Endpoints       []string      // FURL, NURLs and endpoints, each once; nil for none
	PermutationSeed []byte        // what a permutation hashes; the peer id where none is announced
	TTL             time.Duration // from when an introducer accepted it; 0: never expires
	Signed          announce.Signed

	digest [32]byte // Signed.Digest()
}

// newPeer is what the node of this id says of itself. It keeps s and slices of a.
func newPeer(a *announce.Announcement, id announce.PeerID, s announce.Signed, digest [32]byte) *Peer {
	p := &Peer{
		Service:         a.Service,
		ID:              id,
		Seqnum:          a.Seqnum,
		Nickname:        a.Nickname,
		Endpoints:       a.AllEndpoints(),
		PermutationSeed: a.PermutationSeed,
		TTL:             a.TTL,
		Signed:          s,
		digest:          digest,
	}
	if p.PermutationSeed == nil {
		p.PermutationSeed = p.ID[:]
	}
	return p
}

// Digest returns SHA-256(peer id || message), as [announce.Signed.Digest] does, without computing it.
func (p *Peer) Digest() [32]byte { return p.digest }

// String names the peer: its nickname, if any, and its id.
func (p *Peer) String() string {
	if p.Nickname == "" {
		return p.ID.String()
	}
	return fmt.Sprintf("%q %v", p.Nickname, p.ID)
}
