package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// BenchmarkOpen opens, which reads and checks the whole file, without loading.
func BenchmarkOpen(b *testing.B) {
	perSize(b, func(b *testing.B, path string, n int) {
		for b.Loop() {
			x, err := store.Open(path, store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			x.Close()
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	perSize(b, func(b *testing.B, path string, n int) {
		x := open(b, path)
		b.ReportAllocs()
		for b.Loop() {
			got := 0
			if err := x.Load(func(store.Entry) error { got++; return nil }); err != nil || got != n {
				b.Fatalf("%d entries, %v", got, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
	})
}

func perSize(b *testing.B, f func(b *testing.B, path string, n int)) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "index")
			p, all := realistic(n)
			if err := store.Build(path, p, all); err != nil {
				b.Fatal(err)
			}
			f(b, path, n)
		})
	}
}

// BenchmarkApply changes 256 entries out of 100,000 in each transaction, scattered as real changes
// are. It is mostly the disk's time for two syncs.
func BenchmarkApply(b *testing.B) {
	const n, group = 100_000, 256
	path := filepath.Join(b.TempDir(), "index")
	p, all := realistic(n)
	if err := store.Build(path, p, all); err != nil {
		b.Fatal(err)
	}
	x := open(b, path)
	set := make([]store.Entry, group)
	peer := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		p = position(p.Revision + group)
		for i := range set {
			peer = (peer + 7919) % n
			set[i] = entry("upload_storage", peer, p.Revision-group+wal.Revision(i)+1)
		}
		if err := x.Apply(p, set, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*group/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkBuild(b *testing.B) {
	const n = 100_000
	p, all := realistic(n)
	dir := b.TempDir()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := store.Build(path, p, all); err != nil {
			b.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/n, "B/entry")
		os.Remove(path)
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "entries/s")
}
