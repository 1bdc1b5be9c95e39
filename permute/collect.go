package permute

import "slices"

// sums are the permuted ids of a page's peers, word by word: sums[r][i] is word r, most
// significant first, of peer i.
type sums [5][pageSize]uint32

// worker hashes pages and picks entries.
type worker struct {
	sums   sums
	std    std
	found  []entry // in the band, not preferred
	chosen []entry // preferred, in the band or not
}

// collect hashes every peer of ix and sets w.found and w.chosen, both in no particular order.
// preferred are positions, ascending; the band is [from, to).
func (w *worker) collect(ix *index, prefix *prefix, preferred []uint32, from, to uint64) {
	w.found, w.chosen = w.found[:0], w.chosen[:0]
	for at, p := range ix.pages {
		w.hash(p, prefix)
		i := 0
		for len(preferred) > 0 && preferred[0]>>pageBits == uint32(at) {
			next := int(preferred[0] % pageSize)
			w.pick(at, i, next, from, to)
			w.chosen = append(w.chosen, w.entry(at, next))
			i, preferred = next+1, preferred[1:]
		}
		w.pick(at, i, p.n, from, to)
	}
}

// pick adds those of peers [i, end) of page at to w.found that are in the band.
func (w *worker) pick(at, i, end int, from, to uint64) {
	if to-from == everything {
		n := len(w.found)
		w.found = slices.Grow(w.found, end-i)[:n+end-i]
		for j := range w.found[n:] {
			w.found[n+j] = w.entry(at, i+j)
		}
		return
	}
	// One comparison for both bounds: below from wraps around.
	lowest, width := uint32(from), uint32(to-from)
	for j, first := range w.sums[0][i:end] {
		if first-lowest < width {
			w.found = append(w.found, w.entry(at, i+j))
		}
	}
}

func (w *worker) entry(at, i int) entry {
	s := &w.sums
	return entry{
		hi:  uint64(s[0][i])<<32 | uint64(s[1][i]),
		mid: uint64(s[2][i])<<32 | uint64(s[3][i]),
		lo:  s[4][i],
		pos: position(at, i),
	}
}
