package registry_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
)

// announced is n services of one peer, in calls that each fit a group.
func announced(t *testing.T, key string, n int, more ...func(*announce.Announcement)) [][]announce.Signed {
	t.Helper()
	var calls [][]announce.Signed
	for i := range n {
		if i%registry.MaxGroup == 0 {
			calls = append(calls, nil)
		}
		last := &calls[len(calls)-1]
		*last = append(*last, said(t, key, announce.Service(fmt.Sprint("service", i)), 1, more...))
	}
	return calls
}

// What ends at once may be more than one group holds: by eviction and by expiry all of it
// ends, no group is larger than its bound, and writing goes on.
func TestMoreEndsThanFitsAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// No two readings of the clock are equal, so that a record's time tells its group.
		var readings atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(readings.Add(1))) }
		r := registrytest.Open(t, t.TempDir(), registry.Options{Now: now})
		defer registrytest.Close(t, r)
		const n = registry.MaxGroup + 100
		calls := announced(t, "a", n, ttl(time.Minute))
		live := func(want int) {
			t.Helper()
			if got := r.Info().Peers; got != want {
				t.Fatalf("%d announcements are live, want %d", got, want)
			}
		}
		publish := func() {
			t.Helper()
			for _, items := range calls {
				registrytest.Publish(t, r, items...)
			}
			live(n)
		}

		ended := func(why registry.State) {
			t.Helper()
			groups := make(map[time.Time]int)
			for _, p := range latest(t, r) {
				if groups[p.Announced()]++; p.State != why || groups[p.Announced()] > registry.MaxGroup {
					t.Fatalf("revision %d made %s %v, as number %d of its group", p.Revision, p.Service, p.State, groups[p.Announced()])
				}
			}
			if len(groups) != 2 {
				t.Errorf("%d groups ended them, want 2", len(groups))
			}
		}

		publish()
		got, err := r.Evict(t.Context(), registrytest.Key("a").PeerID())
		if got != n || err != nil {
			t.Fatalf("Evict: %d, %v; want %d, nil", got, err, n)
		}
		live(0)
		ended(registry.Evicted)
		publish() // the same bytes: after an eviction they are news
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		live(0)
		ended(registry.Expired)
		registrytest.Publish(t, r, said(t, "b", "storage", 1))
		live(1)
	})
}

// Whoever is banned and evicted while an announcement of theirs is on its way does not come
// back by it.
func TestBanOvertakesWhatIsOnItsWay(t *testing.T) {
	var banned, looked atomic.Bool
	asked, goOn := make(chan struct{}), make(chan struct{})
	r := registrytest.Open(t, t.TempDir(), registry.Options{Allow: func(announce.Service, announce.PeerID) string {
		if banned.Load() {
			return "banned"
		}
		if looked.CompareAndSwap(false, true) {
			close(asked)
			<-goOn // no longer banned than it looked
		}
		return ""
	}})
	defer registrytest.Close(t, r)
	item := said(t, "a", "storage", 1)
	done := make(chan registry.Result, 1)
	go func() {
		res, err := r.Publish(context.Background(), []announce.Signed{item})
		if err != nil {
			t.Error(err)
			res = make([]registry.Result, 1)
		}
		done <- res[0]
	}()
	<-asked
	banned.Store(true)
	if n, err := r.Evict(t.Context(), registrytest.Key("a").PeerID()); n != 0 || err != nil {
		t.Errorf("Evict: %d, %v; want 0, nil", n, err)
	}
	close(goOn)
	if got := <-done; got.Outcome != registry.Forbidden || got.Reason != "banned" {
		t.Errorf("got %v (%s), want forbidden (banned)", got.Outcome, got.Reason)
	}
	if r.View("storage").Peers.Len() != 0 || r.Info().Last != 0 {
		t.Error("banned, evicted, and live")
	}
}
