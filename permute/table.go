package permute

import (
	"bytes"
	"iter"
	"slices"
)

// Table is an immutable set of peers in key order, each with its permutation seed and a value of
// the caller's. The zero Table is empty and ready; others come from [Table.Edit]. Any number of
// goroutines may read one at the same time. Values are handed out as they were given: what they
// point to is the caller's to guard.
type Table[V any] struct {
	index
	values [][]V // by page, then by place in the page
}

// index is what of a table the order depends on: everything but the values, so that the code
// that hashes and sorts is compiled once and not for each type of value.
type index struct {
	k     kernel // 0: this machine's best
	n     int
	pages []*page // none empty, keys ascending throughout
}

// Len returns the number of peers.
func (t *Table[V]) Len() int { return t.n }

// Get returns the value of the peer k and whether there is such a peer.
func (t *Table[V]) Get(k Key) (V, bool) {
	return get(&t.index, t.values, k)
}

// All returns the peers, ascending by key.
func (t *Table[V]) All() iter.Seq2[Key, V] {
	return t.From(Key{})
}

// From returns the peers whose key is k or greater, ascending by key.
func (t *Table[V]) From(k Key) iter.Seq2[Key, V] {
	return func(yield func(Key, V) bool) {
		at, i, _ := t.find(&k)
		for ; at < len(t.pages); at, i = at+1, 0 {
			for ; i < t.pages[at].n; i++ {
				if !yield(t.pages[at].keys[i], t.values[at][i]) {
					return
				}
			}
		}
	}
}

func get[V any](ix *index, values [][]V, k Key) (V, bool) {
	if at, i, ok := ix.find(&k); ok {
		return values[at][i], true
	}
	var none V
	return none, false
}

// find returns the page and the place of k, or where it would be inserted: on a page whose last
// key is greater, or past the last page.
func (ix *index) find(k *Key) (at, i int, ok bool) {
	at, _ = slices.BinarySearchFunc(ix.pages, k, func(p *page, k *Key) int {
		return bytes.Compare(p.last()[:], k[:])
	})
	if at == len(ix.pages) {
		return at, 0, false
	}
	i, ok = slices.BinarySearchFunc(ix.pages[at].keys, k, func(a Key, k *Key) int {
		return bytes.Compare(a[:], k[:])
	})
	return at, i, ok
}

// AppendSeed appends the permutation seed of peer k to dst. It reports whether k is in the table.
func (t *Table[V]) AppendSeed(dst []byte, k Key) ([]byte, bool) {
	at, i, ok := t.find(&k)
	if !ok {
		return dst, false
	}
	return t.pages[at].appendSeed(dst, i), true
}
