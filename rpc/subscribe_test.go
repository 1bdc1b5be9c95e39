package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/rpc"
)

// A subscriber's life: what is known, each change as it happens, in its own services only.
func TestSubscribe(t *testing.T) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			in := start(t, settings{})
			in.put(in.offer(1, "storage", 1), in.offer(2, "storage", 1), in.offer(3, "helper", 1))
			// Gone before the subscriber came: nothing that it needs to hear.
			in.put(in.offer(4, "storage", 1))
			in.put(sign(t, node(4), announce.Announcement{Service: "storage", Seqnum: 2, Withdrawn: true}))

			sub := subscribe(t, in.dial(w), &introducerv1.SubscribeRequest{Services: []string{"storage", "storage"}})
			sub.until(synced)
			if diff := cmp.Diff([]string{reset, changes, synced}, sub.events); diff != "" || sub.reset != introducerv1.ResetReason_RESET_REASON_NEW {
				t.Errorf("events, reset for %v (-want +got):\n%s", sub.reset, diff)
			}
			if len(sub.held) != 2 || sub.told != 2 {
				t.Errorf("%d peers held after %d changes", len(sub.held), sub.told)
			}

			in.put(in.offer(5, "helper", 1)) // not of its services
			in.put(in.offer(1, "storage", 2))
			sub.until(changes)
			withdrawal := sign(t, node(2), announce.Announcement{Service: "storage", Seqnum: 2, Withdrawn: true})
			in.put(withdrawal)
			e, err := sub.stream.Receive()
			if err != nil {
				t.Fatal(err)
			}
			gone := e.GetChanges().Changes[0].GetGone()
			if diff := cmp.Diff(withdrawal, gone.GetWithdrawal().Signed()); diff != "" || gone.Reason != introducerv1.GoneReason_GONE_REASON_WITHDRAWN {
				t.Errorf("gone for %v, by the word (-want +got):\n%s", gone.Reason, diff)
			}
			sub.take(e)
			if _, err := in.reg.Evict(t.Context(), node(1).PeerID()); err != nil {
				t.Fatal(err)
			}
			e, err = sub.stream.Receive()
			if err != nil {
				t.Fatal(err)
			}
			gone = e.GetChanges().Changes[0].GetGone()
			if gone.Reason != introducerv1.GoneReason_GONE_REASON_EVICTED || gone.Withdrawal != nil {
				t.Errorf("evicted: %v", gone)
			}
			sub.take(e)
			if len(sub.held) != 0 {
				t.Errorf("held at the end: %v", sub.seqnums())
			}
		})
	}
}

// Without the signed bytes nothing else is missing, and the digest is that of the full set.
func TestSubscribeBasic(t *testing.T) {
	in := start(t, settings{})
	in.put(in.offer(1, "storage", 1))
	c := in.binary()
	full := subscribe(t, c, &introducerv1.SubscribeRequest{})
	full.until(synced)
	stream, err := c.Subscribe(t.Context(), &introducerv1.SubscribeRequest{View: introducerv1.PeerView_PEER_VIEW_BASIC})
	if err != nil {
		t.Fatal(err)
	}
	basic := subscribe(t, c, &introducerv1.SubscribeRequest{View: introducerv1.PeerView_PEER_VIEW_BASIC})
	defer stream.Close()
	for range 2 {
		if _, err := stream.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	e, err := stream.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full.digest(), e.GetSynced().GetSetDigest()); diff != "" {
		t.Errorf("the set digest (-want +got):\n%s", diff)
	}
	basic.until(synced)
	if p := basic.peers()[0]; p.Announcement != nil || p.Nickname != "node" || len(p.Endpoints) != 1 {
		t.Errorf("a basic peer: %v", p)
	}
	in.put(sign(t, node(1), announce.Announcement{Service: "storage", Seqnum: 2, Withdrawn: true}))
	e, err = basic.stream.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if gone := e.GetChanges().Changes[0].GetGone(); gone.Withdrawal != nil || gone.Reason != introducerv1.GoneReason_GONE_REASON_WITHDRAWN {
		t.Errorf("withdrawn, basic: %v", gone)
	}
}

// A good token goes on where it stands, across a restart too; a bad one starts anew and says why.
func TestResume(t *testing.T) {
	in := start(t, settings{})
	in.put(in.offer(1, "storage", 1), in.offer(2, "storage", 1), in.offer(3, "storage", 1))
	sub := subscribe(t, in.binary(), &introducerv1.SubscribeRequest{})
	sub.until(synced)
	sub.stream.Close()

	in.put(in.offer(1, "storage", 2))
	in.put(sign(t, node(2), announce.Announcement{Service: "storage", Seqnum: 2, Withdrawn: true}))
	in.stop()
	in = start(t, settings{dir: in.dir})
	in.put(in.offer(4, "storage", 1))
	c := in.binary()

	sub.told = 0
	sub.connect(c, &introducerv1.SubscribeRequest{Resume: sub.token})
	sub.until(synced)
	if diff := cmp.Diff([]string{changes, synced}, sub.events); diff != "" || sub.told != 3 || len(sub.held) != 3 {
		t.Errorf("resumed with %d changes, %d held (-want +got):\n%s", sub.told, len(sub.held), diff)
	}
	sub.connect(c, &introducerv1.SubscribeRequest{Resume: sub.token})
	if got := sub.next(); got != synced {
		t.Errorf("resumed at the head: %s, want %s", got, synced)
	}

	good := sub.token
	for name, token := range map[string]*introducerv1.ResumeToken{
		"of another log":   {LogId: make([]byte, 16), Revision: 1},
		"ahead of the log": {LogId: good.LogId, Revision: good.Revision + 1},
	} {
		sub.connect(c, &introducerv1.SubscribeRequest{Resume: token})
		sub.until(synced)
		if diff := cmp.Diff([]string{reset, changes, synced}, sub.events); diff != "" || sub.reset != introducerv1.ResetReason_RESET_REASON_OTHER_LOG {
			t.Errorf("a token %s: reset for %v (-want +got):\n%s", name, sub.reset, diff)
		}
	}
}

// A first snapshot that breaks off goes on from the token of its last message, though peers that it
// told of are gone meanwhile.
func TestResumeInTheMiddleOfASnapshot(t *testing.T) {
	in := start(t, settings{})
	const n = 200
	var crowd []announce.Signed
	for i := range n {
		crowd = append(crowd, sign(t, node(i), announce.Announcement{Service: "storage", Seqnum: 1, FURL: strings.Repeat("x", 10_000)}))
	}
	in.put(crowd...)
	c := in.binary()
	sub := subscribe(t, c, &introducerv1.SubscribeRequest{})
	sub.until(changes)
	sub.until(changes)
	if sub.told >= n {
		t.Fatalf("all %d came in two messages", sub.told)
	}
	sub.stream.Close()

	in.put(sign(t, node(0), announce.Announcement{Service: "storage", Seqnum: 2, Withdrawn: true}))
	in.put(in.offer(1, "storage", 2))
	in.put(sign(t, node(n-1), announce.Announcement{Service: "storage", Seqnum: 2, Withdrawn: true}))
	told := sub.told
	sub.connect(c, &introducerv1.SubscribeRequest{Resume: sub.token})
	sub.until(synced)
	if sub.events[0] != changes || len(sub.held) != n-2 || sub.told != n+2 {
		t.Errorf("%v: %d changes after %d, %d held", sub.events, sub.told, told, len(sub.held))
	}
}

// While nothing happens a subscriber hears now and then where it stands.
func TestProgressWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := start(t, settings{listener: newPipeListener(), service: rpc.Options{ProgressInterval: 20 * time.Second}})
		in.put(in.offer(1, "storage", 1))
		sub := subscribe(t, in.binary(), &introducerv1.SubscribeRequest{Services: []string{"storage"}})
		sub.until(synced)
		for i := range 5 {
			// Of another service, so that there is nothing to tell but the token.
			in.put(in.offer(2, "helper", uint64(i+1)))
			began := time.Now()
			if got := sub.next(); got != progress {
				t.Fatalf("idle: %s, want %s", got, progress)
			}
			if waited := time.Since(began); waited < 15*time.Second || waited > 25*time.Second {
				t.Errorf("progress after %v, want 20 s give or take a quarter", waited)
			}
			if want := uint64(2 + i); sub.token.Revision != want {
				t.Errorf("progress at revision %d, want %d", sub.token.Revision, want)
			}
		}
		if n := len(sub.held); n != 1 {
			t.Errorf("%d peers held", n)
		}
	})
}

// A peer whose time to live ends is told to be gone at that time.
func TestExpiryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := start(t, settings{listener: newPipeListener(), service: rpc.Options{ProgressInterval: 24 * time.Hour}})
		in.put(sign(t, node(1), announce.Announcement{Service: "storage", Seqnum: 1, TTL: time.Hour}))
		began := time.Now()
		sub := subscribe(t, in.binary(), &introducerv1.SubscribeRequest{})
		sub.until(synced)
		e, err := sub.stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		gone := e.GetChanges().GetChanges()[0].GetGone()
		if gone.GetReason() != introducerv1.GoneReason_GONE_REASON_EXPIRED || gone.Withdrawal != nil {
			t.Errorf("expired: %v", e)
		}
		if waited := time.Since(began); waited < time.Hour || waited > time.Hour+time.Second {
			t.Errorf("told after %v", waited)
		}
		sub.take(e)
		if len(sub.held) != 0 {
			t.Errorf("held: %v", sub.seqnums())
		}
	})
}

// Who does not read misses nothing and is told each peer's latest state only (I8): what waits for it
// is no more than the connection's buffers.
func TestASlowSubscriberIsConflated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := start(t, settings{listener: newPipeListener()})
		sub := subscribe(t, in.binary(), &introducerv1.SubscribeRequest{})
		sub.until(synced)
		for i := range 100 {
			in.put(sign(t, node(1), announce.Announcement{Service: "storage", Seqnum: uint64(i + 1), FURL: strings.Repeat("x", 5_000)}))
			synctest.Wait()
		}
		for sub.token.Revision < 100 {
			sub.until(changes)
		}
		if sub.told > 10 {
			t.Errorf("a subscriber that did not read was told %d of 100 states", sub.told)
		}
		if p := sub.peers()[0]; p.Seqnum != 100 {
			t.Errorf("it holds seqnum %d", p.Seqnum)
		}
		sub.until(progress)
	})
}

// At the end each subscriber is told where it stands and when to return, and its stream ends in
// order; new ones are refused.
func TestDrain(t *testing.T) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := start(t, settings{listener: newPipeListener(), service: rpc.Options{DrainSpread: time.Minute}})
				in.put(in.offer(1, "storage", 1))
				c := in.dial(w)
				var subs []*subscriber
				for range 5 {
					sub := subscribe(t, c, &introducerv1.SubscribeRequest{})
					sub.until(synced)
					subs = append(subs, sub)
				}
				follower, err := c.ReadLog(t.Context(), &introducerv1.ReadLogRequest{Follow: true})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := follower.Receive(); err != nil {
					t.Fatal(err)
				}

				in.svc.Drain()
				var waits []time.Duration
				for _, sub := range subs {
					if got := sub.next(); got != drain {
						t.Fatalf("%s, want %s", got, drain)
					}
					if diff := cmp.Diff(sub.token.String(), sub.drain.Token.String()); diff != "" {
						t.Errorf("where it stands (-want +got):\n%s", diff)
					}
					wait := sub.drain.ReconnectAfter.AsDuration()
					if wait < 0 || wait >= time.Minute {
						t.Errorf("come back after %v", wait)
					}
					waits = append(waits, wait)
					if got := sub.next(); got != "" {
						t.Errorf("%s after %s", got, drain)
					}
				}
				if waits[0] == waits[1] && waits[1] == waits[2] && waits[2] == waits[3] {
					t.Errorf("all are to come back after %v", waits[0])
				}
				if _, err := follower.Receive(); connect.CodeOf(err) != connect.CodeUnavailable {
					t.Errorf("a follower of the log: %v", err)
				}

				for name, call := range map[string]func(context.Context, client) error{
					"Subscribe": subscribing(&introducerv1.SubscribeRequest{}),
					"ReadLog":   reading(&introducerv1.ReadLogRequest{Follow: true}),
				} {
					err := call(t.Context(), c)
					if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "the introducer is stopping; come back soon") {
						t.Errorf("%s while draining: %v", name, err)
					}
				}
				// What comes to an end by itself is still served.
				if err := reading(&introducerv1.ReadLogRequest{})(t.Context(), c); err != nil {
					t.Errorf("ReadLog while draining: %v", err)
				}
				if _, err := c.GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: "storage"}); err != nil {
					t.Errorf("GetPeers while draining: %v", err)
				}
			})
		})
	}
}

// A subscriber in the middle of its snapshot is told the token of the last message it got; resuming
// there, at the next introducer, completes it.
func TestDrainInTheMiddleOfASnapshot(t *testing.T) {
	for name, snapshot := range map[string]struct {
		peers, size int
		view        introducerv1.PeerView
	}{
		"few large":  {200, 10_000, introducerv1.PeerView_PEER_VIEW_FULL},
		"many small": {1_200, 10, introducerv1.PeerView_PEER_VIEW_BASIC},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var sub *subscriber
			synctest.Test(t, func(t *testing.T) {
				in := start(t, settings{dir: dir, listener: newPipeListener()})
				var crowd []announce.Signed
				for i := range snapshot.peers {
					crowd = append(crowd, sign(t, node(i), announce.Announcement{Service: "storage", Seqnum: 1, FURL: strings.Repeat("x", snapshot.size)}))
				}
				in.put(crowd...)
				sub = subscribe(t, in.binary(), &introducerv1.SubscribeRequest{View: snapshot.view})
				sub.until(changes)
				synctest.Wait() // the introducer is stuck in the next message
				in.svc.Drain()
				sub.until(drain)
				if sub.next() != "" || len(sub.held) == snapshot.peers || sub.drain.Token.GetRevision() != uint64(len(sub.held)) {
					t.Errorf("drained at revision %d with %d of %d held", sub.drain.Token.GetRevision(), len(sub.held), snapshot.peers)
				}
			})
			in := start(t, settings{dir: dir})
			sub.t = t
			sub.connect(in.binary(), &introducerv1.SubscribeRequest{Resume: sub.drain.Token, View: snapshot.view})
			sub.until(synced)
			if sub.events[0] == reset || sub.told != snapshot.peers || len(sub.held) != snapshot.peers {
				t.Errorf("%v: told of %d, %d held, want %d", sub.events, sub.told, len(sub.held), snapshot.peers)
			}
		})
	}
}

// Shutdown drains. A subscriber that does not read holds it up as long as the caller allows and no
// longer.
func TestShutdown(t *testing.T) {
	for _, w := range []wire{{"HTTP/1.1", false, nil}, {"HTTP/2", true, nil}} {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := start(t, settings{listener: newPipeListener()})
				sub := subscribe(t, in.dial(w), &introducerv1.SubscribeRequest{})
				sub.until(synced)
				stuck := subscribe(t, in.dial(w), &introducerv1.SubscribeRequest{})
				stuck.until(synced)
				// More than all windows and buffers between them hold.
				for round := range uint64(3) {
					var crowd []announce.Signed
					for i := range 200 {
						crowd = append(crowd, sign(t, node(i), announce.Announcement{Service: "storage", Seqnum: round, FURL: strings.Repeat("x", 15_000)}))
					}
					head := in.put(crowd...)
					for sub.token.Revision < head {
						sub.until(changes)
					}
				}
				synctest.Wait()

				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				ended := make(chan error, 1)
				began := time.Now()
				go func() { ended <- in.hs.Shutdown(ctx) }()
				sub.until(drain)
				if got := sub.next(); got != "" {
					t.Errorf("%s after %s", got, drain)
				}
				if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("shutdown beside one that does not read: %v", err)
				}
				if waited := time.Since(began); waited < 10*time.Second || waited > 11*time.Second {
					t.Errorf("it took %v", waited)
				}
				if err := in.hs.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A registry that closes under its streams ends them as unavailable.
func TestClosedRegistry(t *testing.T) {
	in := start(t, settings{})
	c := in.binary()
	sub := subscribe(t, c, &introducerv1.SubscribeRequest{})
	sub.until(synced)
	follower, err := c.ReadLog(t.Context(), &introducerv1.ReadLogRequest{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	in.closing.Do(func() {
		if err := in.reg.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := sub.stream.Receive(); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("a subscriber: %v", err)
	}
	if _, err := follower.Receive(); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("a follower: %v", err)
	}
	err = publishing(&introducerv1.PublishRequest{Announcements: []*introducerv1.SignedAnnouncement{{}}})(t.Context(), c)
	if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), registry.ErrClosed.Error()) {
		t.Errorf("a publisher: %v", err)
	}
}

// ReadLog gives every record as it was written, filtered as asked, and follows.
func TestReadLog(t *testing.T) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			in := start(t, settings{})
			in.put(in.offer(1, "storage", 1), in.offer(2, "storage", 1), in.offer(1, "helper", 1), in.offer(1, "storage", 2))
			if _, err := in.reg.Evict(t.Context(), node(2).PeerID()); err != nil {
				t.Fatal(err)
			}
			in.put(sign(t, node(1), announce.Announcement{Service: "helper", Seqnum: 2, Withdrawn: true}))
			c := in.dial(w)
			one := node(1).PeerID()
			const all = "1p 2p 3p 4p 5r 6p"
			for _, test := range []struct {
				req  *introducerv1.ReadLogRequest
				want string
			}{
				{&introducerv1.ReadLogRequest{}, all},
				{&introducerv1.ReadLogRequest{FromRevision: 1}, all},
				{&introducerv1.ReadLogRequest{FromRevision: 4}, "4p 5r 6p"},
				{&introducerv1.ReadLogRequest{FromRevision: 7}, ""},
				{&introducerv1.ReadLogRequest{Service: "storage"}, "1p 2p 4p 5r"},
				{&introducerv1.ReadLogRequest{PeerId: one[:]}, "1p 3p 4p 6p"},
				{&introducerv1.ReadLogRequest{PeerId: one[:], Service: "helper", FromRevision: 4}, "6p"},
				{&introducerv1.ReadLogRequest{Service: "nobody"}, ""},
			} {
				stream, err := c.ReadLog(t.Context(), test.req)
				if err != nil {
					t.Fatal(err)
				}
				if got := logged(received(t, stream.Receive)...); got != test.want {
					t.Errorf("%v: %q, want %q", test.req, got, test.want)
				}
			}

			stream, err := c.ReadLog(t.Context(), &introducerv1.ReadLogRequest{Follow: true, FromRevision: 6, PeerId: one[:]})
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			for i, want := range []string{"6p", "8p", "10p"} {
				if i > 0 {
					in.put(in.offer(2, "storage", uint64(10+i)))
					in.put(in.offer(1, "storage", uint64(10+i)))
				}
				page, err := stream.Receive()
				if err != nil {
					t.Fatal(err)
				}
				if got := logged(page); got != want {
					t.Errorf("following: %q, want %q", got, want)
				}
			}
		})
	}
}

// logged is pages of the log in short: revisions, p for published, r for removed.
func logged(pages ...*introducerv1.ReadLogResponse) string {
	var short []string
	for _, page := range pages {
		for _, r := range page.Records {
			kind := "p"
			if r.GetRemoved() != nil {
				kind = "r"
			}
			short = append(short, fmt.Sprint(r.Revision, kind))
		}
	}
	return strings.Join(short, " ")
}

// A stream that its client leaves ends at the introducer, and no longer counts.
func TestALeavingSubscriberIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := start(t, settings{listener: newPipeListener()})
		in.put(in.offer(1, "storage", 1))
		c := in.binary()
		sub := subscribe(t, c, &introducerv1.SubscribeRequest{})
		sub.until(synced)
		other := subscribe(t, c, &introducerv1.SubscribeRequest{Services: []string{"storage"}})
		other.until(synced)
		subscribers := func() uint64 {
			res, err := c.ListServices(t.Context(), &introducerv1.ListServicesRequest{})
			if err != nil {
				t.Fatal(err)
			}
			return res.Services[0].Subscribers
		}
		if got := subscribers(); got != 2 {
			t.Errorf("%d subscribers, want 2", got)
		}
		sub.stream.Close()
		synctest.Wait()
		if got := subscribers(); got != 1 {
			t.Errorf("%d subscribers, want 1", got)
		}
	})
}

// Whatever is published, and however often a subscriber leaves and returns in the middle of
// anything, what it holds is what the introducer holds whenever the introducer says so (I4); the
// subscriber itself checks that at every digest.
func TestSubscribersHoldTheSet(t *testing.T) {
	const nodes, seed = 40, 7
	rounds := 60
	if raceDetector {
		rounds = 15
	}
	in := start(t, settings{service: rpc.Options{ProgressInterval: 10 * time.Millisecond}})
	services := []announce.Service{"storage", "helper", "a"}
	random := rand.New(rand.NewPCG(seed, seed))
	seqnum := uint64(0)
	publish := func() {
		var items []announce.Signed
		for range 1 + random.IntN(20) {
			seqnum++
			items = append(items, sign(t, node(random.IntN(nodes)), announce.Announcement{
				Service: services[random.IntN(len(services))], Seqnum: seqnum, Withdrawn: random.IntN(4) == 0,
			}))
		}
		in.put(items...)
	}
	publish()
	var wants [][]string
	var subs []*subscriber
	for i, w := range wires {
		want := [][]string{nil, {"storage"}, {"helper", "a", "none"}}[i%3]
		wants = append(wants, want)
		subs = append(subs, subscribe(t, in.dial(w), &introducerv1.SubscribeRequest{Services: want}))
	}
	for range rounds {
		publish()
		for i, sub := range subs {
			for range random.IntN(4) {
				sub.next()
			}
			if random.IntN(3) == 0 {
				sub.stream.Close()
				sub.connect(in.dial(wires[i]), &introducerv1.SubscribeRequest{Services: wants[i], Resume: sub.token})
			}
		}
	}
	head := uint64(in.reg.Info().Last)
	for i, sub := range subs {
		for len(sub.events) == 0 || sub.token.GetRevision() < head || sub.events[len(sub.events)-1] == changes {
			sub.next()
		}
		var want []string
		for _, service := range services {
			if wants[i] != nil && !slices.Contains(wants[i], string(service)) {
				continue
			}
			res, err := in.binary().GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: string(service)})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range res.Peers {
				want = append(want, fmt.Sprintf("%s %x %d", p.Service, p.PeerId[:2], p.Seqnum))
			}
		}
		slices.Sort(want)
		got := sub.seqnums()
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("subscriber %d of %v (-want +got):\n%s", i, wants[i], diff)
		}
	}
}
