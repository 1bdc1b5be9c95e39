package permute

import (
	"bytes"
	"fmt"
	"slices"
)

// Edit changes a copy of a [Table], which itself stays as it is. A page that is changed is copied
// once in an Edit, however many changes it sees; what is not changed is shared. Peers that come
// in ascending key order are appended, each page filled to its end, at the cost of their bytes.
// For one goroutine.
type Edit[V any] struct {
	index
	values [][]V
	// By page: whether this Edit made the page, or the page's values, and so may write it. They
	// are told apart because the commonest change gives a known peer a new value and its old seed.
	ownPage, ownValues []bool
}

// Edit returns an Edit that starts from t.
func (t *Table[V]) Edit() *Edit[V] {
	e := &Edit[V]{
		index:     index{k: t.k, n: t.n, pages: slices.Clone(t.pages)},
		values:    slices.Clone(t.values),
		ownPage:   make([]bool, len(t.pages)),
		ownValues: make([]bool, len(t.pages)),
	}
	if e.k == 0 {
		e.k = best()
	}
	return e
}

// Table ends the Edit and returns what it made. The Edit must not be used afterwards; Set panics
// if it is.
func (e *Edit[V]) Table() *Table[V] {
	t := &Table[V]{index: e.index, values: e.values}
	*e = Edit[V]{}
	return t
}

// Len returns the number of peers as it now is.
func (e *Edit[V]) Len() int { return e.n }

// Get returns the value of the peer k as it now is, and whether there is such a peer.
func (e *Edit[V]) Get(k Key) (V, bool) {
	return get(&e.index, e.values, k)
}

// Set adds the peer k, or replaces its seed and value. It copies seed, which may be empty and
// means then the empty seed, and panics if seed is longer than [MaxSeed].
func (e *Edit[V]) Set(k Key, seed []byte, v V) {
	if len(seed) > MaxSeed {
		panic(fmt.Sprintf("permute: seed of %d bytes, at most %d are allowed", len(seed), MaxSeed))
	}
	if e.k == 0 {
		panic("permute: Edit used after its Table was taken")
	}
	at, i, ok := e.place(&k)
	if ok {
		e.writeValues(at)[i] = v
		var buf [4 * (firstWords + secondWords)]byte
		if !bytes.Equal(seed, e.pages[at].appendSeed(buf[:0], i)) {
			e.writePage(at, 0).setSeed(i, seed)
		}
		return
	}
	at, i = e.makeRoom(at, i)
	p := e.writePage(at, 1)
	p.insert(i, k)
	p.setSeed(i, seed)
	e.values[at] = slices.Insert(e.writeValues(at), i, v)
	e.n++
}

// Delete removes the peer k and returns whether it was there.
func (e *Edit[V]) Delete(k Key) bool {
	at, i, ok := e.find(&k)
	if !ok {
		return false
	}
	e.n--
	if e.pages[at].n == 1 {
		e.drop(at)
		return true
	}
	e.writePage(at, 0).remove(i)
	e.values[at] = slices.Delete(e.writeValues(at), i, i+1)
	if e.pages[at].n < pageSize/4 {
		e.merge(at)
	}
	return true
}

// place is find with a short cut for keys that come in ascending order.
func (e *Edit[V]) place(k *Key) (at, i int, ok bool) {
	if n := len(e.pages); n > 0 && bytes.Compare(e.pages[n-1].last()[:], k[:]) < 0 {
		return n, 0, false
	}
	return e.find(k)
}

// makeRoom sees to it that a peer can be inserted near (at, i), and returns where.
func (e *Edit[V]) makeRoom(at, i int) (int, int) {
	switch {
	case at == len(e.pages) && at > 0 && e.pages[at-1].n < pageSize:
		return at - 1, e.pages[at-1].n
	case at == len(e.pages):
		// A first page grows as it is filled, one that follows a full page will be full itself.
		size := lanes
		if at > 0 {
			size = pageSize
		}
		e.insertPage(at, newPage(e.k, size), make([]V, 0, size))
	case e.pages[at].n == pageSize:
		half := pageSize / 2
		old, values := e.pages[at], e.values[at]
		e.insertPage(at, old.part(0, half, pageSize), append(make([]V, 0, pageSize), values[:half]...))
		e.pages[at+1] = old.part(half, pageSize, pageSize)
		e.values[at+1] = append(make([]V, 0, pageSize), values[half:]...)
		e.ownPage[at+1], e.ownValues[at+1] = true, true
		if i > half {
			return at + 1, i - half
		}
	}
	return at, i
}

// writePage returns page at, which the Edit may write and which has room for more peers.
func (e *Edit[V]) writePage(at, more int) *page {
	p := e.pages[at]
	if need := p.n + more; !e.ownPage[at] || need > len(p.lens) {
		p = p.part(0, p.n, roomFor(need))
		e.pages[at], e.ownPage[at] = p, true
	}
	return p
}

// writeValues returns the values of page at, which the Edit may write.
func (e *Edit[V]) writeValues(at int) []V {
	if !e.ownValues[at] {
		e.values[at], e.ownValues[at] = slices.Clone(e.values[at]), true
	}
	return e.values[at]
}

// merge joins page at, which has become small, with a neighbour if the two leave room for growth.
func (e *Edit[V]) merge(at int) {
	left := at
	if at > 0 && (at+1 == len(e.pages) || e.pages[at-1].n < e.pages[at+1].n) {
		left = at - 1
	}
	if left+1 == len(e.pages) {
		return
	}
	right := e.pages[left+1]
	if e.pages[left].n+right.n > pageSize*3/4 {
		return
	}
	e.writePage(left, right.n).take(right, 0, right.n)
	e.values[left] = append(e.writeValues(left), e.values[left+1]...)
	e.drop(left + 1)
}

func (e *Edit[V]) insertPage(at int, p *page, values []V) {
	e.pages = slices.Insert(e.pages, at, p)
	e.values = slices.Insert(e.values, at, values)
	e.ownPage = slices.Insert(e.ownPage, at, true)
	e.ownValues = slices.Insert(e.ownValues, at, true)
}

func (e *Edit[V]) drop(at int) {
	e.pages = slices.Delete(e.pages, at, at+1)
	e.values = slices.Delete(e.values, at, at+1)
	e.ownPage = slices.Delete(e.ownPage, at, at+1)
	e.ownValues = slices.Delete(e.ownValues, at, at+1)
}
