package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/registry/registrytest"
)

// edited is the change that s makes, after f has been at it.
func edited(s announce.Signed, f func(p *introducerv1.Peer)) *introducerv1.Change {
	c := announced(s)
	f(c.GetAnnounced())
	return c
}

// What an introducer says wrongly is not taken and counted; it hides neither what was known before nor
// what comes with it, and it does not make the sets differ for ever.
func TestHostileChanges(t *testing.T) {
	evil := sign(t, "evil", 7)
	flip := func(b []byte, i int) []byte {
		b = append([]byte(nil), b...)
		b[i] ^= 1
		return b
	}
	helper := signed(t, "alder", announce.Announcement{Service: "helper", Seqnum: 9})
	notJSON := registrytest.Key("evil").Sign([]byte("seqnum=7"))
	long := registrytest.Key("evil").Sign(fmt.Appendf(nil, `{"service-name":"storage","seqnum":7,"x":"%s"}`, strings.Repeat("x", announce.MaxMessage)))
	forged := announce.Signed{Message: evil.Message, Signature: flip(evil.Signature, 0), PeerID: evil.PeerID}
	other := announce.Signed{Message: flip(evil.Message, 20), Signature: evil.Signature, PeerID: evil.PeerID}
	short := announce.Signed{Message: evil.Message, Signature: evil.Signature[:63], PeerID: evil.PeerID}
	cut := announce.Signed{Message: evil.Message[:10], Signature: evil.Signature, PeerID: evil.PeerID}
	keyless := announce.Signed{Message: evil.Message, Signature: evil.Signature, PeerID: evil.PeerID[:31]}
	withdrawn := withdraw(t, "evil", 7)
	weak := announce.Signed{Message: evil.Message, Signature: make([]byte, 64), PeerID: make([]byte, 32)} // a point of small order
	alder := registrytest.Key("alder").PeerID()
	withdrawal := withdraw(t, "alder", 9)
	stolen := withdraw(t, "evil", 9)
	fake := announce.Signed{Message: withdrawal.Message, Signature: flip(withdrawal.Signature, 63), PeerID: withdrawal.PeerID}
	notOne := sign(t, "alder", 9)

	for _, test := range []struct {
		name     string
		change   *introducerv1.Change
		counted  []announce.Signed // in the introducer's set digest, besides alder and birch
		shown    string            // "": "alder 5, birch 1"
		outdated uint64            // or else it is rejected
	}{
		{name: "forged signature", change: announced(forged), counted: []announce.Signed{forged}},
		{name: "changed message", change: announced(other), counted: []announce.Signed{other}},
		{name: "signature cut", change: announced(short), counted: []announce.Signed{short}},
		{name: "message cut", change: announced(cut), counted: []announce.Signed{cut}},
		{name: "peer id cut", change: announced(keyless)},
		{name: "weak key", change: announced(weak), counted: []announce.Signed{weak}},
		{name: "oversized", change: announced(long), counted: []announce.Signed{long}},
		{name: "no JSON", change: announced(notJSON), counted: []announce.Signed{notJSON}},
		{name: "no announcement", change: edited(evil, func(p *introducerv1.Peer) { p.Announcement = nil }), counted: []announce.Signed{{}}},
		{name: "a withdrawal", change: announced(withdrawn), counted: []announce.Signed{withdrawn}},
		{name: "another's", change: edited(evil, func(p *introducerv1.Peer) { p.PeerId = registrytest.Key("fir").Sign(nil).PeerID }), counted: []announce.Signed{evil}},
		{name: "of another service", change: edited(signed(t, "evil", announce.Announcement{Service: "helper", Seqnum: 1}), func(p *introducerv1.Peer) {}),
			counted: []announce.Signed{signed(t, "evil", announce.Announcement{Service: "helper", Seqnum: 1})}},
		{name: "not subscribed to", change: edited(helper, func(p *introducerv1.Peer) { p.Service = "helper" })},
		{name: "no service name", change: edited(evil, func(p *introducerv1.Peer) { p.Service = "No!" })},
		{name: "of no kind", change: &introducerv1.Change{}},
		{name: "gone of nobody", change: &introducerv1.Change{Change: &introducerv1.Change_Gone{Gone: &introducerv1.Gone{Service: "storage", PeerId: alder[:3]}}}},

		{name: "gone by a forged withdrawal", change: gone("alder", &fake), shown: "birch 1"},
		{name: "gone by another's withdrawal", change: gone("alder", &stolen), shown: "birch 1"},
		{name: "gone by no withdrawal", change: gone("alder", &notOne), shown: "birch 1"},

		{name: "alder replayed", change: announced(sign(t, "alder", 4)), counted: []announce.Signed{sign(t, "alder", 4)}, outdated: 1},
		{name: "alder forged", change: edited(evil, func(p *introducerv1.Peer) { p.PeerId = alder[:] }), counted: []announce.Signed{evil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				p := newPlayed()
				w.play(urlA, p)
				logger, lines := logged()
				opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir(), Logger: logger}
				c := w.open(opts)
				first, second := sign(t, "alder", 5), sign(t, "birch", 1)
				p.tell(t, reset(isNew))
				p.tell(t, changes('x', 1, announced(first)))
				p.tell(t, synced('x', 1, first))
				expect(t, c, "first", "alder 5")
				p.tell(t, changes('x', 3, test.change, announced(second)))
				want := test.shown
				if want == "" {
					want = "alder 5, birch 1"
				}
				expect(t, c, "then", want)
				s := status(t, c, urlA)
				if s.Rejected+s.Outdated != 1 || s.Outdated != test.outdated {
					t.Errorf("%d rejected and %d outdated", s.Rejected, s.Outdated)
				}
				if warned := strings.Contains(lines.String(), "not to be believed") && strings.Contains(lines.String(), urlA); warned != (test.outdated == 0) {
					t.Errorf("the log says %q", lines.String())
				}
				held := append([]announce.Signed{second}, test.counted...)
				if test.shown == "" && !strings.HasPrefix(test.name, "alder") {
					held = append(held, first)
				}
				progress := synced('x', 3, held...).GetSynced()
				p.tell(t, &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Progress{Progress: progress}})
				synctest.Wait()
				if s := status(t, c, urlA); s.Mismatches != 0 || s.State != client.Synced {
					t.Errorf("%+v", s)
				}
				// After a restart the same is held, and so is the introducer's set.
				closeClient(t, c)
				synctest.Wait() // the introducer has noticed
				c = w.open(opts)
				for range 2 {
					p.next(t)
				}
				p.tell(t, synced('x', 3, held...))
				synctest.Wait()
				if s := status(t, c, urlA); s.Mismatches != 0 || s.State != client.Synced || s.Peers != len(held) {
					t.Errorf("after a restart: %+v", s)
				}
			})
		})
	}
}

// An introducer whose digest is of another set is asked for all anew; nothing is lost by it.
func TestHostileDigest(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := newPlayed()
		w.play(urlA, p)
		c := w.open(client.Options{Introducers: []string{urlA}})
		alder, birch := sign(t, "alder", 1), sign(t, "birch", 1)
		for i := range 3 {
			if req := p.next(t); req.Resume != nil {
				t.Errorf("stream %d resumes from %v", i, req.Resume)
			}
			p.tell(t, reset(isNew))
			p.tell(t, changes('x', 1, announced(alder), announced(birch)))
			p.tell(t, synced('x', 1, alder))
			expect(t, c, "a lie", "alder 1, birch 1")
			if s := status(t, c, urlA); s.Mismatches != uint64(i+1) || s.State != client.Connecting {
				t.Errorf("%+v", s)
			}
		}
		p.next(t)
		p.tell(t, reset(isNew))
		p.tell(t, changes('x', 1, announced(birch)))
		expect(t, c, "not yet", "alder 1, birch 1")
		p.tell(t, synced('x', 1, birch))
		expect(t, c, "the truth", "birch 1")
	})
}

// What one introducer can fill is bounded, and what there is stays.
func TestHostileFlood(t *testing.T) {
	for name, opts := range map[string]client.Options{
		"peers": {MaxPeers: 10},
		"bytes": {MaxBytes: int64(10 * len(sign(t, "node 10", 1).Message))},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				p := newPlayed()
				w.play(urlA, p)
				w.serve(urlB, t.TempDir()).put(t, sign(t, "alder", 1))
				opts.Introducers = []string{urlA, urlB}
				c := w.open(opts)
				p.next(t)
				p.tell(t, reset(isNew))
				for i := range 100 {
					p.tell(t, changes('x', uint64(i+1), announced(sign(t, fmt.Sprint("node ", 10+i), 1))))
					synctest.Wait()
					if s := status(t, c, urlA); s.Err != nil {
						if !errors.Is(s.Err, client.ErrTooMany) {
							t.Errorf("it ends with %v", s.Err)
						}
						break
					}
				}
				if got := len(c.Peers(storage)); got < 10 || got > 12 {
					t.Errorf("%d peers", got)
				}
				if err := c.WaitSynced(t.Context()); err != nil { // B is not concerned
					t.Error(err)
				}
				if req := p.next(t); req.Resume.GetRevision() < 10 {
					t.Errorf("it resumes from %v", req.Resume)
				}
				p.tell(t, changes('x', 200, announced(sign(t, "node 10", 2))))
				synctest.Wait()
				if s := status(t, c, urlA); (name == "bytes") != (s.Err != nil && s.State == client.Connecting) {
					t.Errorf("what replaces another: %+v", s)
				}
			})
		})
	}
	bubble(t, func(t *testing.T, w *world) {
		p := newPlayed()
		w.play(urlA, p)
		c := w.open(client.Options{Introducers: []string{urlA}})
		p.next(t)
		p.tell(t, changes('x', 1, make([]*introducerv1.Change, 100_001)...))
		synctest.Wait()
		if s := status(t, c, urlA); s.Err == nil || !strings.Contains(s.Err.Error(), "100001 changes in one message") {
			t.Errorf("%+v", s)
		}
	})
}

// However much is wrong, the log gets a line a minute.
func TestHostileLog(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := newPlayed()
		w.play(urlA, p)
		logger, lines := logged()
		c := w.open(client.Options{Introducers: []string{urlA}, Logger: logger})
		p.next(t)
		for i := range 90 {
			for range 10 {
				p.tell(t, changes('x', uint64(i+1), &introducerv1.Change{}))
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if s := status(t, c, urlA); s.Rejected != 900 {
			t.Errorf("%d rejected", s.Rejected)
		}
		if got := strings.Count(lines.String(), "\n"); got != 2 {
			t.Errorf("%d lines:\n%s", got, lines)
		}
	})
}

// One too many does not keep out what is said with it: others may have made room.
func TestRoomAgain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := newPlayed()
		w.play(urlA, p)
		c := w.open(client.Options{Introducers: []string{urlA}, MaxPeers: 2})
		p.next(t)
		alder, birch, cedar := sign(t, "alder", 1), sign(t, "birch", 1), sign(t, "cedar", 1)
		p.tell(t, reset(isNew))
		p.tell(t, changes('x', 2, announced(alder), announced(birch)))
		p.tell(t, synced('x', 2, alder, birch))
		p.tell(t, changes('x', 4, announced(cedar), gone("alder", nil)))
		expect(t, c, "one too many", "birch 1")
		p.next(t)
		p.tell(t, changes('x', 4, announced(cedar), gone("alder", nil)))
		p.tell(t, synced('x', 4, birch, cedar))
		expect(t, c, "room", "birch 1, cedar 1")
	})
}
