package client_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/registry/registrytest"
)

// real is an announcement of about the size of a storage server's on a grid.
func real(t testing.TB, i int) announce.Signed {
	return signed(t, fmt.Sprint("node ", i), announce.Announcement{
		Service: storage, Seqnum: 1, Nickname: fmt.Sprintf("node %d of the grid", i),
		FURL:            fmt.Sprintf("pb://pfvkk5mzw3uyhoxkf5oemwvvgd2h3s%02d@tcp:198.51.%d.%d:3457/swissnumofthestorageserver%06d", i%100, i/256%256, i%256, i),
		PermutationSeed: binary.BigEndian.AppendUint32(make([]byte, 28), uint32(i)),
		Extra:           map[string]json.RawMessage{"my-version": json.RawMessage(`"tahoe-lafs/1.20.0"`), "nonce": json.RawMessage(`"0123456789abcdef"`)},
	})
}

// grid is an introducer on a real socket that knows n nodes.
func grid(b *testing.B, n int) (url string, all []announce.Signed, h *host) {
	b.Helper()
	w := newWorld(b)
	h = w.serve(urlA, b.TempDir())
	for i := range n {
		all = append(all, real(b, i))
	}
	for part := range slices.Chunk(all, 1000) {
		h.put(b, part...)
	}
	return listen(b, h), all, h
}

// verifyAlone verifies all on all cores, and nothing else.
func verifyAlone(b *testing.B, all []announce.Signed) time.Duration {
	b.Helper()
	began := time.Now()
	v := announce.NewVerifier(1 << 15)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				if _, _, err := v.Open(all[i]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	workers.Wait()
	return time.Since(began)
}

// BenchmarkCatchUp is the way from nothing to the complete, verified picture of 10,000 peers, over a socket,
// as a multiple of what verifying alone takes in the same run. The introducer works on the same cores.
func BenchmarkCatchUp(b *testing.B) {
	const n = 10_000
	url, all, _ := grid(b, n)
	for _, cached := range []bool{false, true} {
		b.Run(map[bool]string{false: "memory", true: "cache"}[cached], func(b *testing.B) {
			var alone, whole time.Duration
			for range b.N {
				alone += verifyAlone(b, all)
				opts := client.Options{Introducers: []string{url}, Services: []announce.Service{storage}}
				if cached {
					opts.Dir = b.TempDir()
				}
				runtime.GC()
				began := time.Now()
				c, err := client.Open(b.Context(), opts)
				if err != nil {
					b.Fatal(err)
				}
				if err := c.WaitSynced(b.Context()); err != nil {
					b.Fatal(err)
				}
				whole += time.Since(began)
				if got := len(c.Peers(storage)); got != n {
					b.Fatalf("%d peers", got)
				}
				closeClient(b, c)
			}
			b.ReportMetric(float64(alone.Milliseconds())/float64(b.N), "ms-verify-alone")
			b.ReportMetric(float64(whole.Milliseconds())/float64(b.N), "ms-catch-up")
			b.ReportMetric(whole.Seconds()/alone.Seconds(), "x-verify")
		})
	}
}

// BenchmarkStart is the start of a node that knows 10,000 peers from its cache, up to its first lookup.
func BenchmarkStart(b *testing.B) {
	const n = 10_000
	url, all, _ := grid(b, n)
	opts := client.Options{Introducers: []string{url}, Services: []announce.Service{storage}, Dir: b.TempDir()}
	var alone, whole time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		c, err := client.Open(b.Context(), opts)
		if err != nil {
			b.Fatal(err)
		}
		if got := len(c.Peers(storage)); i > 0 && got != n {
			b.Fatalf("%d peers", got)
		}
		if i > 0 {
			whole += time.Since(began)
			alone += verifyAlone(b, all)
		}
		if err := c.WaitSynced(b.Context()); err != nil {
			b.Fatal(err)
		}
		closeClient(b, c)
	}
	b.ReportMetric(whole.Seconds()/max(alone.Seconds(), 1e-9), "x-verify")
}

// BenchmarkChange is the way of one change in a service of 10,000 peers from the introducer to
// PermutedPeers.
func BenchmarkChange(b *testing.B) {
	url, _, h := grid(b, 10_000)
	c, err := client.Open(b.Context(), client.Options{Introducers: []string{url}, Services: []announce.Service{storage}})
	if err != nil {
		b.Fatal(err)
	}
	defer closeClient(b, c)
	if err := c.WaitSynced(b.Context()); err != nil {
		b.Fatal(err)
	}
	id := permute.Key(registrytest.Key("node 7").PeerID())
	seqnum := uint64(1)
	for b.Loop() {
		seqnum++
		b.StopTimer()
		next := sign(b, "node 7", seqnum)
		b.StartTimer()
		h.put(b, next)
		for s := range c.Statuses(b.Context()) {
			_ = s
			if p, _ := c.Table(storage).Get(id); p.Seqnum == seqnum {
				break
			}
		}
	}
}

// BenchmarkFirst10 compares the first ten of a thousand peers with package permute alone.
func BenchmarkFirst10(b *testing.B) {
	url, _, _ := grid(b, 1_000)
	c, err := client.Open(b.Context(), client.Options{Introducers: []string{url}, Services: []announce.Service{storage}})
	if err != nil {
		b.Fatal(err)
	}
	defer closeClient(b, c)
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if err := c.WaitSynced(ctx); err != nil {
		b.Fatal(err)
	}
	si := make([]byte, 16)
	b.Run("permute alone", func(b *testing.B) {
		t := c.Table(storage)
		var s permute.Scratch
		var buf []permute.Ranked[*client.Peer]
		for b.Loop() {
			si[0]++
			buf = t.Append(buf[:0], si, permute.Query{Limit: 10}, &s)
		}
	})
	b.Run("permute iterator alone", func(b *testing.B) {
		t := c.Table(storage)
		for b.Loop() {
			si[0]++
			n := 0
			for range t.Permuted(si, nil) {
				if n++; n == 10 {
					break
				}
			}
		}
	})
	b.Run("FirstPeers", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			si[0]++
			if got := c.FirstPeers(storage, si, 10); len(got) != 10 {
				b.Fatal(len(got))
			}
		}
	})
	b.Run("PermutedPeers", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			si[0]++
			n := 0
			for range c.PermutedPeers(storage, si) {
				if n++; n == 10 {
					break
				}
			}
		}
	})
}

// BenchmarkMemory is what a client of 10,000 peers and three introducers keeps.
func BenchmarkMemory(b *testing.B) {
	const n = 10_000
	w := newWorld(b)
	var all []announce.Signed
	for i := range n {
		all = append(all, real(b, i))
	}
	for _, url := range []string{urlA, urlB, urlC} {
		h := w.serve(url, b.TempDir())
		for part := range slices.Chunk(all, 1000) {
			h.put(b, part...)
		}
	}
	for b.Loop() {
		before := inUse()
		c := w.open(client.Options{Introducers: []string{urlA, urlB, urlC}})
		for s := range c.Statuses(b.Context()) {
			if !slices.ContainsFunc(s.Introducers, func(i client.IntroducerStatus) bool { return i.State != client.Synced }) {
				break
			}
		}
		b.ReportMetric(float64(inUse()-before)/n, "B/peer")
		closeClient(b, c)
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
