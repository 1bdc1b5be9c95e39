package cache_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client/internal/cache"
)

const peers = 10_000

// grid is what peers different nodes say, each as large as a storage server's announcement.
var grid = sync.OnceValue(func() []said {
	all := make([]said, peers)
	for i := range all {
		key := announce.NewKeyFromSeed([32]byte(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i))))
		message, err := (&announce.Announcement{
			Service: announce.Storage, Seqnum: 1, Nickname: fmt.Sprintf("storage%05d", i), PermutationSeed: make([]byte, 32),
			FURL: fmt.Sprintf("pb://%032d@tcp:192.0.2.7:44801/%032d", i, i), Endpoints: []string{"https://192.0.2.7:44801/"},
		}).Message()
		if err != nil {
			panic(err)
		}
		s := key.Sign(message)
		all[i] = said{Key: cache.Key{Service: announce.Storage, ID: announce.PeerID(s.PeerID)}, Digest: s.Digest(), Signed: s, seqnum: 1}
	}
	return all
})

// full appends the grid as batch announcements in one Append, as three introducers announce it.
func full(b *testing.B, c *cache.Cache, batch int) {
	for _, url := range []string{one, two, "https://three.example"} {
		var ops []cache.Op
		for i, s := range grid() {
			if ops = append(ops, s.announced(url), s.raised(false)); (i+1)%batch == 0 {
				if err := c.Append(ops...); err != nil {
					b.Fatal(err)
				}
				ops = nil
			}
		}
		if err := c.Append(cache.Stand{Introducer: url, LogID: [16]byte{1}, Revision: peers}); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkOpen opens a cache of 10,000 peers that three introducers announced, and by turns verifies as
// many announcements and nothing else. over/verify is how much more the first takes: 0.20 is 20 % more.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "peers")
	c, _, err := cache.Open(path, cache.Options{})
	if err != nil {
		b.Fatal(err)
	}
	full(b, c, 100)
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	var opening, verifying time.Duration
	for b.Loop() {
		began := time.Now()
		c, s, err := cache.Open(path, cache.Options{})
		opening += time.Since(began)
		if err != nil || len(s.Announcements) != peers || s.Notes != nil {
			b.Fatal(err, len(s.Announcements), s.Notes)
		}
		b.StopTimer()
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		s = nil
		runtime.GC() // each begins alike
		began = time.Now()
		verifyAll(b)
		verifying += time.Since(began)
		runtime.GC()
		b.StartTimer()
	}
	b.ReportMetric(float64(opening-verifying)/float64(verifying), "over/verify")
	b.ReportMetric(float64(verifying.Milliseconds())/float64(b.N), "verify-ms/op")
	b.ReportMetric(float64(info.Size()), "file-bytes")
}

func verifyAll(b *testing.B) {
	v := announce.NewVerifier(peers)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < peers; i = next.Add(1) - 1 {
				if _, _, err := v.Open(grid()[i].Signed); err != nil {
					b.Error(err)
				}
			}
		})
	}
	workers.Wait()
}

// BenchmarkAppend fills a new cache with 10,000 peers of three introducers, until it is synced: each in
// an Append of its own, and in batches. The files that are written anew on the way are in it.
func BenchmarkAppend(b *testing.B) {
	grid()
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			b.ReportAllocs()
			var d disk
			for b.Loop() {
				c, _, err := cache.Open(filepath.Join(b.TempDir(), "peers"), d.options())
				if err != nil {
					b.Fatal(err)
				}
				full(b, c, batch)
				if err := c.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(d.written.Load())/float64(b.N), "written-bytes/op")
		})
	}
}

// BenchmarkChange appends one change to a full cache, and is as fast as to an empty one; what it costs to
// write the file anew now and then is in it.
func BenchmarkChange(b *testing.B) {
	for _, filled := range []bool{false, true} {
		b.Run(fmt.Sprintf("full=%t", filled), func(b *testing.B) {
			var d disk
			c, _, err := cache.Open(filepath.Join(b.TempDir(), "peers"), d.options())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			if filled {
				full(b, c, 100)
			}
			s := grid()[7]
			d.written.Store(0)
			for b.Loop() {
				if err := c.Append(s.announced(one), s.raised(false)); err != nil {
					b.Fatal(err)
				}
			}
			if err := c.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(d.written.Load())/float64(b.N), "written-bytes/op")
		})
	}
}
