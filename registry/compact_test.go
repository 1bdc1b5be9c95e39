package registry_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// byHand compacts only when told, and retains for the times given.
func byHand(history, tombstones time.Duration) registry.Options {
	return registry.Options{RetainHistory: history, RetainTombstones: tombstones, CompactEvery: -1, Heartbeat: time.Hour}
}

// wallClock is a clock that stands still unless moved.
type wallClock struct {
	start time.Time
	moved atomic.Int64
}

func newClock() *wallClock { return &wallClock{start: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

func (c *wallClock) Now() time.Time      { return c.start.Add(time.Duration(c.moved.Load())) }
func (c *wallClock) Add(d time.Duration) { c.moved.Add(int64(d)) }

func compact(t testing.TB, r *registry.Registry) {
	t.Helper()
	if err := r.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// history is every record that the log still holds, by revision.
func history(t testing.TB, r *registry.Registry, from wal.Revision) ([]wal.Revision, error) {
	t.Helper()
	var all []wal.Revision
	for rec, err := range r.ReadLog(t.Context(), from, registry.Filter{}) {
		if err != nil {
			return all, err
		}
		all = append(all, rec.Revision)
	}
	return all, nil
}

// What compaction leaves is the state as it was, without the tombstones whose time is over: at once, from
// the index, and from the log alone (I3), over random histories.
func TestCompactionKeepsTheState(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 3))
				dir := t.TempDir()
				// Not hours: the store has timers of its own, which tick through all of them.
				const unit = time.Minute
				const retain = 10 * unit
				opts := byHand(time.Duration(rng.IntN(20)-1)*unit, retain)
				r := registrytest.Open(t, dir, opts)
				defer func() { registrytest.Close(t, r) }()
				var up time.Duration // how long the introducer has been running
				aged := make(map[wal.Revision]time.Duration)
				for round := range 20 {
					var items []announce.Signed
					for range rng.IntN(30) {
						more := []func(*announce.Announcement){nickname(fmt.Sprint(rng.Uint64()))}
						if rng.IntN(5) == 0 {
							more = append(more, withdrawn)
						} else if rng.IntN(5) == 0 {
							more = append(more, ttl(time.Duration(1+rng.IntN(10))*unit))
						}
						service := []announce.Service{"storage", "helper", announce.Service(fmt.Sprint("rare", rng.IntN(30)))}[rng.IntN(3)]
						items = append(items, said(t, fmt.Sprint("node", rng.IntN(12)), service, uint64(round*100+len(items)), more...))
					}
					if len(items) > 0 {
						registrytest.Publish(t, r, items...)
					}
					if _, err := r.Evict(t.Context(), registrytest.Key(fmt.Sprint("node", rng.IntN(12))).PeerID()); err != nil {
						t.Fatal(err)
					}
					for _, p := range registry.States(r) {
						if _, ok := aged[p.Revision]; !ok {
							aged[p.Revision] = up
						}
					}
					nap := time.Duration(rng.IntN(5)) * unit
					time.Sleep(nap)
					synctest.Wait()
					for _, p := range registry.States(r) { // expired meanwhile: when, is on record
						if _, ok := aged[p.Revision]; !ok {
							aged[p.Revision] = up + p.Announced().Sub(time.Now().Add(-nap))
						}
					}
					up += nap

					before, tombstones := stateOf(t, r), 0
					want := before
					want.Peers = nil
					for i, p := range registry.States(r) {
						if p.State != registry.Live && up-aged[p.Revision] >= retain {
							tombstones++
							want.Info.First = p.Revision
							continue
						}
						want.Peers = append(want.Peers, before.Peers[i])
					}
					was := r.Storage()
					compact(t, r)
					if diff := cmp.Diff(want, stateOf(t, r)); diff != "" {
						t.Fatalf("round %d, %d tombstones go (-want +got):\n%s", round, tombstones, diff)
					}
					now := r.Storage()
					if held, err := history(t, r, 0); err != nil || uint64(len(held)) != now.Records || was.Records-now.Records != now.Compaction.Dropped && now.Records != was.Records {
						t.Fatalf("round %d: %d records are read, %v; storage says %+v, before %+v", round, len(held), err, now, was)
					}
					switch rng.IntN(4) {
					case 0:
						registrytest.Close(t, r)
						r = registrytest.Open(t, dir, opts)
					case 1:
						registrytest.Close(t, r)
						removeIndex(t, dir)
						r = registrytest.Open(t, dir, opts)
					}
					if diff := cmp.Diff(want, stateOf(t, r)); diff != "" {
						t.Fatalf("round %d, after a restart (-want +got):\n%s", round, diff)
					}
				}
				if s := r.Storage(); s.History == 1 || s.Resume == 0 {
					t.Errorf("nothing was ever dropped: %+v", s)
				}
			})
		})
	}
}

// Retention: what is superseded stays until its time is over, on the introducer's clock and not the
// wall's; what is current stays for ever.
func TestRetention(t *testing.T) {
	dir := t.TempDir()
	at := newClock()
	opts := byHand(3*time.Hour, 5*time.Hour)
	opts.Now = at.Now
	r := registrytest.Open(t, dir, opts)
	defer func() { registrytest.Close(t, r) }()
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1)) // 1, 2 at 0 h
	at.Add(time.Hour)
	registrytest.Publish(t, r, said(t, "a", "storage", 2), said(t, "b", "storage", 2, withdrawn)) // 3, 4 at 1 h
	at.Add(time.Hour)
	registrytest.Publish(t, r, said(t, "a", "storage", 3)) // 5 at 2 h
	for _, step := range []struct {
		passes, away time.Duration
		held         []wal.Revision
		states       int
		first        wal.Revision // of GetInfo
	}{
		{time.Hour - 1, 0, []wal.Revision{1, 2, 3, 4, 5}, 2, 1}, // 3 h, nearly
		{1, 0, []wal.Revision{3, 4, 5}, 2, 1},
		{0, 1000 * time.Hour, []wal.Revision{3, 4, 5}, 2, 1}, // an outage is no age
		{0, -5000 * time.Hour, []wal.Revision{3, 4, 5}, 2, 1},
		{time.Hour, 0, []wal.Revision{4, 5}, 2, 1}, // 4 h
		{2*time.Hour - 1, 0, []wal.Revision{4, 5}, 2, 1},
		{1, 0, []wal.Revision{5}, 1, 4}, // 6 h: who left is forgotten
		{1000 * time.Hour, 0, []wal.Revision{5}, 1, 4},
	} {
		at.Add(step.passes)
		if step.away != 0 {
			registrytest.Close(t, r)
			at.Add(step.away)
			r = registrytest.Open(t, dir, opts)
		}
		compact(t, r)
		held, err := history(t, r, 0)
		if diff := cmp.Diff(step.held, held); diff != "" || err != nil {
			t.Errorf("after %v and %v away: %v (-want +got):\n%s", step.passes, step.away, err, diff)
		}
		if got := len(registry.States(r)); got != step.states || r.Info().First != step.first {
			t.Errorf("after %v: %d states, want %d; first %d, want %d", step.passes, got, step.states, r.Info().First, step.first)
		}
	}
}

// Where history takes more room than it may, its oldest part goes though it is young.
func TestRetentionBySize(t *testing.T) {
	opts := byHand(0, 0)
	opts.RetainHistoryBytes = 2 << 20
	r := registrytest.Open(t, t.TempDir(), opts)
	defer registrytest.Close(t, r)
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(a *announce.Announcement) { // which does not compress
		for range 16 {
			b := make([]byte, 480)
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			a.Endpoints = append(a.Endpoints, "https://"+hex.EncodeToString(b)+".example")
		}
	}
	const rounds, each = 60, 30
	for n := range uint64(rounds) {
		var items []announce.Signed
		for k := range each {
			items = append(items, said(t, fmt.Sprint("node", k), "storage", n, noise))
		}
		registrytest.Publish(t, r, items...)
	}
	before := r.Storage()
	compact(t, r)
	after := r.Storage()
	// What is just being gathered, up to two times 4 MiB, is not counted.
	if per := before.Bytes / before.Records; (after.Records-each)*per > 2<<20+8<<20 || after.Records < each {
		t.Errorf("%d records of about %d bytes are left of %d, more than 2 MiB", after.Records, per, before.Records)
	}
	if after.History == 1 || after.Records == before.Records {
		t.Errorf("nothing went: %+v", after)
	}
}

// I4 over compaction: a token resumes if every tombstone that was dropped is older, and starts anew
// otherwise; either way the set is the registry's.
func TestResumeOverCompaction(t *testing.T) {
	for _, how := range []string{"at once", "after a restart", "after a restart without the index"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			opts := byHand(-1, -1)
			r := registrytest.Open(t, dir, opts)
			defer func() { registrytest.Close(t, r) }()
			id := r.Info().LogID
			// The mirrors of a subscriber that went away after each revision.
			mirrors := []*mirror{{peers: make(map[string]*registry.Peer), token: registry.Token{LogID: id}}}
			for _, item := range []announce.Signed{
				said(t, "a", "storage", 1), said(t, "b", "storage", 1), said(t, "c", "storage", 1), // 1, 2, 3
				said(t, "a", "storage", 2),            // 4
				said(t, "b", "storage", 2, withdrawn), // 5: the newest tombstone but one
				said(t, "d", "helper", 1, withdrawn),  // 6: the newest
				said(t, "c", "storage", 2),            // 7
				said(t, "e", "storage", 1),            // 8
			} {
				registrytest.Publish(t, r, item)
				s, m := subscribe(t, r, nil, nil, registry.ResetNew)
				m.catchUp(t, s)
				mirrors = append(mirrors, m)
			}
			compact(t, r)
			switch how {
			case "after a restart without the index":
				registrytest.Close(t, r)
				removeIndex(t, dir)
				r = registrytest.Open(t, dir, opts)
			case "after a restart":
				registrytest.Close(t, r)
				r = registrytest.Open(t, dir, opts)
			}
			if first := r.Info().First; first != 6 {
				t.Errorf("first %d, want 6, the newest tombstone that was dropped", first)
			}
			for rev, m := range mirrors {
				want := registry.NoReset
				if rev < 6 {
					want = registry.ResetCompacted
				}
				s, now := subscribe(t, r, nil, &m.token, want)
				if want == registry.NoReset {
					now.peers = m.peers
				}
				now.catchUp(t, s) // which compares the digest
				if len(now.peers) != 3 {
					t.Errorf("from revision %d: %d peers, want 3", rev, len(now.peers))
				}
			}
			// Who left is forgotten: the same seqnum is welcome again.
			if got := registrytest.Publish(t, r, said(t, "b", "storage", 1))[0]; got.Outcome != registry.Accepted {
				t.Errorf("b is %v", got.Outcome)
			}
		})
	}
}

// A subscription that is behind when what it has not seen is forgotten ends with an error, also the
// sleeping one of a quiet service; one that reads its first snapshot does not, unless who left meanwhile
// is forgotten too.
func TestForgottenUnderASubscription(t *testing.T) {
	r := registrytest.Open(t, t.TempDir(), byHand(-1, -1))
	defer registrytest.Close(t, r)
	var items []announce.Signed
	for n := range 600 {
		items = append(items, said(t, fmt.Sprint("node", n), "storage", 1))
	}
	items = append(items, said(t, "gone", "storage", 1, withdrawn))
	registrytest.Publish(t, r, items...)

	late, m := subscribe(t, r, nil, nil, registry.ResetNew)
	m.catchUp(t, late)
	snapshot, m2 := subscribe(t, r, nil, nil, registry.ResetNew)
	b, err := snapshot.Next(t.Context(), time.Hour)
	if err != nil || b.AtHead {
		t.Fatalf("at head %v, %v: the snapshot should take several batches", b.AtHead, err)
	}
	m2.apply(t, b)
	compact(t, r) // the tombstone is the newest record, which stays in the log
	if first := r.Info().First; first != 601 {
		t.Fatalf("first %d, want 601", first)
	}
	m2.catchUp(t, snapshot)
	if len(m2.peers) != 600 {
		t.Errorf("%d peers after the snapshot, want 600", len(m2.peers))
	}

	broken, _ := subscribe(t, r, nil, nil, registry.ResetNew)
	if _, err := broken.Next(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	registrytest.Publish(t, r, said(t, "node0", "storage", 2, withdrawn))
	compact(t, r)
	for name, s := range map[string]*registry.Subscription{"late": late, "in its first snapshot": broken} {
		if _, err := s.Next(t.Context(), time.Hour); !errors.Is(err, registry.ErrNoRevision) {
			t.Errorf("%s: %v, want ErrNoRevision", name, err)
		}
	}
	s, again := subscribe(t, r, nil, &m.token, registry.ResetCompacted)
	again.catchUp(t, s)
	if len(again.peers) != 599 {
		t.Errorf("%d peers, want 599", len(again.peers))
	}
}

// The log is read from where it is complete, or from the first that is held; a place in between is an error
// and not a history with gaps.
func TestReadLogOverCompaction(t *testing.T) {
	r := registrytest.Open(t, t.TempDir(), byHand(-1, 0))
	defer registrytest.Close(t, r)
	for n := range uint64(4) {
		registrytest.Publish(t, r, said(t, "a", "storage", n), said(t, fmt.Sprint("node", n), "storage", 1))
	}
	compact(t, r) // all but the newest record may go
	for _, test := range []struct {
		from wal.Revision
		want []wal.Revision
		err  error
	}{
		{0, []wal.Revision{2, 4, 6, 7, 8}, nil},
		{1, nil, registry.ErrNoRevision},
		{4, nil, registry.ErrNoRevision},
		{7, nil, registry.ErrNoRevision},
		{8, []wal.Revision{8}, nil},
		{9, nil, nil},
		{10, nil, registry.ErrNoRevision},
	} {
		got, err := history(t, r, test.from)
		if diff := cmp.Diff(test.want, got); diff != "" || !errors.Is(err, test.err) {
			t.Errorf("from %d: %v, want %v (-want +got):\n%s", test.from, err, test.err, diff)
		}
	}
	if s := r.Storage(); s.History != 8 || s.Records != 5 || s.Superseded != 0 || s.Compaction.Dropped != 3 || s.Compaction.Err != nil || s.Compaction.Ended.IsZero() {
		t.Errorf("storage %+v", s)
	}
}

// A crash between the note of what is forgotten and the index's: the tombstone stays forgotten, and the
// index gets to know.
func TestIndexLearnsWhatIsForgotten(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "grid", "index")
	opts := byHand(0, -1) // history stays, and the tombstones' records with it
	r := registrytest.Open(t, dir, opts)
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "helper", 1), said(t, "b", "helper", 2, withdrawn))
	registrytest.Close(t, r)
	behind, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	r = registrytest.Open(t, dir, opts)
	compact(t, r)
	want := stateOf(t, r)
	if services, _ := r.Services(); len(want.Peers) != 1 || len(services) != 1 {
		t.Errorf("%d states of services %v, want a's only", len(want.Peers), services)
	}
	registrytest.Close(t, r)
	entries := func() int {
		x, err := store.Open(index, store.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		return x.Len()
	}
	if n := entries(); n != 1 {
		t.Errorf("the index holds %d entries, want 1", n)
	}
	if err := os.WriteFile(index, behind, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := entries(); n != 2 {
		t.Fatalf("the old index holds %d entries, want 2", n)
	}
	r = registrytest.Open(t, dir, opts)
	if diff := cmp.Diff(want, stateOf(t, r)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	registrytest.Close(t, r)
	if n := entries(); n != 1 {
		t.Errorf("the index holds %d entries after a start, want 1", n)
	}
	removeIndex(t, dir)
	r = registrytest.Open(t, dir, opts)
	defer registrytest.Close(t, r)
	if diff := cmp.Diff(want, stateOf(t, r)); diff != "" {
		t.Errorf("state from the log (-want +got):\n%s", diff)
	}
}

// An index from before the floor is not led on by a log with gaps, but built anew.
func TestIndexBehindTheFloor(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "grid", "index")
	opts := byHand(-1, -1)
	r := registrytest.Open(t, dir, opts)
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1))
	registrytest.Close(t, r)
	behind, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	r = registrytest.Open(t, dir, opts)
	registrytest.Publish(t, r, said(t, "b", "storage", 2, withdrawn), said(t, "a", "storage", 2), said(t, "a", "storage", 3))
	compact(t, r)
	want := stateOf(t, r)
	registrytest.Close(t, r)
	if err := os.WriteFile(index, behind, 0o600); err != nil {
		t.Fatal(err)
	}
	r = registrytest.Open(t, dir, opts)
	defer registrytest.Close(t, r)
	if diff := cmp.Diff(want, stateOf(t, r)); diff != "" || len(want.Peers) != 1 {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

// What is forgotten makes room for others.
func TestForgottenMakeRoom(t *testing.T) {
	opts := byHand(0, -1)
	opts.MaxPeers = 2
	r := registrytest.Open(t, t.TempDir(), opts)
	defer registrytest.Close(t, r)
	for round := range uint64(3) {
		for _, name := range []string{"x", "y"} {
			key := fmt.Sprint(name, round)
			if got := registrytest.Publish(t, r, said(t, key, "storage", 1), said(t, key, "storage", 2, withdrawn)); got[1].Outcome != registry.TakenBack {
				t.Fatalf("round %d: %v (%s)", round, got[1].Outcome, got[1].Reason)
			}
		}
		if got := registrytest.Publish(t, r, said(t, "z", "storage", 1))[0]; got.Outcome != registry.Forbidden {
			t.Fatalf("round %d: one too many is %v", round, got.Outcome)
		}
		compact(t, r)
	}
	if services, _ := r.Services(); len(services) != 0 {
		t.Errorf("services %v: everyone left and is forgotten", services)
	}
}

// In the background it compacts when it is worth it and the retention is over, not before.
func TestCompactionInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.Open(t, t.TempDir(), registry.Options{RetainHistory: 24 * time.Minute, CompactEvery: time.Minute, Heartbeat: time.Minute})
		defer registrytest.Close(t, r)
		publish := func(seqnums int) {
			t.Helper()
			var items []announce.Signed
			for n := range seqnums {
				items = append(items, said(t, "a", "storage", uint64(time.Now().UnixMilli())+uint64(n)))
			}
			registrytest.Publish(t, r, items...)
		}
		for _, step := range []struct {
			publish int
			sleep   time.Duration
			records uint64
		}{
			{2000, 24*time.Minute - time.Second, 2000},
			{100, 2 * time.Minute, 100}, // 2,000 and some of them old: worth it
			{500, 48 * time.Minute, 600},
			{700, time.Second, 1300},
			{0, 48 * time.Minute, 1},
		} {
			if step.publish > 0 {
				publish(step.publish)
			}
			time.Sleep(step.sleep)
			synctest.Wait()
			if s := r.Storage(); s.Records != step.records || s.Compaction.Running {
				t.Errorf("after %d more and %v: %+v; want %d records", step.publish, step.sleep, s, step.records)
			}
		}
	})
}

// Compaction beside all that goes on: publishers, subscribers who hold the set, readers of the log.
func TestCompactionBesideEverything(t *testing.T) {
	r := registrytest.Open(t, t.TempDir(), byHand(-1, -1))
	defer registrytest.Close(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	compacted := 0
	others.Go(func() {
		for ctx.Err() == nil {
			if err := r.Compact(t.Context()); err != nil {
				t.Errorf("Compact: %v", err)
				return
			}
			compacted++
		}
	})
	others.Go(func() { // a subscriber that follows as best it can
		var m *mirror
		for ctx.Err() == nil {
			var resume *registry.Token
			if m != nil {
				resume = &m.token
			}
			s := r.Subscribe(nil, resume)
			if s.Reset() != registry.NoReset {
				m = &mirror{peers: make(map[string]*registry.Peer)}
			}
			for {
				b, err := s.Next(ctx, time.Millisecond)
				if err != nil {
					if !errors.Is(err, registry.ErrNoRevision) && ctx.Err() == nil {
						t.Errorf("Next: %v", err)
					}
					break
				}
				m.apply(t, b)
			}
			s.Close()
		}
	})
	others.Go(func() {
		for ctx.Err() == nil {
			var last wal.Revision
			for rec, err := range r.ReadLog(t.Context(), 0, registry.Filter{}) {
				if err != nil || rec.Revision <= last {
					t.Errorf("ReadLog: revision %d after %d, %v", rec.Revision, last, err)
					return
				}
				last = rec.Revision
			}
			from := r.Storage().History
			revs, err := history(t, r, from)
			if err != nil && !errors.Is(err, registry.ErrNoRevision) || err == nil && len(revs) > 0 && int(revs[len(revs)-1]-from)+1 != len(revs) {
				t.Errorf("ReadLog from %d: %d records, %v", from, len(revs), err)
				return
			}
			for _, p := range r.View("storage").Peers.All() {
				// It may have been replaced, and dropped, since the view was taken.
				if _, _, err := r.Announcement(p); err != nil && (!errors.Is(err, registry.ErrNoRevision) || errors.Is(err, registry.ErrDamaged)) {
					t.Errorf("Announcement: %v", err)
					return
				}
			}
		}
	})
	rng := rand.New(rand.NewPCG(5, 6))
	for n := range uint64(150) {
		var items []announce.Signed
		for k := range 20 {
			more := func(*announce.Announcement) {}
			if rng.IntN(4) == 0 {
				more = withdrawn
			}
			items = append(items, said(t, fmt.Sprint("node", rng.IntN(50)), "storage", n*20+uint64(k), more))
		}
		registrytest.Publish(t, r, items...)
	}
	cancel()
	others.Wait()
	compact(t, r)
	if s := r.Storage(); s.Records > 51 || compacted < 3 {
		t.Errorf("%d records are left of 50 peers after %d compactions", s.Records, compacted)
	}
}

// A damaged record that is current stops a compaction, by name, until its node has announced anew.
func TestCompactionMeetsDamage(t *testing.T) {
	dir := t.TempDir()
	opts := byHand(-1, 0)
	r := registrytest.Open(t, dir, opts)
	items := []announce.Signed{said(t, "a", "storage", 1), said(t, "a", "storage", 2), said(t, "b", "storage", 1)}
	for n := range uint64(1025) { // as many as Open checks, with the one before
		items = append(items, said(t, "busy", "helper", n))
	}
	registrytest.Publish(t, r, items...)
	registrytest.Close(t, r)
	decay(t, dir, 1)
	decay(t, dir, 3)
	r = registrytest.Open(t, dir, opts)
	defer func() { registrytest.Close(t, r) }()
	err := r.Compact(t.Context())
	var damage *wal.CorruptError
	if !errors.Is(err, registry.ErrDamaged) || !errors.As(err, &damage) || damage.Revision != 3 {
		t.Errorf("Compact: %v, want ErrDamaged at revision 3", err)
	}
	if s := r.Storage(); !errors.Is(s.Compaction.Err, registry.ErrDamaged) || s.Compaction.Running {
		t.Errorf("storage %+v", s)
	}
	registrytest.Publish(t, r, said(t, "b", "storage", 2))
	compact(t, r)
	held, err := history(t, r, 0)
	if diff := cmp.Diff([]wal.Revision{2, 1028, 1029}, held); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if !slices.Contains(held, peer(t, r, "a").Revision) {
		t.Error("a is not held")
	}

	// So it is where the record lies below what was compacted before.
	registrytest.Close(t, r)
	decay(t, dir, 2)
	r = registrytest.Open(t, dir, opts)
	registrytest.Publish(t, r, said(t, "busy", "helper", 2000))
	if err := r.Compact(t.Context()); !errors.As(err, &damage) || damage.Revision != 2 {
		t.Errorf("Compact: %v, want damage at revision 2", err)
	}
	registrytest.Publish(t, r, said(t, "a", "storage", 3))
	compact(t, r)
	held, err = history(t, r, 0)
	if diff := cmp.Diff([]wal.Revision{1029, 1030, 1031}, held); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Where the log lost its end, and that was forgotten before, subscribers still get what is left.
func TestForgottenThatIsLost(t *testing.T) {
	dir := t.TempDir()
	opts := byHand(-1, -1)
	r := registrytest.Open(t, dir, opts)
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1), said(t, "b", "storage", 2, withdrawn))
	compact(t, r)
	registrytest.Close(t, r)
	decay(t, dir, 3)
	removeIndex(t, dir) // which would know of it
	r = registrytest.Open(t, dir, opts)
	defer registrytest.Close(t, r)
	s := r.Subscribe(nil, nil)
	defer s.Close()
	b, err := s.Next(t.Context(), time.Hour)
	if err != nil || !b.AtHead || len(b.Changes) != 1 || b.Token.Revision != 2 || r.Info().Lost == nil {
		t.Errorf("got %+v, %v, lost %v; want a alone, at revision 2 of a log that lost records", b, err, r.Info().Lost)
	}
}

// A year of re-announcements: what is held is what is current and what is retained, and hardly more.
func TestYear(t *testing.T) {
	peers, every := 300, 5*24*time.Hour
	if testing.Short() {
		peers = 60
	}
	dir := t.TempDir()
	at := newClock()
	opts := byHand(30*24*time.Hour, 0)
	opts.Now = at.Now
	r := registrytest.Open(t, dir, opts)
	// With those that are current; and a quarter more, or a thousand, is not worth the work.
	retained := peers * int(1+30*24*time.Hour/every)
	bound := max(retained*5/4, retained+1000) + peers
	worst, rounds := 0, int(365*24*time.Hour/every)
	for n := range rounds {
		var items []announce.Signed
		for k := range peers {
			items = append(items, said(t, fmt.Sprint("node", k), "storage", uint64(n)))
		}
		registrytest.Publish(t, r, items...)
		at.Add(every)
		if err := registry.Tend(r); err != nil {
			t.Fatal(err)
		}
		worst = max(worst, int(r.Storage().Records))
	}
	if worst > bound || worst < retained {
		t.Errorf("up to %d records were held of %d peers; %d were to be retained", worst, peers, retained)
	}
	want := stateOf(t, r)
	registrytest.Close(t, r)
	removeIndex(t, dir)
	r = registrytest.Open(t, dir, opts)
	defer registrytest.Close(t, r)
	if diff := cmp.Diff(want, stateOf(t, r)); diff != "" {
		t.Errorf("state from the log (-want +got):\n%s", diff)
	}
}
