// Package permute puts peers in the order of a storage index, all of them or the first few.
//
// A file's storage index gives each peer a permuted id,
//
//	permuted id = SHA-1(storage index ‖ permutation seed)     20 bytes
//
// and the order is ascending by permuted id, compared bytewise; ties go by the peer's key,
// bytewise too. So each file meets its own order of peers and everyone computes the same one. It
// is the order of Tahoe-LAFS (allmydata.storage_client, StorageFarmBroker.get_servers_for_psi,
// with allmydata.util.hashutil, permute_server_hash), which leaves ties open, and the tests hold
// it to orders recorded there. Preferred peers, if any, come first, in permuted order among
// themselves.
//
// A [Table] is an immutable set of peers. It is changed by [Table.Edit], which copies the pages
// that change and shares the rest, so that readers need no lock. [Table.Append] makes an order in
// the caller's buffers without allocating; [Table.Permuted] makes it as it is read; [Table.Batch]
// serves many storage indexes; [Sort] is for a list that is ordered once. For a first few, all
// peers are hashed and those that cannot be among them are dropped at a glance, by the first 4
// bytes of their permuted id; for a full order they go through buckets. Both exploit that a hash
// spreads evenly; seeds chosen so that it does not cost time, at most that of an ordinary sort,
// and never the right order.
//
// # Layout
//
// Peers stand in pages of up to 256, and beside each key the seed is kept as the padded SHA-1
// message it will be part of, for a storage index of 16 bytes (those of grids; any other length is
// hashed from scratch, at the standard library's speed):
//
//	block 1   words 0–3     storage index, not kept
//	          words 4–15    seed, then, if it is of 39 bytes or less, 0x80, 0…, length in bits
//	block 2   words 0–4     rest of a longer seed, 0x80, 0…
//	          words 5–14    0, not kept
//	          word 15       length in bits
//
// which is 48 bytes a peer, and 24 more in pages where some seed is longer than 39 bytes; with key
// and length 81 or 105 bytes and the value. Where the kernel is a vector one, each word lies
// beside the same word of the page's other peers; elsewhere, peer by peer.
//
// # Kernels
//
// [Kernel] names the way this machine hashes: AVX-512, sixteen messages at a time; the SHA
// extensions of x86, two at a time; or crypto/sha1. With AVX-512 the message schedule is computed
// and not kept: keeping it would save a sixth of the instructions for six times the memory. Rounds
// 0 to 3 depend on the storage index alone and are done once for a lookup.
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

// Sort puts peers in the order of storageIndex, in place; peers with equal keys and permuted ids
// keep theirs. It is for lists that are made, ordered once and dropped; whoever asks again and
// again keeps a [Table]. It hashes each peer once, with crypto/sha1.
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
