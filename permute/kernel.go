package permute

import (
	"crypto/sha1"
	"encoding/binary"
	"math/bits"
)

// kernel is a way to hash the seeds of a page. A table keeps to one, since it decides how a
// page's words lie.
type kernel uint8

const (
	_ kernel = iota // not chosen yet
	pureGo
	amd64SHANI
	amd64AVX512
)

var kernelNames = [...]string{
	pureGo:      "pure go",
	amd64SHANI:  "amd64 sha-ni",
	amd64AVX512: "amd64 avx-512",
}

func (k kernel) String() string { return kernelNames[k] }

// columns says whether a page's words lie word by word.
func (k kernel) columns() bool { return k == amd64AVX512 }

// Kernel says how this machine hashes seeds: "amd64 avx-512", "amd64 sha-ni" or "pure go", which
// leaves it to crypto/sha1.
func Kernel() string { return best().String() }

func best() kernel { return runnable()[0] }

// prefix is the storage index as the kernels want it. Assembly knows its layout.
type prefix struct {
	// For a storage index of indexSize bytes: its words, and the state (a, b, c, d, e) after
	// rounds 0 to 3, which depend on nothing else.
	words [indexSize / 4]uint32
	state [5]uint32

	n int
	b [MaxStorageIndex]byte
}

// SHA-1's constants, FIPS 180-4 §4.2.1 and §5.3.1.
var (
	roundConstants = [4]uint32{0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6}
	initialState   = [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
)

func (p *prefix) set(storageIndex []byte) {
	p.n = copy(p.b[:], storageIndex)
	if p.n != indexSize {
		return
	}
	s := initialState
	for i := range p.words {
		w := binary.BigEndian.Uint32(p.b[4*i:])
		f := s[1]&s[2] | ^s[1]&s[3]
		t := bits.RotateLeft32(s[0], 5) + f + s[4] + roundConstants[0] + w
		p.words[i], s = w, [5]uint32{t, s[0], bits.RotateLeft32(s[1], 30), s[2], s[3]}
	}
	p.state = s
}

// hashAny is for a storage index of any length, and pages that lie in any way. The storage indexes
// of grids have indexSize bytes; others are not worth a second way to prepare seeds.
func hashAny(sums *sums, p *page, prefix *prefix) {
	var buf [MaxStorageIndex + 4*(firstWords+secondWords)]byte
	si := append(buf[:0], prefix.b[:prefix.n]...)
	for i := range p.n {
		sum := sha1.Sum(p.appendSeed(si, i))
		sums.put(i, sum[:])
	}
}

func (s *sums) put(i int, sum []byte) {
	for r := range s {
		s[r][i] = binary.BigEndian.Uint32(sum[4*r:])
	}
}
