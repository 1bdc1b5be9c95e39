package permute

import (
	"cmp"
	"slices"
)

// entry is a peer in the making of an order: its permuted id as three numbers, which compare as
// the id's bytes do, and its position. 24 bytes.
type entry struct {
	hi, mid uint64
	lo      uint32
	pos     uint32
}

// position packs a page's number and a place in it. Positions ascend as keys do, so they settle
// ties; 2^24 pages are more peers than memory holds.
func position(page, i int) uint32 { return uint32(page)<<pageBits | uint32(i) }

func (e *entry) less(f *entry) bool {
	if e.hi != f.hi {
		return e.hi < f.hi
	}
	return compareTies(e, f) < 0
}

func compareEntries(e, f entry) int {
	if c := cmp.Compare(e.hi, f.hi); c != 0 {
		return c
	}
	return compareTies(&e, &f)
}

func compareTies(e, f *entry) int {
	return cmp.Or(cmp.Compare(e.mid, f.mid), cmp.Compare(e.lo, f.lo), cmp.Compare(e.pos, f.pos))
}

// sorter sorts entries by putting them into about as many buckets as there are entries, which is
// nearly all of the work since a hash spreads them evenly.
type sorter struct {
	ends []uint32 // by bucket: where its next entry goes, and so in the end where it ends
}

const (
	fewEntries = 24 // up to here, insertion alone is faster than buckets
	fullBucket = 32 // from here on insertion is too slow: seeds chosen to collide, or equal
)

// sort appends found, all with permuted ids that begin with numbers in [from, to), to dst in
// order.
func (s *sorter) sort(dst, found []entry, from, to uint64) []entry {
	start := len(dst)
	if len(found) <= fewEntries {
		dst = append(dst, found...)
		insertionSort(dst[start:])
		return dst
	}
	// More buckets leave less to insertion, as long as their ends stay in the nearest cache.
	perEntry := uint64(2)
	if len(found) <= 4096 {
		perEntry = 4
	}
	var shift uint
	for (to-from)>>shift > perEntry*uint64(len(found)) {
		shift++
	}
	buckets := int((to-from-1)>>shift) + 1
	if cap(s.ends) < buckets {
		s.ends = make([]uint32, buckets)
	}
	ends := s.ends[:buckets]
	clear(ends)
	for i := range found {
		ends[(found[i].hi>>32-from)>>shift]++
	}
	sum, most := uint32(0), uint32(0)
	for b, n := range ends {
		ends[b] = sum
		sum += n
		most = max(most, n)
	}
	dst = slices.Grow(dst, len(found))[:start+len(found)]
	out := dst[start:]
	for i := range found {
		end := &ends[(found[i].hi>>32-from)>>shift]
		out[*end] = found[i]
		*end++
	}
	if most > fullBucket {
		begin := uint32(0)
		for _, end := range ends {
			if end-begin > fullBucket {
				slices.SortFunc(out[begin:end], compareEntries)
			}
			begin = end
		}
	}
	insertionSort(out)
	return dst
}

func insertionSort(es []entry) {
	for i := 1; i < len(es); i++ {
		if !es[i].less(&es[i-1]) {
			continue
		}
		e, j := es[i], i
		for ; j > 0 && e.less(&es[j-1]); j-- {
			es[j] = es[j-1]
		}
		es[j] = e
	}
}
