package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/wal"
)

// said is an announcement of key by name with a seqnum.
func said(t testing.TB, key string, service announce.Service, seqnum uint64, more ...func(*announce.Announcement)) announce.Signed {
	t.Helper()
	a := announce.Announcement{Service: service, Seqnum: seqnum, Nickname: key}
	for _, m := range more {
		m(&a)
	}
	return registrytest.Sign(t, registrytest.Key(key), a)
}

func withdrawn(a *announce.Announcement) { a.Withdrawn = true }

func ttl(d time.Duration) func(*announce.Announcement) {
	return func(a *announce.Announcement) { a.TTL = d }
}

func nickname(s string) func(*announce.Announcement) {
	return func(a *announce.Announcement) { a.Nickname = s }
}

// The table of design rules, each row from nothing.
func TestJudge(t *testing.T) {
	live := func(t *testing.T) []announce.Signed { return []announce.Signed{said(t, "a", "storage", 5)} }
	gone := func(t *testing.T) []announce.Signed {
		return []announce.Signed{said(t, "a", "storage", 4), said(t, "a", "storage", 5, withdrawn)}
	}
	tests := []struct {
		name  string
		known func(*testing.T) []announce.Signed
		evict bool
		item  func(*testing.T) announce.Signed
		want  registry.Outcome
	}{
		{"nothing, announces", nil, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 0) }, registry.Accepted},
		{"nothing, withdraws", nil, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 3, withdrawn) }, registry.TakenBack},
		{"live, same bytes", live, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 5) }, registry.Duplicate},
		{"live, greater", live, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 6) }, registry.Accepted},
		{"live, greater withdraws", live, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 6, withdrawn) }, registry.TakenBack},
		{"live, equal other bytes", live, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 5, nickname("x")) }, registry.Stale},
		{"live, lower", live, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 4) }, registry.Stale},
		{"live, equal withdraws", live, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 5, withdrawn) }, registry.Stale},
		{"withdrawn, same bytes", gone, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 5, withdrawn) }, registry.Duplicate},
		{"withdrawn, replay of what was withdrawn", gone, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 4) }, registry.Stale},
		{"withdrawn, greater", gone, false, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 6) }, registry.Accepted},
		{"evicted, same bytes", live, true, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 5) }, registry.Accepted},
		{"evicted, greater withdraws", live, true, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 6, withdrawn) }, registry.TakenBack},
		{"evicted, equal other bytes", live, true, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 5, nickname("x")) }, registry.Stale},
		{"evicted, lower", live, true, func(t *testing.T) announce.Signed { return said(t, "a", "storage", 1) }, registry.Stale},
		{"other service", live, false, func(t *testing.T) announce.Signed { return said(t, "a", "helper", 1) }, registry.Accepted},
		{"other peer", live, false, func(t *testing.T) announce.Signed { return said(t, "b", "storage", 1) }, registry.Accepted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			r := registrytest.Open(t, dir, registry.Options{})
			if tt.known != nil {
				registrytest.Publish(t, r, tt.known(t)...)
			}
			if tt.evict {
				if n, err := r.Evict(context.Background(), registrytest.Key("a").PeerID()); n != 1 || err != nil {
					t.Fatalf("Evict: %d, %v; want 1, nil", n, err)
				}
			}
			// What is known survives a restart in every state (I6).
			registrytest.Close(t, r)
			r = registrytest.Open(t, dir, registry.Options{})
			defer registrytest.Close(t, r)
			before := r.Info().Last
			got := registrytest.Publish(t, r, tt.item(t))[0]
			if got.Outcome != tt.want {
				t.Fatalf("got %v (%s), want %v", got.Outcome, got.Reason, tt.want)
			}
			wrote := r.Info().Last - before
			if want := wal.Revision(1); tt.want == registry.Duplicate || tt.want == registry.Stale {
				if wrote != 0 {
					t.Errorf("%d records were written, want none", wrote)
				}
			} else if wrote != want || got.Revision != r.Info().Last {
				t.Errorf("%d records were written, at revision %d of %d", wrote, got.Revision, r.Info().Last)
			}
			if tt.want == registry.Stale && (got.CurrentSeqnum != 5 || got.Reason == "") {
				t.Errorf("current seqnum %d, reason %q; want 5 and a reason", got.CurrentSeqnum, got.Reason)
			}
		})
	}
}

// What the reference stores after each of its recorded publishes, where our rules agree with
// the reference's on whether a message is one at all.
func TestReferenceRules(t *testing.T) {
	raw, err := os.ReadFile("testdata/server_rules.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Scenarios []struct {
			Title string
			Steps []struct {
				Key, Message string
				Accepted     bool
			}
		}
	}
	if err := json.Unmarshal(raw, &recorded); err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, s := range recorded.Scenarios {
		t.Run(s.Title, func(t *testing.T) {
			r := registrytest.New(t)
			// The reference's state differs from ours once it took what we find malformed.
			diverged := false
			for i, step := range s.Steps {
				if _, err := announce.Parse([]byte(step.Message)); err != nil {
					diverged = diverged || step.Accepted
					got := registrytest.Publish(t, r, registrytest.Key(step.Key).Sign([]byte(step.Message)))[0]
					if got.Outcome != registry.Invalid {
						t.Errorf("step %d: got %v, want invalid", i, got.Outcome)
					}
					continue
				}
				got := registrytest.Publish(t, r, registrytest.Key(step.Key).Sign([]byte(step.Message)))[0]
				if diverged {
					continue
				}
				judged++
				if accepted := got.Outcome == registry.Accepted; accepted != step.Accepted {
					t.Errorf("step %d: got %v, the reference accepted: %v\n%s", i, got.Outcome, step.Accepted, step.Message)
				}
			}
		})
	}
	if judged < 15 {
		t.Errorf("only %d steps were compared with the reference", judged)
	}
}

// A bad announcement among good ones is refused alone, and results keep the order.
func TestBadAmongGood(t *testing.T) {
	r := registrytest.New(t)
	forged := said(t, "b", "storage", 1)
	forged.Signature = bytes.Clone(forged.Signature)
	forged.Signature[3] ^= 1
	got := registrytest.Publish(t, r,
		said(t, "a", "storage", 1), forged, registrytest.Key("c").Sign([]byte(`{"service-name":"storage"}`)),
		announce.Signed{Message: []byte("{}"), Signature: []byte{1}, PeerID: []byte{2}},
		said(t, "d", "storage", 1), said(t, "a", "storage", 1), said(t, "a", "storage", 2))
	want := []registry.Result{
		{Outcome: registry.Accepted, Revision: 1, CurrentSeqnum: 1},
		{Outcome: registry.BadSignature},
		{Outcome: registry.Invalid},
		{Outcome: registry.BadSignature},
		{Outcome: registry.Accepted, Revision: 2, CurrentSeqnum: 1},
		{Outcome: registry.Duplicate, Revision: 1, CurrentSeqnum: 1},
		{Outcome: registry.Accepted, Revision: 3, CurrentSeqnum: 2},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(registry.Result{}, "Reason")); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	for i, res := range got {
		if res.Outcome.Refused() != (res.Reason != "") {
			t.Errorf("item %d: %v with reason %q", i, res.Outcome, res.Reason)
		}
	}
	if got := r.Info(); got.Last != 3 || got.Peers != 2 {
		t.Errorf("last %d, peers %d; want 3 and 2: bad input leaves no trace (I10)", got.Last, got.Peers)
	}
}

func TestForbiddenAndFull(t *testing.T) {
	banned := registrytest.Key("banned").PeerID()
	r := registrytest.Open(t, t.TempDir(), registry.Options{MaxPeers: 2, Allow: func(_ announce.Service, id announce.PeerID) string {
		if id == banned {
			return "banned"
		}
		return ""
	}})
	defer registrytest.Close(t, r)
	got := registrytest.Publish(t, r,
		said(t, "banned", "storage", 1), said(t, "a", "storage", 1), said(t, "b", "storage", 1),
		said(t, "c", "storage", 1), said(t, "a", "storage", 2))
	var outcomes []registry.Outcome
	for _, res := range got {
		outcomes = append(outcomes, res.Outcome)
	}
	want := []registry.Outcome{registry.Forbidden, registry.Accepted, registry.Accepted, registry.Forbidden, registry.Accepted}
	if diff := cmp.Diff(want, outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// I7, and group commit: many publishers at once get revisions without holes or repeats, each
// publisher reads its own write, and far fewer syncs than publishes are needed.
func TestConcurrentPublishers(t *testing.T) {
	r := registrytest.New(t)
	const publishers, each = 16, 20
	var mu sync.Mutex
	seen := make(map[wal.Revision]bool)
	var wg sync.WaitGroup
	for p := range publishers {
		name := fmt.Sprint("node", p)
		var items []announce.Signed
		for n := range each {
			items = append(items, said(t, name, "storage", uint64(n)))
		}
		wg.Go(func() {
			for n, item := range items {
				res, err := r.Publish(context.Background(), []announce.Signed{item})
				if err != nil || res[0].Outcome != registry.Accepted {
					t.Errorf("%s %d: %v, %v", name, n, res, err)
					return
				}
				v := r.View("storage")
				p, ok := v.Peers.Get(registrytest.Key(name).PeerID())
				if !ok || p.Revision != res[0].Revision || v.Revision < p.Revision {
					t.Errorf("%s does not read its own write at revision %d", name, res[0].Revision)
				}
				mu.Lock()
				if seen[res[0].Revision] {
					t.Errorf("revision %d was given twice", res[0].Revision)
				}
				seen[res[0].Revision] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for rev := wal.Revision(1); rev <= publishers*each; rev++ {
		if !seen[rev] {
			t.Fatalf("revision %d is a hole", rev)
		}
	}
	var revs []wal.Revision
	for rec, err := range r.ReadLog(t.Context(), 0, registry.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		revs = append(revs, rec.Revision)
	}
	if len(revs) != publishers*each {
		t.Errorf("the log has %d records, want %d", len(revs), publishers*each)
	}
}

func TestClosedRegistryRefuses(t *testing.T) {
	r := registrytest.Open(t, t.TempDir(), registry.Options{})
	sub := r.Subscribe(nil, nil)
	defer sub.Close()
	if _, err := sub.Next(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := sub.Next(context.Background(), time.Hour)
		waiting <- err
	}()
	registrytest.Close(t, r)
	if err := <-waiting; !errors.Is(err, registry.ErrClosed) {
		t.Errorf("a waiting subscriber got %v, want ErrClosed", err)
	}
	if _, err := r.Publish(t.Context(), []announce.Signed{said(t, "a", "storage", 1)}); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Publish gave %v, want ErrClosed", err)
	}
}

// While one publish holds all the room, the next is told to come back; after it there is room
// again. What never fits is another error.
func TestOverload(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := registrytest.Key("slow").PeerID()
	r := registrytest.Open(t, t.TempDir(), registry.Options{MaxPendingBytes: 200, Allow: func(_ announce.Service, id announce.PeerID) string {
		if id == slow {
			entered <- struct{}{}
			<-leave
		}
		return ""
	}})
	defer registrytest.Close(t, r)
	done := make(chan error)
	go func() {
		_, err := r.Publish(context.Background(), []announce.Signed{said(t, "slow", "storage", 1)})
		done <- err
	}()
	<-entered
	if _, err := r.Publish(t.Context(), []announce.Signed{said(t, "a", "storage", 1)}); !errors.Is(err, registry.ErrOverloaded) {
		t.Errorf("got %v, want ErrOverloaded", err)
	}
	close(leave)
	<-entered // the rules are asked again when its turn comes
	if err := <-done; err != nil {
		t.Error(err)
	}
	registrytest.Publish(t, r, said(t, "a", "storage", 1))
	if _, err := r.Publish(t.Context(), []announce.Signed{said(t, "a", "storage", 2), said(t, "b", "storage", 2)}); !errors.Is(err, registry.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}
