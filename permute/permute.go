// Package permute is being written.
package permute

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"slices"
)

// Key is a peer id: the node's 32-byte Ed25519 public key. Permute compares keys bytewise and
// asks nothing else of them.
type Key = [32]byte

// ID is a permuted id: SHA-1(storage index ‖ permutation seed).
type ID [sha1.Size]byte

// The longest inputs. Both limits together keep a message within three SHA-1 blocks.
const (
	MaxSeed         = 64 // bytes of a permutation seed; the shortest is 0
	MaxStorageIndex = 64 // bytes of a storage index; those of Tahoe-LAFS have 16
)

// Hash returns the permuted id of a peer with this seed for this storage index. It takes any
// lengths, allocates nothing within the limits, and keeps neither slice.
func Hash(storageIndex, seed []byte) ID {
	var buf [MaxStorageIndex + MaxSeed]byte
	return sha1.Sum(append(append(buf[:0], storageIndex...), seed...))
}

// Peer is a peer as [Sort] takes it.
type Peer struct {
	Key  Key
	Seed []byte // permutation seed, any length
}

// Sort puts peers in the order of storageIndex, in place. It is for lists that are made, ordered
// once and dropped; whoever asks again and again keeps a [Table]. It hashes each peer once, with
// the standard library, and allocates one array of 64 bytes a peer.
func Sort(peers []Peer, storageIndex []byte) {
	type ranked struct {
		id ID
		Peer
	}
	rs := make([]ranked, len(peers))
	for i, p := range peers {
		rs[i] = ranked{Hash(storageIndex, p.Seed), p}
	}
	slices.SortStableFunc(rs, func(a, b ranked) int {
		return cmp.Or(bytes.Compare(a.id[:], b.id[:]), bytes.Compare(a.Key[:], b.Key[:]))
	})
	for i := range rs {
		peers[i] = rs[i].Peer
	}
}
