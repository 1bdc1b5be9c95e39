package registry_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/wal"
)

// mirror is a subscriber's set, built from batches alone.
type mirror struct {
	peers map[string]*registry.Peer // :: service/peer id → live peer
	token registry.Token
}

func (m *mirror) apply(t *testing.T, b registry.Batch) {
	t.Helper()
	last := m.token.Revision
	for _, p := range b.Changes {
		if p.Revision <= last {
			t.Fatalf("revision %d after %d: changes are not in order, or repeat", p.Revision, last)
		}
		last = p.Revision
		key := string(p.Service) + "/" + p.ID.String()
		if p.State == registry.Live {
			m.peers[key] = p
		} else {
			delete(m.peers, key)
		}
	}
	if b.Token.Revision < last {
		t.Fatalf("token %d is behind the changes, which end at %d", b.Token.Revision, last)
	}
	m.token = b.Token
	if !b.AtHead {
		return
	}
	var sum [32]byte
	for _, p := range m.peers {
		for i := range sum {
			sum[i] ^= p.Digest[i]
		}
	}
	if sum != b.Digest {
		t.Fatalf("I4: at revision %d the subscriber's set has another digest than the registry's", b.Token.Revision)
	}
}

// catchUp reads until the head.
func (m *mirror) catchUp(t *testing.T, s *registry.Subscription) int {
	t.Helper()
	for n := 1; ; n++ {
		b, err := s.Next(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		m.apply(t, b)
		if b.AtHead {
			return n
		}
	}
}

func subscribe(t *testing.T, r *registry.Registry, services []announce.Service, resume *registry.Token, want registry.ResetReason) (*registry.Subscription, *mirror) {
	t.Helper()
	s := r.Subscribe(services, resume)
	t.Cleanup(s.Close)
	if s.Reset() != want {
		t.Fatalf("reset reason %d, want %d", s.Reset(), want)
	}
	m := &mirror{peers: make(map[string]*registry.Peer)}
	if resume != nil && want == registry.NoReset {
		m.token = *resume
	}
	return s, m
}

// I4 by random histories: subscribers of one, several and all services, from nothing and
// resumed at any token that they were ever given, hold the registry's set whenever they are
// told that they are at the head; also over restarts and rebuilt indexes.
func TestSubscribersHoldTheSet(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			dir := t.TempDir()
			r := registrytest.Open(t, dir, registry.Options{})
			services := []announce.Service{"storage", "helper", "upload_storage"}
			wanted := [][]announce.Service{nil, {"storage"}, {"helper", "storage"}, {"unheard_of", "upload_storage"}}
			// Each follower keeps its set and token over reconnects, as a node does.
			followers := make([]*mirror, len(wanted))
			for i := range followers {
				followers[i] = &mirror{peers: make(map[string]*registry.Peer)}
			}
			model := make(map[string]registry.Result)
			seqnum := uint64(0)
			for round := range 12 {
				for range 1 + rng.IntN(100) {
					seqnum++
					name := fmt.Sprint("node", rng.IntN(40))
					service := services[rng.IntN(len(services))]
					id := registrytest.Key(name).PeerID()
					switch op := rng.IntN(10); {
					case op == 0:
						registrytest.Publish(t, r, said(t, name, service, seqnum, withdrawn))
						delete(model, string(service)+"/"+id.String())
					case op == 1:
						if _, err := r.Evict(t.Context(), id, service); err != nil {
							t.Fatal(err)
						}
						delete(model, string(service)+"/"+id.String())
					default:
						if rng.IntN(8) > 0 {
							continue // keep the number of syncs small
						}
						var items []announce.Signed
						for k := range 30 {
							n := fmt.Sprint("node", (rng.IntN(40)+k)%40)
							items = append(items, said(t, n, service, seqnum))
							seqnum++
							model[string(service)+"/"+registrytest.Key(n).PeerID().String()] = registry.Result{}
						}
						registrytest.Publish(t, r, items...)
					}
				}
				if round%4 == 3 {
					registrytest.Close(t, r)
					r = registrytest.Open(t, dir, registry.Options{})
				}
				for i, m := range followers {
					if rng.IntN(3) == 0 {
						continue // this one stays away for a while
					}
					var resume *registry.Token
					want := registry.ResetNew
					if m.token.LogID != (wal.LogID{}) && rng.IntN(5) > 0 {
						resume, want = &m.token, registry.NoReset
					}
					s, fresh := subscribe(t, r, wanted[i], resume, want)
					if want == registry.NoReset {
						fresh.peers = m.peers
					}
					*m = *fresh
					m.catchUp(t, s)
					s.Close()
				}
			}
			s, m := subscribe(t, r, nil, nil, registry.ResetNew)
			m.catchUp(t, s)
			got := make(map[string]registry.Result)
			for key := range m.peers {
				got[key] = registry.Result{}
			}
			if diff := cmp.Diff(model, got); diff != "" {
				t.Errorf("the live set (-model +got):\n%s", diff)
			}
			registrytest.Close(t, r)
		})
	}
}

func TestResume(t *testing.T) {
	r := registrytest.New(t)
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1))
	id := r.Info().LogID
	tests := []struct {
		name  string
		token *registry.Token
		want  registry.ResetReason
	}{
		{"no token", nil, registry.ResetNew},
		{"at the head", &registry.Token{LogID: id, Revision: 2}, registry.NoReset},
		{"behind", &registry.Token{LogID: id, Revision: 1}, registry.NoReset},
		{"before the first", &registry.Token{LogID: id}, registry.NoReset},
		{"ahead of the log", &registry.Token{LogID: id, Revision: 3}, registry.ResetOtherLog},
		{"of another log", &registry.Token{LogID: wal.LogID{1}, Revision: 1}, registry.ResetOtherLog},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := subscribe(t, r, []announce.Service{"storage"}, tt.token, tt.want)
			b, err := s.Next(t.Context(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			want := 2
			if tt.want == registry.NoReset {
				want = int(2 - tt.token.Revision)
			}
			if len(b.Changes) != want || !b.AtHead || b.Token != (registry.Token{LogID: id, Revision: 2}) {
				t.Errorf("%d changes, at head %v, token %v; want %d at the head", len(b.Changes), b.AtHead, b.Token, want)
			}
		})
	}
}

// What a subscriber missed is conflated: however often a peer changed, one state is sent, and
// of a first snapshot the tombstones are left out.
func TestConflation(t *testing.T) {
	r := registrytest.New(t)
	s, m := subscribe(t, r, []announce.Service{"storage"}, nil, registry.ResetNew)
	m.catchUp(t, s)
	var items []announce.Signed
	for n := range uint64(500) {
		items = append(items, said(t, "a", "storage", n))
	}
	items = append(items, said(t, "b", "storage", 1), said(t, "b", "storage", 2, withdrawn))
	registrytest.Publish(t, r, items...)
	b, err := s.Next(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	m.apply(t, b)
	if len(b.Changes) != 2 || b.Changes[0].Seqnum != 499 || b.Changes[1].State != registry.Withdrawn {
		t.Errorf("%d changes; want a's latest and b's withdrawal", len(b.Changes))
	}
	s2, _ := subscribe(t, r, nil, nil, registry.ResetNew)
	if b, err := s2.Next(t.Context(), time.Hour); err != nil || len(b.Changes) != 1 {
		t.Errorf("first snapshot: %d changes, %v; want the one live peer", len(b.Changes), err)
	}
}

// A token from the middle of a first snapshot resumes there: also what was withdrawn since,
// and before the second stream began, must be heard of.
func TestResumeInTheMiddleOfASnapshot(t *testing.T) {
	r := registrytest.New(t)
	var items []announce.Signed
	for n := range 700 {
		items = append(items, said(t, fmt.Sprint("node", n), "storage", 1))
	}
	registrytest.Publish(t, r, items...)
	s, m := subscribe(t, r, nil, nil, registry.ResetNew)
	b, err := s.Next(t.Context(), time.Hour)
	if err != nil || b.AtHead {
		t.Fatalf("at head %v, %v: the snapshot should take several batches", b.AtHead, err)
	}
	m.apply(t, b)
	s.Close()
	registrytest.Publish(t, r, said(t, "node0", "storage", 2, withdrawn), said(t, "node699", "storage", 2, withdrawn))
	s2, m2 := subscribe(t, r, nil, &m.token, registry.NoReset)
	m2.peers = maps.Clone(m.peers)
	m2.catchUp(t, s2)
	if len(m2.peers) != 698 {
		t.Errorf("%d peers, want 698", len(m2.peers))
	}
}

// Time to live, progress when idle, and that downtime counts for nothing.
func TestTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := registrytest.Open(t, dir, registry.Options{})
		start := time.Now()
		got := registrytest.Publish(t, r, said(t, "a", "storage", 1, ttl(time.Minute)), said(t, "b", "storage", 1))
		p, _ := r.View("storage").Peers.Get(registrytest.Key("a").PeerID())
		if want := start.Add(time.Minute); !p.Expires().Equal(want) {
			t.Errorf("expires %v, want %v", p.Expires(), want)
		}
		s := r.Subscribe([]announce.Service{"storage"}, &registry.Token{LogID: r.Info().LogID, Revision: got[1].Revision})
		if b, err := s.Next(t.Context(), 30*time.Second); err != nil || !b.AtHead {
			t.Fatalf("at head %v, %v", b.AtHead, err)
		}
		if b, err := s.Next(t.Context(), 30*time.Second); err != nil || len(b.Changes) != 0 || time.Since(start) != 30*time.Second {
			t.Errorf("progress after %v with %d changes, %v; want it after 30 s with none", time.Since(start), len(b.Changes), err)
		}
		s.Close()
		registrytest.Close(t, r)

		time.Sleep(1000 * time.Hour) // the introducer is down
		r = registrytest.Open(t, dir, registry.Options{})
		defer registrytest.Close(t, r)
		p, ok := r.View("storage").Peers.Get(registrytest.Key("a").PeerID())
		if !ok {
			t.Fatal("downtime of the introducer has expired a peer")
		}
		if left := time.Until(p.Expires()); left != 30*time.Second {
			t.Errorf("%v are left to live, want 30 s", left)
		}
		sub := r.Subscribe([]announce.Service{"storage"}, &registry.Token{LogID: r.Info().LogID, Revision: got[1].Revision})
		defer sub.Close()
		if _, err := sub.Next(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		again := time.Now()
		b, err := sub.Next(t.Context(), time.Hour)
		if err != nil || len(b.Changes) != 1 || b.Changes[0].State != registry.Expired {
			t.Fatalf("%d changes, %v; want the expiry", len(b.Changes), err)
		}
		if d := time.Since(again); d != 30*time.Second {
			t.Errorf("it expired after %v, want 30 s", d)
		}
		// The same bytes are welcome again; a lower seqnum is not (I6).
		res := registrytest.Publish(t, r, said(t, "a", "storage", 0), said(t, "a", "storage", 1, ttl(time.Minute)))
		if res[0].Outcome != registry.Stale || res[1].Outcome != registry.Accepted {
			t.Errorf("after expiry: %v, %v; want stale, accepted", res[0].Outcome, res[1].Outcome)
		}
		// Renewed in time it lives on.
		time.Sleep(50 * time.Second)
		registrytest.Publish(t, r, said(t, "a", "storage", 2, ttl(time.Minute)))
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if _, ok := r.View("storage").Peers.Get(registrytest.Key("a").PeerID()); !ok {
			t.Error("a renewed announcement has expired")
		}
	})
}

// A subscriber that waits for one service is not woken for another, and its token follows
// the head all the same.
func TestQuietServiceStaysCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registrytest.Open(t, t.TempDir(), registry.Options{})
		defer registrytest.Close(t, r)
		s := r.Subscribe([]announce.Service{"helper"}, nil)
		defer s.Close()
		if _, err := s.Next(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			registrytest.Publish(t, r, said(t, "a", "storage", 1))
		}()
		start := time.Now()
		b, err := s.Next(t.Context(), time.Minute)
		if err != nil || len(b.Changes) != 0 || b.Token.Revision != 1 || time.Since(start) != time.Minute {
			t.Errorf("after %v: %d changes, token %d, %v; want progress to revision 1 after a minute",
				time.Since(start), len(b.Changes), b.Token.Revision, err)
		}
	})
}

// Many wait and all are woken by one change.
func TestEverySubscriberWakes(t *testing.T) {
	r := registrytest.New(t)
	const n = 200
	got := make(chan error, n)
	ready := make(chan struct{}, n)
	for range n {
		s := r.Subscribe([]announce.Service{"storage"}, nil)
		go func() {
			_, err := s.Next(context.Background(), time.Hour)
			ready <- struct{}{}
			var b registry.Batch
			if err == nil {
				b, err = s.Next(context.Background(), time.Hour)
			}
			if err == nil && len(b.Changes) != 1 {
				err = fmt.Errorf("%d changes", len(b.Changes))
			}
			s.Close()
			got <- err
		}()
	}
	for range n {
		<-ready
	}
	registrytest.Publish(t, r, said(t, "a", "storage", 1))
	for range n {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	if services, _ := r.Services(); len(services) != 1 || services[0].Subscribers != 0 {
		t.Errorf("services %v: every subscriber is gone", services)
	}
}
