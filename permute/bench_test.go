package permute_test

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"sort"
	"testing"

	"github.com/introducer/introducer/permute"
)

// Names are …/kernel=…/seed=…/N=…, which benchstat reads; ns/peer is what to compare. "naive" is
// what a program without this package would write, over the same peers in the same run.

var benchSizes = []int{10, 100, 1_000, 10_000, 100_000}

type benchPeer struct{ _ [64]byte }

// grid is n peers with seeds of one length.
type grid struct {
	n, seed int
	keys    []permute.Key
	seeds   [][]byte
	values  []*benchPeer
	index   [][]byte // storage indexes
}

func newGrid(n, seed int) *grid {
	rnd := newRandom(uint64(n))
	g := &grid{n: n, seed: seed}
	for range n {
		g.keys = append(g.keys, permute.Key(rnd.bytes(32)))
		g.seeds = append(g.seeds, rnd.bytes(seed))
		g.values = append(g.values, new(benchPeer))
	}
	sort.Slice(g.keys, func(i, j int) bool { return bytes.Compare(g.keys[i][:], g.keys[j][:]) < 0 })
	for range 64 {
		g.index = append(g.index, rnd.bytes(16))
	}
	return g
}

func (g *grid) table(kernel string) *permute.Table[*benchPeer] {
	e := permute.EmptyOn[*benchPeer](kernel).Edit()
	for i, k := range g.keys {
		e.Set(k, g.seeds[i], g.values[i])
	}
	return e.Table()
}

func (g *grid) name(kernel string) string {
	return fmt.Sprintf("kernel=%s/seed=%d/N=%d", kernel, g.seed, g.n)
}

// naive is sha1.Sum of each, sort.Slice of all.
func (g *grid) naive(dst []permute.Ranked[*benchPeer], si []byte) []permute.Ranked[*benchPeer] {
	var buf [permute.MaxStorageIndex + permute.MaxSeed]byte
	msg := append(buf[:0], si...)
	for i, k := range g.keys {
		id := sha1.Sum(append(msg, g.seeds[i]...))
		dst = append(dst, permute.Ranked[*benchPeer]{ID: id, Key: k, Value: g.values[i]})
	}
	sort.Slice(dst, func(i, j int) bool {
		c := bytes.Compare(dst[i].ID[:], dst[j].ID[:])
		return c < 0 || c == 0 && bytes.Compare(dst[i].Key[:], dst[j].Key[:]) < 0
	})
	return dst
}

// run reports the time per peer that lookup takes.
func (g *grid) run(b *testing.B, lookup func(si []byte)) {
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		lookup(g.index[i%len(g.index)])
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(g.n), "ns/peer")
}

func benchLookups(b *testing.B, limit int) {
	for _, seed := range []int{32, 52} {
		for _, n := range benchSizes {
			if seed == 52 && n != 1_000 {
				continue
			}
			g := newGrid(n, seed)
			b.Run(g.name("naive"), func(b *testing.B) {
				dst := make([]permute.Ranked[*benchPeer], 0, n)
				g.run(b, func(si []byte) { g.naive(dst, si) })
			})
			for _, kernel := range permute.Kernels() {
				table := g.table(kernel)
				b.Run(g.name(kernel), func(b *testing.B) {
					var s permute.Scratch
					dst := make([]permute.Ranked[*benchPeer], 0, n)
					q := permute.Query{Limit: limit}
					g.run(b, func(si []byte) { table.Append(dst, si, q, &s) })
				})
			}
		}
	}
}

func BenchmarkFull(b *testing.B)    { benchLookups(b, 0) }
func BenchmarkFirst10(b *testing.B) { benchLookups(b, 10) }

// BenchmarkHash is hashing alone.
func BenchmarkHash(b *testing.B) {
	for _, seed := range []int{32, 52} {
		g := newGrid(1_000, seed)
		for _, kernel := range permute.Kernels() {
			hash := permute.HashAll(g.table(kernel))
			b.Run(g.name(kernel), func(b *testing.B) { g.run(b, hash) })
		}
	}
}

// BenchmarkBatch is the first 10 for 1,000 storage indexes over 1,000 peers.
func BenchmarkBatch(b *testing.B) {
	g := newGrid(1_000, 32)
	rnd := newRandom(1)
	var sis [][]byte
	for range 1_000 {
		sis = append(sis, rnd.bytes(16))
	}
	for _, kernel := range permute.Kernels() {
		table := g.table(kernel)
		b.Run(g.name(kernel), func(b *testing.B) {
			var s permute.Scratch
			var dst []permute.Ranked[*benchPeer]
			for b.Loop() {
				table.Batch(sis, permute.Query{Limit: 10}, dst, &s, func(int, []permute.Ranked[*benchPeer]) bool { return true })
			}
			b.ReportMetric(float64(len(sis)*b.N)/b.Elapsed().Seconds(), "lookups/s")
		})
	}
}

// BenchmarkPermuted reads the first n of 100,000 from the iterator.
func BenchmarkPermuted(b *testing.B) {
	g := newGrid(100_000, 32)
	table := g.table(permute.Kernel())
	for _, n := range []int{10, 1_000, g.n} {
		b.Run(fmt.Sprintf("read=%d/%s", n, g.name(permute.Kernel())), func(b *testing.B) {
			g.run(b, func(si []byte) {
				left := n
				for range table.Permuted(si, nil) {
					if left--; left == 0 {
						break
					}
				}
			})
		})
	}
}

// BenchmarkBuild makes a table from sorted peers, as at a restart.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		g := newGrid(n, 32)
		b.Run(g.name(permute.Kernel()), func(b *testing.B) {
			g.run(b, func([]byte) { g.table(permute.Kernel()) })
		})
	}
}

// BenchmarkEdit changes one of 100,000 peers: a new one, and a new value for a known one.
func BenchmarkEdit(b *testing.B) {
	g := newGrid(100_000, 32)
	table := g.table(permute.Kernel())
	rnd := newRandom(1)
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			e := table.Edit()
			e.Set(permute.Key(rnd.bytes(32)), g.seeds[0], g.values[0])
			e.Table()
		}
	})
	b.Run("renew", func(b *testing.B) {
		for b.Loop() {
			i := rnd.IntN(g.n)
			e := table.Edit()
			e.Set(g.keys[i], g.seeds[i], g.values[0])
			e.Table()
		}
	})
}
