package bench_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
)

// childDir names the data directory that a child process of BenchmarkRestart opens.
const childDir = "INTRODUCER_BENCH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		restartChild(dir)
		return
	}
	os.Exit(m.Run())
}

// restartChild opens the registry as a daemon would and says what it took.
func restartChild(dir string) {
	start := time.Now()
	r := open(dir)
	ready := time.Since(start)
	// One lookup proves that it serves.
	peers := r.View("storage").Peers.Len()
	fmt.Println(ready.Nanoseconds(), residentBytes(), peers)
	r.Close()
}

func open(dir string) *registry.Registry {
	d, err := datadir.Open(dir, datadir.Options{})
	if err != nil {
		panic(err)
	}
	r, err := registry.Open(context.Background(), d, registry.Options{})
	if err != nil {
		panic(err)
	}
	return r
}

// residentBytes is this process's resident memory, mapped files included.
func residentBytes() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// signed is an announcement of the size that real nodes send, about 450 bytes of message.
func signed(node int, seqnum uint64) announce.Signed {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(node))
	key := announce.NewKeyFromSeed(sha256.Sum256(seed[:]))
	a := announce.Announcement{
		Service: "storage", Seqnum: seqnum, Nickname: fmt.Sprintf("storage%06d", node),
		PermutationSeed: []byte(key.PeerID().String()[3:]),
		FURL:            fmt.Sprintf("pb://62ubehyunnyhzs7r6vdonnm2hpi52w6y@tcp:192.0.2.7:44801/%032d", node),
		NURLs:           []string{fmt.Sprintf("pb://gyniB4CC1UtFvwLynAdztjALTXDboVY4TlbSD6TXe94@192.0.2.7:44801/%032d#v=1", node)},
	}
	message, err := a.Message()
	if err != nil {
		panic(err)
	}
	return key.Sign(message)
}

func publish(r *registry.Registry, items []announce.Signed) {
	results, err := r.Publish(context.Background(), items)
	if err != nil {
		panic(err)
	}
	for _, res := range results {
		if res.Outcome != registry.Accepted {
			panic(res.Reason)
		}
	}
}

// BenchmarkRestart opens a directory of 100,000 announcements in a process of its own. It
// reports the time to be ready and the resident memory beside the payload's size.
func BenchmarkRestart(b *testing.B) {
	const peers = 100_000
	dir := b.TempDir()
	r := open(dir)
	var payload int64
	for n := 0; n < peers; n += 1000 {
		var items []announce.Signed
		for k := range 1000 {
			s := signed(n+k, 1)
			payload += int64(len(s.Message) + len(s.Signature) + len(s.PeerID))
			items = append(items, s)
		}
		publish(r, items)
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var ready, resident int64
	for b.Loop() {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		var ns, rss int64
		var known int
		if _, err := fmt.Sscan(string(out), &ns, &rss, &known); err != nil || known != peers {
			b.Fatalf("the child said %q: %v", out, err)
		}
		ready += ns
		resident = max(resident, rss)
	}
	b.ReportMetric(float64(ready)/float64(b.N)/1e6, "ready-ms")
	b.ReportMetric(float64(resident)/float64(payload), "rss/payload")
	b.ReportMetric(float64(payload)/peers, "bytes/announcement")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPublish has callers publish single announcements, and reports how many syncs of
// the log each took.
func BenchmarkPublish(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			d, err := datadir.Open(b.TempDir(), datadir.Options{})
			if err != nil {
				b.Fatal(err)
			}
			r, err := registry.Open(context.Background(), d, registry.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			items := make([]announce.Signed, b.N)
			for n := range items {
				items[n] = signed(n%1000, uint64(n))
			}
			before := d.Log.Stats()
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for n := next.Add(1) - 1; n < int64(b.N); n = next.Add(1) - 1 {
						// A later seqnum of a peer may overtake an earlier one: stale is an answer too.
						if _, err := r.Publish(context.Background(), items[n:n+1]); err != nil {
							panic(err)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			after := d.Log.Stats()
			b.ReportMetric(float64(after.Syncs-before.Syncs)/float64(b.N), "syncs/publish")
		})
	}
}
