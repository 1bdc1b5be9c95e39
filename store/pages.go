package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
)

// checkPages reads a bbolt file of size bytes from front to back and makes sure that bbolt can walk
// it: that the newest valid meta page leads to a tree in which every page says who it is, keeps
// within its bounds, has its keys in order and is led to exactly once and under its first key, and
// that every other page is on the freelist. What the keys and values say is not its concern, but
// for values that are buckets.
//
// In the order of the file, and not of the tree, because that is how disks are fast; so it notes
// who is led to and who is there, and compares at the end. No page being led to twice, nothing that
// starts at the root can come back to where it was. Memory: 8 bytes and 3 bits a page, 0.2 % of the
// file.
//
// The format is bbolt's, from its package internal/common (page.go, meta.go, bucket.go) and
// internal/freelist, version 2 since 2014. Integers are in the machine's order:
//
//	page     id 8 | flags 2 | count 2 | further pages 4 | elements
//	branch   element: position 4 | key size 4 | page 8
//	leaf     element: flags 4 (1: a bucket) | position 4 | key size 4 | value size 4
//	         position counts from the element's own start
//	bucket   root page 8 | sequence 8; root page 0: a leaf page follows here
//	freelist pages, 8 each, ascending; count 65,535: the first 8 bytes are the count
//	meta     magic 4 | version 4 | page size 4 | flags 4 | root bucket 16 | freelist 8 |
//	         number of pages 8 | transaction 8 | FNV-1a 8
func checkPages(r io.ReaderAt, size int64) error {
	m, err := newestMeta(r)
	if err != nil {
		return err
	}
	if m.pages < 4 || m.pages > uint64(size)/pageSize {
		return fmt.Errorf("%d pages in a file of %d bytes", m.pages, size)
	}
	c := checker{
		metaPage: m,
		free:     make(bitset, m.pages/64+1),
		ledTo:    make(bitset, m.pages/64+1),
		there:    make(bitset, m.pages/64+1),
		wanted:   make([]uint32, m.pages),
		first:    make([]uint32, m.pages),
	}
	if err := c.readFreelist(r); err != nil {
		return fmt.Errorf("freelist: %w", err)
	}
	if err := c.lead(m.root); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if err := c.lead(m.freelist); err != nil {
		return fmt.Errorf("freelist: %w", err)
	}
	const window = 1 << 20 // large reads; the system reads ahead of them
	from := int64(2 * pageSize)
	file := bufio.NewReaderSize(io.NewSectionReader(r, from, int64(m.pages)*pageSize-from), window)
	if err := c.readPages(file); err != nil {
		return err
	}
	return c.compare()
}

// checker is the state of one check.
type checker struct {
	metaPage
	free   bitset   // pages on the freelist
	ledTo  bitset   // pages that another page, or the meta page, leads to
	there  bitset   // pages that are not free, without the further pages of a long one
	wanted []uint32 // :: page → checksum of the key under which a branch leads to it; 0: none does
	first  []uint32 // :: page → checksum of its first key
}

// readPages checks all pages from the third on.
func (c *checker) readPages(file *bufio.Reader) error {
	buf := make([]byte, pageSize)
	for id := uint64(2); id < c.pages; {
		if c.free.has(id) {
			if _, err := file.Discard(pageSize); err != nil {
				return fmt.Errorf("page %d: %w", id, err)
			}
			id++
			continue
		}
		buf = buf[:pageSize]
		if _, err := io.ReadFull(file, buf); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		n, err := c.extent(id, buf)
		if err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		if n > 1 {
			buf = append(buf, make([]byte, (n-1)*pageSize)...)
			if _, err := io.ReadFull(file, buf[pageSize:]); err != nil {
				return fmt.Errorf("page %d: %w", id, err)
			}
		}
		if err := c.checkPage(id, buf); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		c.there.add(id)
		id += n
	}
	return nil
}

// extent is how many pages the one that begins in b takes, after checking that it is the page id
// and that these pages are not free.
func (c *checker) extent(id uint64, b []byte) (uint64, error) {
	if is := binary.NativeEndian.Uint64(b); is != id {
		return 0, fmt.Errorf("it says that it is page %d", is)
	}
	n := 1 + uint64(binary.NativeEndian.Uint32(b[12:]))
	if n > c.pages-id {
		return 0, fmt.Errorf("%d pages long", n)
	}
	for i := id; i < id+n; i++ {
		if c.free.has(i) {
			return 0, fmt.Errorf("%d pages long, but page %d is free", n, i)
		}
	}
	return n, nil
}

// The flags of a page, of which it has one; and of an element in a leaf.
const (
	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10

	flagBucket = 0x01
)

const (
	headerSize       = 16
	elementSize      = 16
	bucketHeaderSize = 16
)

func (c *checker) checkPage(id uint64, b []byte) error {
	switch flags := binary.NativeEndian.Uint16(b[8:]); flags {
	case flagBranch:
		return c.checkBranch(id, b)
	case flagLeaf:
		first, err := c.checkLeaf(b, false)
		c.first[id] = keySum(first)
		return err
	case flagFreelist:
		if id != c.freelist {
			return errors.New("a freelist in the tree")
		}
		return nil
	default:
		return fmt.Errorf("flags %#x", flags)
	}
}

func (c *checker) checkBranch(id uint64, b []byte) error {
	count := int(binary.NativeEndian.Uint16(b[10:]))
	if count == 0 {
		return errors.New("a branch that leads nowhere")
	}
	var previous []byte
	for i := range count {
		e, err := element(b, count, i)
		if err != nil {
			return err
		}
		pos, ksize := binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:])
		key, err := span(b, count, i, uint64(pos), uint64(ksize))
		if err != nil {
			return err
		}
		if bytes.Compare(previous, key) >= 0 {
			return fmt.Errorf("element %d: its key is not above the one before", i)
		}
		previous = key
		child := binary.NativeEndian.Uint64(e[8:])
		if err := c.lead(child); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
		c.wanted[child] = keySum(key)
		if i == 0 {
			c.first[id] = keySum(key)
		}
	}
	return nil
}

// checkLeaf checks a leaf page, inside a bucket's value if inline, and returns its first key.
func (c *checker) checkLeaf(b []byte, inline bool) (first []byte, err error) {
	count := int(binary.NativeEndian.Uint16(b[10:]))
	var previous []byte
	for i := range count {
		e, err := element(b, count, i)
		if err != nil {
			return nil, err
		}
		flags := binary.NativeEndian.Uint32(e)
		pos, ksize := binary.NativeEndian.Uint32(e[4:]), binary.NativeEndian.Uint32(e[8:])
		vsize := binary.NativeEndian.Uint32(e[12:])
		both, err := span(b, count, i, uint64(pos), uint64(ksize)+uint64(vsize))
		if err != nil {
			return nil, err
		}
		key, value := both[:ksize], both[ksize:]
		if bytes.Compare(previous, key) >= 0 {
			return nil, fmt.Errorf("element %d: its key is not above the one before", i)
		}
		previous = key
		if i == 0 {
			first = key
		}
		switch {
		case flags == 0:
		case flags == flagBucket && !inline:
			if err := c.checkBucket(value); err != nil {
				return nil, fmt.Errorf("bucket %q: %w", key, err)
			}
		default:
			return nil, fmt.Errorf("element %d: flags %#x", i, flags)
		}
	}
	return first, nil
}

func (c *checker) checkBucket(value []byte) error {
	if len(value) < bucketHeaderSize {
		return fmt.Errorf("%d bytes", len(value))
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return c.lead(root)
	}
	page := value[bucketHeaderSize:]
	if len(page) < headerSize || binary.NativeEndian.Uint16(page[8:]) != flagLeaf {
		return errors.New("no leaf page in it")
	}
	_, err := c.checkLeaf(page, true)
	return err
}

// element is the i-th of the count elements of page b.
func element(b []byte, count, i int) ([]byte, error) {
	if headerSize+count*elementSize > len(b) {
		return nil, fmt.Errorf("%d elements in %d bytes", count, len(b))
	}
	return b[headerSize+i*elementSize:][:elementSize], nil
}

// span is the data of the i-th element of page b: n bytes at pos from the element's start.
func span(b []byte, count, i int, pos, n uint64) ([]byte, error) {
	from := uint64(headerSize+i*elementSize) + pos
	if from < uint64(headerSize+count*elementSize) || from+n > uint64(len(b)) {
		return nil, fmt.Errorf("element %d: data at %d to %d of %d bytes", i, from, from+n, len(b))
	}
	return b[from : from+n], nil
}

// lead notes that something leads to a page.
func (c *checker) lead(page uint64) error {
	switch {
	case page < 2 || page >= c.pages:
		return fmt.Errorf("leads to page %d of %d", page, c.pages)
	case c.free.has(page):
		return fmt.Errorf("leads to page %d, which is free", page)
	case c.ledTo.has(page):
		return fmt.Errorf("leads to page %d, as another does", page)
	}
	c.ledTo.add(page)
	return nil
}

// compare makes sure, at the end, that what is led to is there, under the right key, and what is
// there is led to.
func (c *checker) compare() error {
	for id := uint64(2); id < c.pages; id++ {
		switch {
		case c.ledTo.has(id) && !c.there.has(id):
			return fmt.Errorf("page %d is led to, but is inside another", id)
		case c.there.has(id) && !c.ledTo.has(id):
			return fmt.Errorf("page %d is neither in use nor free", id)
		case c.wanted[id] != 0 && c.wanted[id] != c.first[id]:
			return fmt.Errorf("page %d does not begin with the key that leads to it", id)
		}
	}
	return nil
}

// keySum is a checksum of a key, never 0.
func keySum(key []byte) uint32 {
	return crc32.Checksum(key, castagnoli) | 1
}

// readFreelist notes the free pages.
func (c *checker) readFreelist(r io.ReaderAt) error {
	if c.freelist < 2 || c.freelist >= c.pages {
		return fmt.Errorf("at page %d of %d", c.freelist, c.pages)
	}
	var head [headerSize + 8]byte
	if err := readAt(r, head[:], c.freelist*pageSize); err != nil {
		return err
	}
	n, err := c.extent(c.freelist, head[:])
	if err != nil {
		return err
	}
	if flags := binary.NativeEndian.Uint16(head[8:]); flags != flagFreelist {
		return fmt.Errorf("page %d: flags %#x", c.freelist, flags)
	}
	from, count := uint64(headerSize), uint64(binary.NativeEndian.Uint16(head[10:]))
	if count == 0xFFFF {
		from, count = headerSize+8, binary.NativeEndian.Uint64(head[headerSize:])
	}
	if room := (n*pageSize - from) / 8; count > room {
		return fmt.Errorf("%d free pages, room for %d", count, room)
	}
	list := make([]byte, count*8)
	if err := readAt(r, list, c.freelist*pageSize+from); err != nil {
		return err
	}
	previous := uint64(1)
	for ; len(list) > 0; list = list[8:] {
		id := binary.NativeEndian.Uint64(list)
		if id <= previous || id >= c.pages {
			return fmt.Errorf("page %d of %d after page %d", id, c.pages, previous)
		}
		c.free.add(id)
		previous = id
	}
	return nil
}

// metaPage is what bbolt's meta page says.
type metaPage struct {
	pageSize uint32
	root     uint64 // page where the tree begins
	freelist uint64 // page where the freelist begins
	pages    uint64 // pages in use or free, the meta pages included
	txid     uint64
}

// newestMeta reads the meta page that bbolt will go by: the valid one with the greater transaction.
// One that isn't valid is no damage by itself: a crash while it was written leaves it so, and the
// other one then leads to the transaction before.
func newestMeta(r io.ReaderAt) (metaPage, error) {
	m0, err0 := readMeta(r, 0)
	m1, err1 := readMeta(r, 1)
	newest := m0
	switch {
	case err0 != nil && err1 != nil:
		return metaPage{}, fmt.Errorf("no valid meta page: %w; %w", err0, err1)
	case err0 != nil || err1 == nil && m1.txid > m0.txid:
		newest = m1
	}
	// Of the older one bbolt may still take the page size.
	for _, m := range []metaPage{m0, m1} {
		if m != (metaPage{}) && m.pageSize != pageSize {
			return metaPage{}, fmt.Errorf("pages of %d bytes", m.pageSize)
		}
	}
	return newest, nil
}

// readMeta reads a meta page. The error says that it isn't valid, by bbolt's own measure.
func readMeta(r io.ReaderAt, page uint64) (metaPage, error) {
	const (
		magic   = 0xED0CDAED
		version = 2
		summed  = 56 // bytes that the checksum covers
	)
	var b [summed + 8]byte
	if err := readAt(r, b[:], page*pageSize+headerSize); err != nil {
		return metaPage{}, err
	}
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	h := fnv.New64a()
	h.Write(b[:summed])
	switch {
	case u32(b[0:]) != magic || u32(b[4:]) != version:
		return metaPage{}, errors.New("not a bbolt database")
	case u64(b[summed:]) != h.Sum64():
		return metaPage{}, errors.New("wrong checksum")
	}
	return metaPage{
		pageSize: u32(b[8:]), root: u64(b[16:]), freelist: u64(b[32:]), pages: u64(b[40:]), txid: u64(b[48:]),
	}, nil
}

// readAt fills b from offset from.
func readAt(r io.ReaderAt, b []byte, from uint64) error {
	if n, err := r.ReadAt(b, int64(from)); n < len(b) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("reading %d bytes at %d: %w", len(b), from, err)
	}
	return nil
}

// bitset is a set of pages.
type bitset []uint64

func (s bitset) has(page uint64) bool { return s[page/64]&(1<<(page%64)) != 0 }
func (s bitset) add(page uint64)      { s[page/64] |= 1 << (page % 64) }
