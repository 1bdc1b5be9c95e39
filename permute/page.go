package permute

import (
	"encoding/binary"
	"slices"
)

const (
	pageBits = 8
	pageSize = 1 << pageBits // most peers in a page
	lanes    = 16            // page capacities are multiples of this: a column kernel reads whole lanes

	indexSize   = 16 // the storage index length that blocks are prepared for
	longestOne  = 39 // longest seed whose message is one block: 16 + 39 + 0x80 + 8 bytes of length = 64
	blockSize   = 64
	firstWords  = 12 // words 4–15 of the first block; 0–3 are the storage index
	secondWords = 6  // words 0–4 and 15 of the second block; 5–14 are always 0
)

// page is a run of peers in key order, with their seeds as the kernel wants them: already padded
// for a 16-byte storage index. A page that a Table can reach is never written again.
type page struct {
	k    kernel
	n    int
	keys []Key   // len n
	lens []uint8 // seed lengths; len is the capacity, 0 beyond n
	// The first block without its storage index, and, if any seed here is longer than longestOne,
	// the second block. A seed is read back from these; it is not kept a second time.
	first  words
	second words // rows == 0: no long seed here
}

// words is a table of 32-bit message words: rows words for each peer of a page. Columns lie word
// by word (word r of peer i at r·size+i, native order: a vector kernel loads one word of 16 peers at once),
// otherwise peer by peer (big-endian, as in the message: scalar kernels load it as it is).
type words struct {
	rows, size int // size: peers that there is room for
	columns    bool
	b          []byte // 4·rows·size bytes
}

func newWords(rows, size int, columns bool) words {
	return words{rows, size, columns, make([]byte, 4*rows*size)}
}

// parts returns how many runs of equal-sized elements the table consists of, and the size of an
// element in bytes: what insert, remove and move shift.
func (w *words) parts() (count, width int) {
	if w.columns {
		return w.rows, 4
	}
	return min(w.rows, 1), 4 * w.rows
}

// move copies peers [from, to) of src to dst and on, possibly within one table.
func (w *words) move(dst int, src *words, from, to int) {
	count, width := w.parts()
	for p := range count {
		copy(w.b[(p*w.size+dst)*width:], src.b[(p*src.size+from)*width:(p*src.size+to)*width])
	}
}

// clear zeroes peers [from, to): what lies beyond a page's end is hashed but never read, and
// zeros make equal pages equal bytes.
func (w *words) clear(from, to int) {
	count, width := w.parts()
	for p := range count {
		clear(w.b[(p*w.size+from)*width : (p*w.size+to)*width])
	}
}

// put writes the words of peer i, given as message bytes.
func (w *words) put(i int, msg []byte) {
	if !w.columns {
		copy(w.b[4*w.rows*i:4*w.rows*(i+1)], msg)
		return
	}
	for r := range w.rows {
		binary.NativeEndian.PutUint32(w.b[4*(r*w.size+i):], binary.BigEndian.Uint32(msg[4*r:]))
	}
}

// get appends the words of peer i as message bytes.
func (w *words) get(dst []byte, i int) []byte {
	if !w.columns {
		return append(dst, w.b[4*w.rows*i:4*w.rows*(i+1)]...)
	}
	for r := range w.rows {
		dst = binary.BigEndian.AppendUint32(dst, binary.NativeEndian.Uint32(w.b[4*(r*w.size+i):]))
	}
	return dst
}

// roomFor returns the capacity of a page that is to hold n peers. Pages of small tables stay
// small; doubling keeps the copies of a growing one few.
func roomFor(n int) int {
	size := lanes
	for size < n {
		size *= 2
	}
	return size
}

func newPage(k kernel, size int) *page {
	return &page{
		k:     k,
		keys:  make([]Key, 0, size),
		lens:  make([]uint8, size),
		first: newWords(firstWords, size, k.columns()),
	}
}

// part returns a new page with room for size peers, holding peers [from, to) of p.
func (p *page) part(from, to, size int) *page {
	q := newPage(p.k, size)
	q.take(p, from, to)
	return q
}

// take appends peers [from, to) of src, for which there must be room.
func (p *page) take(src *page, from, to int) {
	copy(p.lens[p.n:], src.lens[from:to])
	p.keys = append(p.keys, src.keys[from:to]...)
	p.first.move(p.n, &src.first, from, to)
	if slices.ContainsFunc(src.lens[from:to], isLong) {
		p.needSecond()
		p.second.move(p.n, &src.second, from, to)
	}
	p.n += to - from
}

func isLong(seedLen uint8) bool { return seedLen > longestOne }

func (p *page) needSecond() {
	if p.second.rows == 0 {
		p.second = newWords(secondWords, len(p.lens), p.k.columns())
	}
}

// insert makes room for a peer at i, which setSeed must fill. There must be room.
func (p *page) insert(i int, k Key) {
	p.keys = slices.Insert(p.keys, i, k)
	if i < p.n {
		copy(p.lens[i+1:], p.lens[i:p.n])
		p.first.move(i+1, &p.first, i, p.n)
		p.second.move(i+1, &p.second, i, p.n)
	}
	p.n++
}

func (p *page) remove(i int) {
	p.keys = slices.Delete(p.keys, i, i+1)
	copy(p.lens[i:], p.lens[i+1:p.n])
	p.first.move(i, &p.first, i+1, p.n)
	p.second.move(i, &p.second, i+1, p.n)
	p.n--
	p.lens[p.n] = 0
	p.first.clear(p.n, p.n+1)
	p.second.clear(p.n, p.n+1)
}

// setSeed prepares the seed of peer i.
func (p *page) setSeed(i int, seed []byte) {
	// msg is the padded message: FIPS 180-4 §5.1.1. The storage index's place stays empty.
	var msg [2 * blockSize]byte
	end := indexSize + copy(msg[indexSize:], seed)
	bits := uint32(8 * end)
	msg[end] = 0x80
	p.lens[i] = uint8(len(seed))
	if !isLong(p.lens[i]) {
		binary.BigEndian.PutUint32(msg[blockSize-4:], bits)
		p.first.put(i, msg[indexSize:blockSize])
		if p.second.rows > 0 {
			p.second.clear(i, i+1)
		}
		return
	}
	// The length goes to the last word, which in the table stands right after words 0–4.
	binary.BigEndian.PutUint32(msg[blockSize+4*(secondWords-1):], bits)
	p.needSecond()
	p.first.put(i, msg[indexSize:blockSize])
	p.second.put(i, msg[blockSize:])
}

// appendSeed appends the seed of peer i, read back from its prepared blocks.
func (p *page) appendSeed(dst []byte, i int) []byte {
	n := len(dst) + int(p.lens[i])
	dst = p.first.get(dst, i)
	if isLong(p.lens[i]) {
		dst = p.second.get(dst, i)
	}
	return dst[:n]
}

func (p *page) last() *Key { return &p.keys[p.n-1] }
