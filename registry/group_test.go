package registry_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/wal"
)

// More than a group holds is refused whole, and harms nobody else.
func TestTooManyAtOnce(t *testing.T) {
	r := registrytest.New(t)
	items := make([]announce.Signed, registry.MaxGroup+1)
	for i := range items {
		items[i] = announce.Signed{PeerID: make([]byte, 32), Signature: make([]byte, 64), Message: []byte("{}")}
	}
	items[0] = said(t, "a", "storage", 1)
	if _, err := r.Publish(t.Context(), items); !errors.Is(err, registry.ErrTooLarge) {
		t.Errorf("%d items: got %v, want ErrTooLarge", len(items), err)
	}
	if last := r.Info().Last; last != 0 {
		t.Errorf("%d records were written, want none", last)
	}
	if got := registrytest.Publish(t, r, items[:registry.MaxGroup]...)[0]; got.Outcome != registry.Accepted {
		t.Errorf("the first of as many as fit: %v, want accepted", got.Outcome)
	}
}

// The room that an announcement takes on its way is given back, whatever becomes of it.
func TestRoomIsGivenBack(t *testing.T) {
	first, second := said(t, "a", "storage", 1), said(t, "a", "storage", 2)
	forged := said(t, "a", "storage", 1)
	forged.Signature = make([]byte, 64)
	r := registrytest.Open(t, t.TempDir(), registry.Options{MaxPendingBytes: int64(len(first.Message)) + 104})
	defer registrytest.Close(t, r)
	tests := []struct {
		item announce.Signed
		want registry.Outcome
	}{
		{forged, registry.BadSignature},
		{first, registry.Accepted},
		{first, registry.Duplicate},
		{second, registry.Accepted},
		{first, registry.Stale},
		{forged, registry.BadSignature},
		{second, registry.Duplicate},
	}
	for i, tt := range tests {
		got, err := r.Publish(t.Context(), []announce.Signed{tt.item})
		if err != nil || got[0].Outcome != tt.want {
			t.Fatalf("publish %d: %v, %v; want %v", i, got, err, tt.want)
		}
	}
}

// What waits but does not fit the next group is written by the one after it, without anyone
// having to come and push.
func TestRestOfTheQueueIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := registrytest.Key("slow").PeerID()
		leave := make(chan struct{})
		asked := 0 // by the publisher first, then by the sequencer
		r := registrytest.Open(t, t.TempDir(), registry.Options{Allow: func(_ announce.Service, id announce.PeerID) string {
			if id == slow {
				if asked++; asked == 2 {
					<-leave
				}
			}
			return ""
		}})
		defer registrytest.Close(t, r)
		registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1), said(t, "c", "storage", 1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		item := said(t, "slow", "storage", 1)
		errs := make(chan error, 4)
		go func() {
			_, err := r.Publish(ctx, []announce.Signed{item})
			errs <- err
		}()
		synctest.Wait() // the sequencer is in the middle of that one
		for _, name := range []string{"a", "b", "c"} {
			go func() { // each takes a group for itself
				n, err := r.Evict(ctx, registrytest.Key(name).PeerID())
				if err == nil && n != 1 {
					err = fmt.Errorf("%d announcements of %s were evicted, want 1", n, name)
				}
				errs <- err
			}()
		}
		synctest.Wait()
		close(leave)
		for range 4 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// MaxPeers counts what is kept, over calls and restarts: each (service, peer id) once, live or
// gone. Those known may go on.
func TestPeersKeptAreCounted(t *testing.T) {
	dir := t.TempDir()
	var r *registry.Registry
	opened := func(max int) { r = registrytest.Open(t, dir, registry.Options{MaxPeers: max}) }
	seqnum := uint64(0)
	check := func(key string, want registry.Outcome) {
		t.Helper()
		seqnum++
		if got := registrytest.Publish(t, r, said(t, key, "storage", seqnum))[0]; got.Outcome != want {
			t.Errorf("%s: got %v (%s), want %v", key, got.Outcome, got.Reason, want)
		}
	}
	opened(3)
	check("a", registry.Accepted)
	check("a", registry.Accepted)
	registrytest.Publish(t, r, said(t, "b", "storage", 1, withdrawn))
	check("c", registry.Accepted)
	check("d", registry.Forbidden)
	if _, err := r.Evict(t.Context(), registrytest.Key("c").PeerID()); err != nil {
		t.Fatal(err)
	}
	check("d", registry.Forbidden) // the tombstone is kept
	for _, how := range []string{"from the index", "from the log"} {
		t.Log(how)
		registrytest.Close(t, r)
		if how == "from the log" {
			if err := os.Remove(filepath.Join(dir, "grid", "index")); err != nil {
				t.Fatal(err)
			}
		}
		opened(3)
		check("d", registry.Forbidden)
		for _, known := range []string{"a", "b", "c"} {
			check(known, registry.Accepted)
		}
	}
	registrytest.Close(t, r)
	opened(4)
	defer func() { registrytest.Close(t, r) }()
	check("d", registry.Accepted)
	check("e", registry.Forbidden)
}

// A group of several services wakes the subscribers of each.
func TestGroupWakesEachOfItsServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.Open(t, t.TempDir(), registry.Options{})
		defer registrytest.Close(t, r)
		services := []announce.Service{"helper", "storage", "upload_storage"}
		got := make(chan string, len(services))
		var want []string
		for _, name := range services {
			s := r.Subscribe([]announce.Service{name}, nil)
			defer s.Close()
			if _, err := s.Next(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			go func() {
				b, err := s.Next(context.Background(), time.Hour)
				got <- fmt.Sprintf("%s: %d changes after %v, %v", name, len(b.Changes), time.Since(start), err)
			}()
			want = append(want, fmt.Sprintf("%s: 1 changes after 0s, <nil>", name))
		}
		synctest.Wait()
		var items []announce.Signed
		for _, name := range services {
			items = append(items, said(t, "a", name, 1))
		}
		registrytest.Publish(t, r, items...)
		heard := make(map[string]bool)
		for range services {
			heard[<-got] = true
		}
		for _, line := range want {
			if !heard[line] {
				t.Errorf("missing %q; heard %v", line, heard)
			}
		}
	})
}

// Publishers do not wait for the waking of subscribers.
func TestWakingDelaysNoPublisher(t *testing.T) {
	r := registrytest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	release := registry.HoldHub(r)
	defer release()
	for n := range uint64(3) {
		if _, err := r.Publish(ctx, []announce.Signed{said(t, "a", "storage", n)}); err != nil {
			t.Fatal(err)
		}
	}
}

// I9: whatever a reader sees while groups become visible was the state at the revision named. The groups are large, so that becoming visible takes a while.
func TestViewsNameTheirRevision(t *testing.T) {
	r := registrytest.New(t)
	items := announced(t, "a", 1200)[0]
	watched := []announce.Service{"service0", announce.Service(fmt.Sprint("service", len(items)-1))}
	type view struct {
		Service  announce.Service
		Revision wal.Revision
		Peers    int
	}
	seen := make(map[view]bool)
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, name := range watched {
				v := r.View(name)
				seen[view{name, v.Revision, v.Peers.Len()}] = true
			}
		}
	})
	type change struct {
		revision wal.Revision
		peers    int
	}
	history := make(map[announce.Service][]change)
	note := func() {
		t.Helper()
		for _, p := range latest(t, r) {
			history[p.Service] = append(history[p.Service], change{p.Revision, map[registry.State]int{registry.Live: 1}[p.State]})
		}
	}
	for range 3 {
		registrytest.Publish(t, r, items...)
		note()
		if _, err := r.Evict(t.Context(), registrytest.Key("a").PeerID()); err != nil {
			t.Fatal(err)
		}
		note()
	}
	close(stop)
	reader.Wait()

	for v := range seen {
		want := 0
		for _, c := range history[v.Service] {
			if c.revision <= v.Revision {
				want = c.peers
			}
		}
		if v.Peers != want {
			t.Errorf("a view of %s at revision %d has %d peers, it had %d", v.Service, v.Revision, v.Peers, want)
		}
	}
}

// Of two services that change in turn, more than one batch holds, a subscriber gets the oldest
// first and hears that it is at the head only there.
func TestSeveralServicesInPages(t *testing.T) {
	r := registrytest.New(t)
	var items []announce.Signed
	for n := range 700 {
		items = append(items, said(t, fmt.Sprint("node", n), []announce.Service{"helper", "storage"}[n%2], 1))
	}
	registrytest.Publish(t, r, items...)
	s, m := subscribe(t, r, []announce.Service{"storage", "helper"}, nil, registry.ResetNew)
	var sizes []int
	for at := false; !at; {
		b, err := s.Next(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		m.apply(t, b)
		at = b.AtHead
		sizes = append(sizes, len(b.Changes))
	}
	if diff := cmp.Diff([]int{512, 188}, sizes); diff != "" || len(m.peers) != 700 {
		t.Errorf("%d peers in batches of (-want +got):\n%s", len(m.peers), diff)
	}
}

// A subscriber that keeps reading reaches the head although peers change as fast as it reads.
func TestHeadIsReachedUnderChurn(t *testing.T) {
	r := registrytest.New(t)
	const peers, each = 700, 520 // more than a first page change between two reads
	at := 0
	seqnum := uint64(0)
	churn := func(n int) {
		t.Helper()
		var items []announce.Signed
		for range n {
			seqnum++
			items = append(items, said(t, fmt.Sprint("node", at%peers), "storage", seqnum))
			at++
		}
		registrytest.Publish(t, r, items...)
	}
	churn(peers)
	s, m := subscribe(t, r, nil, nil, registry.ResetNew)
	for range 6 {
		b, err := s.Next(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		m.apply(t, b)
		if b.AtHead {
			return
		}
		churn(each)
	}
	t.Errorf("after 6 batches it is at revision %d of %d", m.token.Revision, r.Info().Last)
}
