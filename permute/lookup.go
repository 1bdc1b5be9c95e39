package permute

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
)

// Ranked is a peer in a permutation.
type Ranked[V any] struct {
	ID    ID // what the order goes by
	Key   Key
	Value V
}

// Query says which part of a permutation is wanted.
type Query struct {
	// Limit is how many peers are wanted; 0 or less: all.
	Limit int
	// Preferred peers come before all others, in permuted order among themselves. Keys that the
	// table does not know, and repeats, are ignored.
	Preferred []Key
}

// Append appends the peers of t in the order of storageIndex, as far as q wants them, and returns
// the extended slice. With a Limit it sorts only about so many. It does not allocate when dst has
// room for what is wanted and s has served a lookup of this size before. A nil s is a new one. It
// keeps neither storageIndex nor q.Preferred, and panics if storageIndex is longer than
// [MaxStorageIndex].
func (t *Table[V]) Append(dst []Ranked[V], storageIndex []byte, q Query, s *Scratch) []Ranked[V] {
	if s == nil {
		s = new(Scratch)
	}
	s.prefer(&t.index, q.Preferred)
	return t.append(dst, storageIndex, q.limit(t.n), s)
}

// Batch makes the permutation of each of storageIndexes, in turn, and hands it to yield with the
// position of its storage index, until yield returns false. ranked is valid only until yield
// returns and is otherwise as from [Table.Append]; it lies in buf if there is room. The preferred
// peers are looked up once. yield must not use s.
func (t *Table[V]) Batch(
	storageIndexes [][]byte, q Query, buf []Ranked[V], s *Scratch,
	yield func(i int, ranked []Ranked[V]) bool,
) {
	if s == nil {
		s = new(Scratch)
	}
	s.prefer(&t.index, q.Preferred)
	for i, si := range storageIndexes {
		buf = t.append(buf[:0], si, q.limit(t.n), s)
		if !yield(i, buf) {
			return
		}
	}
}

// firstRun is how many peers the iterator of Permuted makes at first: enough for an upload.
const firstRun = 64

// Permuted returns the peers of t in the order of storageIndex, preferred ones first. They are
// made in growing runs: the first few cost a hash for each peer of the table and no sorting of the
// others; who reads on pays another pass of hashing for each run. Memory is that of the longest run
// so far: at most about an eighth of the peers, or 8,192, at some 56 bytes each. Each use of the
// iterator begins anew and may run beside others. It keeps storageIndex and preferred, which must
// not change, and panics if storageIndex is longer than [MaxStorageIndex].
func (t *Table[V]) Permuted(storageIndex []byte, preferred []Key) iter.Seq[Ranked[V]] {
	return func(yield func(Ranked[V]) bool) {
		var s Scratch
		s.prefer(&t.index, preferred)
		s.start(&t.index, storageIndex)
		most := max(t.n/8, 4096)
		for want := firstRun; ; want = min(8*want, most) {
			run := s.next(want)
			if len(run) == 0 {
				return
			}
			for i := range run {
				var r Ranked[V]
				t.rank(&r, &run[i])
				if !yield(r) {
					return
				}
			}
		}
	}
}

func (q *Query) limit(n int) int {
	if q.Limit <= 0 {
		return n
	}
	return min(q.Limit, n)
}

func (t *Table[V]) append(dst []Ranked[V], storageIndex []byte, limit int, s *Scratch) []Ranked[V] {
	dst = slices.Grow(dst, limit)
	s.start(&t.index, storageIndex)
	for limit > 0 {
		run := s.next(limit)
		if len(run) == 0 {
			break
		}
		run = run[:min(len(run), limit)]
		more := dst[len(dst):][:len(run)]
		for i := range run {
			t.rank(&more[i], &run[i])
		}
		dst = dst[:len(dst)+len(run)]
		limit -= len(run)
	}
	return dst
}

// rank sets r to the peer of e. It writes in place: a third of a full order's time went into
// copying whole Ranked values.
func (t *Table[V]) rank(r *Ranked[V], e *entry) {
	at, i := e.pos>>pageBits, e.pos%pageSize
	binary.BigEndian.PutUint64(r.ID[0:], e.hi)
	binary.BigEndian.PutUint64(r.ID[8:], e.mid)
	binary.BigEndian.PutUint32(r.ID[16:], e.lo)
	r.Key = t.pages[at].keys[i]
	r.Value = t.values[at][i]
}

// Scratch holds the buffers of a lookup, for use by the next. The zero value is ready. It serves
// any number of tables, one goroutine at a time, and holds on to the last one. It grows to what the
// largest lookup needed: some 10 KB, and for a full order about 56 bytes a peer.
type Scratch struct {
	worker
	sorter
	prefix prefix
	run    []entry // what next returned

	ix        *index
	preferred []uint32 // positions of the preferred peers, ascending
	// How far the permutation has been made: the preferred peers if begun, and those whose permuted
	// id begins with a number below from. left others remain.
	begun bool
	from  uint64
	left  int
}

// everything is past the greatest number that the first 4 bytes of a permuted id can make.
const everything = 1 << 32

// prefer sets the preferred peers for the lookups that follow.
func (s *Scratch) prefer(ix *index, keys []Key) {
	s.preferred = s.preferred[:0]
	for i := range keys {
		if at, i, ok := ix.find(&keys[i]); ok {
			s.preferred = append(s.preferred, position(at, i))
		}
	}
	slices.Sort(s.preferred)
	s.preferred = slices.Compact(s.preferred)
}

// start begins a permutation of ix, to be had by next.
func (s *Scratch) start(ix *index, storageIndex []byte) {
	if len(storageIndex) > MaxStorageIndex {
		panic(fmt.Sprintf("permute: storage index of %d bytes, at most %d are allowed", len(storageIndex), MaxStorageIndex))
	}
	s.prefix.set(storageIndex)
	s.ix, s.begun, s.from, s.left = ix, false, 0, ix.n-len(s.preferred)
}

// next returns the entries that follow in the permutation, aiming at want of them or some more;
// none only at the end. They are valid until the following call.
func (s *Scratch) next(want int) []entry {
	s.run = s.run[:0]
	for len(s.run) == 0 && (!s.begun || s.left > 0) {
		from, to := s.from, s.bandEnd(want)
		s.from = to
		s.collect(s.ix, &s.prefix, s.preferred, from, to)
		if !s.begun {
			s.begun = true
			s.run = append(s.run, s.chosen...)
			slices.SortFunc(s.run, compareEntries)
		}
		s.left -= len(s.found)
		s.run = s.sort(s.run, s.found, from, to)
	}
	return s.run
}

// bandEnd returns where the band of permuted ids ends that begins at s.from and is expected to
// hold somewhat more than the peers wanted: a hash spreads them evenly. A band that holds too few
// is followed by another; one that holds too many, because someone chose seeds to that end, costs
// their sorting and no more.
func (s *Scratch) bandEnd(want int) uint64 {
	if !s.begun {
		want = max(want-len(s.preferred), 0)
	}
	// Three standard deviations to spare: about one band in five hundred falls short.
	w := float64(want)
	w += 3*math.Sqrt(w) + 2
	if w > float64(s.left)/2 {
		return everything
	}
	return s.from + uint64(w/float64(s.left)*float64(everything-s.from)) + 1
}
