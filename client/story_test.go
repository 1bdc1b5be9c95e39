package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/registry/registrytest"
)

const (
	urlA = "http://a.test"
	urlB = "http://b.test"
	urlC = "http://c.test"
)

// A node starts with what it knew, resumes where it stood, and hears what it missed.
func TestRestartOfTheNode(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.serve(urlA, t.TempDir())
		a.put(t, sign(t, "alder", 1), sign(t, "birch", 1), sign(t, "cedar", 1))
		opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir()}
		c := w.open(opts)
		if err := c.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "first", "alder 1, birch 1, cedar 1")
		closeClient(t, c)
		expect(t, c, "closed", "alder 1, birch 1, cedar 1")

		a.put(t, sign(t, "alder", 2), withdraw(t, "birch", 2), sign(t, "dogwood", 1))
		dir := w.stop(urlA)
		c = w.open(opts)
		expect(t, c, "with nobody there", "alder 1, birch 1, cedar 1")
		if got := c.Status().Services[0]; got.Synced {
			t.Errorf("with nobody there: %v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := c.WaitSynced(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for nobody: %v", err)
		}
		w.serve(urlA, dir)
		if err := c.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "back", "alder 2, cedar 1, dogwood 1")
		if s := status(t, c, urlA); s.Mismatches != 0 || s.Rejected != 0 || s.State != client.Synced || s.Peers != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// Introducers that are down remove nothing, whichever and in whatever order.
func TestDownRemovesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		dirs := map[string]string{urlA: t.TempDir(), urlB: t.TempDir(), urlC: t.TempDir()}
		for url, dir := range dirs {
			w.serve(url, dir).put(t, sign(t, "node of "+url, 1), sign(t, "alder", 1))
		}
		c := w.open(client.Options{Introducers: []string{urlA, urlB, urlC}, Dir: t.TempDir()})
		const all = "alder 1, node of http://a.test 1, node of http://b.test 1, node of http://c.test 1"
		expect(t, c, "all up", all)
		for url := range dirs {
			w.stop(url)
			time.Sleep(20 * time.Minute)
			expect(t, c, url+" down", all)
		}
		for url, dir := range dirs {
			w.serve(url, dir)
			time.Sleep(time.Minute)
			expect(t, c, url+" back", all)
		}
		// What one says is gone is gone there; of alder the others still say that it is not.
		w.evict(urlA, "node of "+urlA)
		w.evict(urlA, "alder")
		expect(t, c, "evicted at one", "alder 1, node of http://b.test 1, node of http://c.test 1")
		w.evict(urlB, "alder")
		w.evict(urlC, "alder")
		expect(t, c, "evicted at all", "node of http://b.test 1, node of http://c.test 1")
	})
}

// Who is down has no say in whether a peer is gone, keeps it in the books, and brings it back if it has it
// still. Who vouched for older words only has no say either.
func TestRemovedWhileDown(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve(urlA, t.TempDir()).put(t, sign(t, "alder", 1), sign(t, "birch", 1))
		w.serve(urlB, t.TempDir()).put(t, sign(t, "alder", 1), sign(t, "birch", 2))
		opts := client.Options{Introducers: []string{urlA, urlB}, Dir: t.TempDir()}
		c := w.open(opts)
		expect(t, c, "both", "alder 1, birch 2")
		dir := w.stop(urlB)
		time.Sleep(time.Minute)
		w.evict(urlA, "alder")
		w.evict(urlA, "birch")
		expect(t, c, "A evicts alder 1, and birch 1", "birch 2")
		closeClient(t, c)
		c = w.open(opts)
		time.Sleep(time.Minute)
		expect(t, c, "after a restart", "birch 2")
		w.serve(urlB, dir)
		time.Sleep(time.Minute)
		expect(t, c, "B is back", "alder 1, birch 2")
		closeClient(t, c)
		c = w.open(opts)
		expect(t, c, "after another restart", "alder 1, birch 2")
		w.evict(urlB, "alder")
		expect(t, c, "B evicts alder", "birch 2")
	})
}

// A withdrawal counts wherever it is seen, and against older words for good, over restarts too.
func TestWithdrawnAtOneOnly(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := w.serve(urlA, t.TempDir()), w.serve(urlB, t.TempDir())
		a.put(t, sign(t, "alder", 3))
		b.put(t, sign(t, "alder", 3))
		opts := client.Options{Introducers: []string{urlA, urlB}, Dir: t.TempDir()}
		c := w.open(opts)
		expect(t, c, "before", "alder 3")
		a.put(t, withdraw(t, "alder", 4))
		expect(t, c, "withdrawn at A", "")
		closeClient(t, c)
		w.stop(urlA)
		c = w.open(opts)
		expect(t, c, "after a restart, A down", "")
		time.Sleep(time.Hour)
		expect(t, c, "an hour later", "")
		b.put(t, sign(t, "alder", 5))
		expect(t, c, "announced anew", "alder 5")
	})
}

// What was withdrawn is remembered for thirty days, also while the node does not run, and no longer.
func TestFloorsAge(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := newPlayed()
		w.play(urlA, p)
		opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir()}
		c := w.open(opts)
		withdrawal := withdraw(t, "alder", 2)
		p.tell(t, changes('x', 1, announced(sign(t, "alder", 1)), gone("alder", &withdrawal)))
		for _, step := range []struct {
			days int
			want string
		}{{29, ""}, {2, "alder 1"}} {
			synctest.Wait()
			closeClient(t, c)
			time.Sleep(time.Duration(step.days) * 24 * time.Hour)
			c = w.open(opts)
			time.Sleep(2 * time.Hour)
			p.tell(t, changes('x', 1, announced(sign(t, "alder", 1))))
			expect(t, c, fmt.Sprint(step.days, " days later"), step.want)
		}
	})
}

// Of too many that are gone the oldest are forgotten.
func TestFloorsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := newPlayed()
		w.play(urlA, p)
		c := w.open(client.Options{Introducers: []string{urlA}, Dir: t.TempDir()})
		c.SetMaxFloors(10)
		for i := range 11 {
			withdrawal := withdraw(t, fmt.Sprint("node ", i), 2)
			p.tell(t, changes('x', 1, gone(fmt.Sprint("node ", i), &withdrawal)))
			time.Sleep(time.Minute)
		}
		for i := range 11 {
			p.tell(t, changes('x', 1, announced(sign(t, fmt.Sprint("node ", i), 1))))
		}
		expect(t, c, "one too many", "node 0 1, node 1 1")
	})
}

// An introducer that was emptied does not take its peers with it: they have a while to come again, and
// go if they do not.
func TestEmptiedIntroducer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve(urlA, t.TempDir()).put(t, sign(t, "alder", 1), sign(t, "birch", 1))
		opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir(), Grace: 10 * time.Minute}
		c := w.open(opts)
		expect(t, c, "before", "alder 1, birch 1")
		w.stop(urlA)
		a := w.serve(urlA, t.TempDir())
		time.Sleep(time.Minute)
		if s := status(t, c, urlA); s.State != client.Synced {
			t.Fatalf("a minute later: %+v", s)
		}
		expect(t, c, "emptied", "alder 1, birch 1")
		a.put(t, sign(t, "birch", 1), sign(t, "cedar", 1))
		expect(t, c, "in the grace", "alder 1, birch 1, cedar 1")
		// A restart now loses nobody either.
		closeClient(t, c)
		dir := w.stop(urlA)
		c = w.open(opts)
		expect(t, c, "after a restart", "alder 1, birch 1, cedar 1")
		w.serve(urlA, dir)
		if err := c.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for shown(c) == "alder 1, birch 1, cedar 1" && time.Since(began) < time.Hour {
			time.Sleep(time.Second)
		}
		expect(t, c, "at last", "birch 1, cedar 1")
		if waited := time.Since(began); waited < opts.Grace || waited > opts.Grace+time.Second {
			t.Errorf("alder stayed for %v, want %v", waited, opts.Grace)
		}
		closeClient(t, c)
		w.stop(urlA)
		expect(t, w.open(opts), "from the cache", "birch 1, cedar 1")
	})
}

// An introducer that is restored from an old copy brings nothing old back, and takes nothing away.
func TestOldCopy(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		dir, old := t.TempDir(), t.TempDir()
		a := w.serve(urlA, dir)
		a.put(t, sign(t, "alder", 3), sign(t, "birch", 1), sign(t, "cedar", 7))
		w.stop(urlA)
		copyDir(t, dir, old)
		a = w.serve(urlA, dir)
		opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir()}
		c := w.open(opts)
		expect(t, c, "first", "alder 3, birch 1, cedar 7")
		a.put(t, sign(t, "alder", 5), withdraw(t, "birch", 2), sign(t, "dogwood", 1))
		expect(t, c, "then", "alder 5, cedar 7, dogwood 1")
		w.stop(urlA)
		a = w.serve(urlA, old)
		time.Sleep(time.Minute)
		if s := status(t, c, urlA); s.State != client.Synced || s.Outdated != 2 {
			t.Errorf("%+v", s)
		}
		expect(t, c, "restored", "alder 5, cedar 7, dogwood 1")
		time.Sleep(time.Hour)
		expect(t, c, "when the grace is over", "alder 5, cedar 7")
		closeClient(t, c)
		c = w.open(opts)
		time.Sleep(time.Minute)
		// Nobody has the newest words of alder any more, and older ones are not shown.
		expect(t, c, "after a restart", "cedar 7")
		a.put(t, sign(t, "alder", 5))
		expect(t, c, "alder says again what it said", "alder 5, cedar 7")
	})
}

// Two introducers are compared by what the peers signed, not by who was heard last.
func TestNewestWins(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve(urlA, t.TempDir()).put(t, sign(t, "alder", 2))
		w.serve(urlB, t.TempDir()).put(t, sign(t, "alder", 9))
		c := w.open(client.Options{Introducers: []string{urlA, urlB}})
		expect(t, c, "both", "alder 9")
		d := w.open(client.Options{Introducers: []string{urlB, urlA}})
		expect(t, d, "the other way round", "alder 9")
		if c.Status().Digest != d.Status().Digest || c.Status().Digest == ([32]byte{}) {
			t.Errorf("digests %x and %x", c.Status().Digest, d.Status().Digest)
		}
	})
}

// The services subscribed to can change while the client runs.
func TestServicesChange(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.serve(urlA, t.TempDir())
		helper := signed(t, "birch", announce.Announcement{Service: "helper", Seqnum: 1})
		a.put(t, sign(t, "alder", 1), helper)
		opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir(), Services: []announce.Service{}}
		c := w.open(opts)
		expect(t, c, "nothing wanted", "")
		if s := status(t, c, urlA); s.State != client.Idle {
			t.Errorf("%+v", s)
		}
		if err := c.WaitPeers(t.Context(), storage, 1); !errors.Is(err, client.ErrNotSubscribed) {
			t.Errorf("waiting for what is not wanted: %v", err)
		}
		if err := c.SubscribeTo("No Name"); !errors.Is(err, announce.ErrInvalid) {
			t.Errorf("a bad name: %v", err)
		}
		if err := c.SubscribeTo(storage); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "storage wanted", "alder 1")
		if err := c.SubscribeTo("helper", storage); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "helper too", "alder 1")
		if err := c.WaitPeers(t.Context(), "helper", 1); err != nil {
			t.Error(err)
		}
		if err := c.Unsubscribe(storage); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "storage no more", "")
		if got := len(c.Peers("helper")); got != 1 {
			t.Errorf("%d helpers", got)
		}
		if s := status(t, c, urlA); s.Rejected != 0 || s.Mismatches != 0 {
			t.Errorf("%+v", s)
		}
		closeClient(t, c)
		w.stop(urlA)
		// What the cache has of a service is shown when it is wanted.
		c = w.open(opts)
		if err := c.SubscribeTo("helper"); err != nil {
			t.Fatal(err)
		}
		if got := len(c.Peers("helper")); got != 1 {
			t.Errorf("%d helpers from the cache", got)
		}
	})
}

// The introducers can change while the client runs.
func TestIntroducersChange(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve(urlA, t.TempDir()).put(t, sign(t, "alder", 1), sign(t, "birch", 1))
		w.serve(urlB, t.TempDir()).put(t, sign(t, "birch", 1), sign(t, "cedar", 1))
		opts := client.Options{Introducers: []string{urlA, urlA + "/"}, Dir: t.TempDir()}
		c := w.open(opts)
		expect(t, c, "A", "alder 1, birch 1")
		for _, bad := range []string{"", "ftp://a.test", "http://", "http://u:p@a.test", "http://a.test/?q", "://", "a.test"} {
			if err := c.SetIntroducers([]string{urlB, bad}); err == nil {
				t.Errorf("%q is taken for a URL", bad)
			}
		}
		if err := c.SetIntroducers([]string{urlA, urlB}); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "A and B", "alder 1, birch 1, cedar 1")
		if err := c.SetIntroducers([]string{urlB}); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "B", "birch 1, cedar 1")
		closeClient(t, c)
		w.stop(urlA)
		w.stop(urlB)
		opts.Introducers = []string{urlB}
		expect(t, w.open(opts), "B from the cache", "birch 1, cedar 1")
	})
}

// Every stream that an introducer ends by draining comes back within the time it asks for, and resumes.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.serve(urlA, t.TempDir())
		a.put(t, sign(t, "alder", 1))
		c := w.open(client.Options{Introducers: []string{urlA}})
		expect(t, c, "before", "alder 1")
		a.svc.Drain()
		dir := w.stop(urlA)
		w.serve(urlA, dir).put(t, sign(t, "birch", 1))
		time.Sleep(2 * time.Second)
		expect(t, c, "after", "alder 1, birch 1")
	})
}

// Another process, or another Client of this one, cannot have the same directory.
func TestDirectoryInUse(t *testing.T) {
	w := newWorld(t)
	opts := client.Options{Dir: t.TempDir(), Key: registrytest.Key("alder")}
	w.open(opts)
	if c, err := client.Open(t.Context(), opts); err == nil {
		c.Close()
		t.Error("two clients have one directory")
	}
}

// A closed client says so, and once is enough.
func TestClosed(t *testing.T) {
	w := newWorld(t)
	c := w.open(client.Options{Key: registrytest.Key("alder"), Introducers: []string{urlA}})
	closeClient(t, c)
	closeClient(t, c)
	for name, err := range map[string]error{
		"Publish":        c.Publish(t.Context(), client.Offer{Service: storage}),
		"Withdraw":       c.Withdraw(t.Context(), storage),
		"SubscribeTo":    c.SubscribeTo("helper"),
		"Unsubscribe":    c.Unsubscribe(storage),
		"SetIntroducers": c.SetIntroducers(nil),
		"WaitSynced":     c.WaitSynced(t.Context()),
		"WaitPeers":      c.WaitPeers(t.Context(), storage, 1),
	} {
		if !errors.Is(err, client.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range c.Changes(t.Context()) {
		t.Error("a change")
	}
}

// What one that answers took back is not shown again by one that comes back emptied: it has it no more.
func TestGoneWhileDownAndEmptied(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve(urlA, t.TempDir()).put(t, sign(t, "alder", 1))
		w.serve(urlB, t.TempDir()).put(t, sign(t, "alder", 1), sign(t, "birch", 1))
		c := w.open(client.Options{Introducers: []string{urlA, urlB}, Grace: time.Hour})
		expect(t, c, "both", "alder 1, birch 1")
		w.stop(urlB)
		w.evict(urlA, "alder")
		expect(t, c, "A evicts alder", "birch 1")
		w.serve(urlB, t.TempDir())
		time.Sleep(time.Minute)
		if s := status(t, c, urlB); s.State != client.Synced {
			t.Errorf("%+v", s)
		}
		expect(t, c, "B is back, emptied", "birch 1")
	})
}

// What an introducer that is not configured any more said still counts against older words.
func TestFloorsOfForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve(urlA, t.TempDir()).put(t, sign(t, "alder", 5), sign(t, "birch", 1))
		w.serve(urlB, t.TempDir()).put(t, sign(t, "alder", 7), sign(t, "birch", 1))
		opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir()}
		c := w.open(opts)
		expect(t, c, "A", "alder 5, birch 1")
		if err := c.SetIntroducers([]string{urlA, urlB}); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "both", "alder 7, birch 1")
		closeClient(t, c)
		for _, when := range []string{"without B", "and again"} {
			c = w.open(opts)
			time.Sleep(time.Minute)
			expect(t, c, when, "birch 1")
			closeClient(t, c)
		}
	})
}

// A grace that a restart interrupts holds, also if the log is told twice before the introducer is through.
func TestGraceOverRestartAndReset(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := newPlayed()
		w.play(urlA, p)
		opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir(), Grace: time.Hour}
		c := w.open(opts)
		alder, birch := sign(t, "alder", 1), sign(t, "birch", 1)
		p.tell(t, reset(isNew))
		p.tell(t, changes('x', 1, announced(alder), announced(birch)))
		p.tell(t, synced('x', 1, alder, birch))
		p.tell(t, reset(otherLog))
		p.tell(t, changes('y', 1, announced(alder)))
		p.tell(t, synced('y', 1, alder))
		expect(t, c, "in the grace", "alder 1, birch 1")
		closeClient(t, c)
		synctest.Wait() // the introducer has noticed
		c = w.open(opts)
		p.tell(t, reset(isNew))
		p.tell(t, changes('y', 1, announced(alder)))
		p.tell(t, reset(compacted))
		p.tell(t, changes('y', 1, announced(alder)))
		p.tell(t, synced('y', 1, alder))
		expect(t, c, "after a restart", "alder 1, birch 1")
		time.Sleep(2 * time.Hour)
		expect(t, c, "at last", "alder 1")
	})
}

// Services that are wanted again at once are asked for anew, and that is no mismatch.
func TestResubscribeAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve(urlA, t.TempDir()).put(t, sign(t, "alder", 1), sign(t, "birch", 1))
		c := w.open(client.Options{Introducers: []string{urlA}, Services: []announce.Service{storage, "helper"}})
		for range 50 {
			expect(t, c, "before", "alder 1, birch 1")
			if err := errors.Join(c.Unsubscribe(storage), c.SubscribeTo(storage)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		expect(t, c, "then", "alder 1, birch 1")
		if s := status(t, c, urlA); s.Mismatches != 0 {
			t.Errorf("%+v", s)
		}
	})
}
