package client_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
)

// text is a change in short: +came, -went, old>new.
func text(c client.Change) string {
	say := func(p *client.Peer) string { return fmt.Sprintf("%s %d", p.Nickname, p.Seqnum) }
	switch {
	case c.Old == nil:
		return "+" + say(c.New)
	case c.New == nil:
		return "-" + say(c.Old)
	}
	return say(c.Old) + ">" + say(c.New)
}

// A reader is told what there is, and then what changes; what changes while it is busy is told once.
func TestChanges(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.serve(urlA, t.TempDir())
		a.put(t, sign(t, "alder", 1), sign(t, "birch", 1))
		c := w.open(client.Options{Introducers: []string{urlA}})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		heard, gate := make(chan string), make(chan struct{})
		go func() {
			defer close(heard)
			for change := range c.Changes(ctx) {
				heard <- text(change)
				<-gate
			}
		}()
		take := func(n int) []string {
			var all []string
			for range n {
				all = append(all, <-heard)
				gate <- struct{}{}
			}
			slices.Sort(all)
			return all
		}
		if diff := cmp.Diff([]string{"+alder 1", "+birch 1"}, take(2)); diff != "" {
			t.Errorf("at first (-want +got):\n%s", diff)
		}
		// Busy with one while much happens to others.
		a.put(t, sign(t, "cedar", 1))
		busy := <-heard
		a.put(t, sign(t, "alder", 2), sign(t, "alder", 3), withdraw(t, "birch", 2), sign(t, "dogwood", 1))
		a.put(t, withdraw(t, "dogwood", 2), sign(t, "alder", 4), withdraw(t, "cedar", 2))
		synctest.Wait()
		gate <- struct{}{}
		if diff := cmp.Diff([]string{"-birch 1", "-cedar 1", "alder 1>alder 4"}, take(3)); busy != "+cedar 1" || diff != "" {
			t.Errorf("after %q (-want +got):\n%s", busy, diff)
		}
		cancel()
		if s, ok := <-heard; ok {
			t.Errorf("after the end: %s", s)
		}
	})
}

// Whatever a reader misses, what it was told makes what is shown; and the digest is that of what is shown.
func TestChangesAddUp(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		r := rand.New(rand.NewPCG(1, 2))
		a := w.serve(urlA, t.TempDir())
		services := []announce.Service{"helper", storage}
		c := w.open(client.Options{Introducers: []string{urlA}, Services: services})
		held := make(map[string]*client.Peer)
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(done)
			r := rand.New(rand.NewPCG(3, 4))
			for change := range c.Changes(ctx, "helper", storage, "helper") {
				p := change.Peer()
				key := string(p.Service) + " " + p.ID.String()
				if held[key] != change.Old {
					t.Errorf("%s: told of %v, has %v", key, change.Old, held[key])
				}
				held[key] = change.New
				if change.New == nil {
					delete(held, key)
				}
				time.Sleep(time.Duration(r.IntN(3)) * time.Second)
			}
		}()
		for i := range 600 {
			name := fmt.Sprint("node ", r.IntN(40))
			said := announce.Announcement{Service: services[i%2], Seqnum: uint64(i), Nickname: name, Withdrawn: r.IntN(3) == 0}
			a.put(t, signed(t, name, said))
			time.Sleep(time.Second / 2)
		}
		time.Sleep(time.Hour)
		cancel()
		<-done
		want := make(map[string]*client.Peer)
		var digest [32]byte
		for _, s := range services {
			for _, p := range c.Peers(s) {
				want[string(s)+" "+p.ID.String()] = p
				for i, b := range p.Signed.Digest() {
					digest[i] ^= b
				}
			}
		}
		if !maps.Equal(want, held) || len(want) < 10 {
			t.Errorf("told of %d, shown are %d", len(held), len(want))
		}
		if s := c.Status(); s.Digest != digest {
			t.Errorf("digest %x, want %x", s.Digest, digest)
		}
	})
}

// The status is told when it changes.
func TestStatuses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.open(client.Options{Introducers: []string{urlA}})
		served := make(chan struct{})
		go func() {
			defer close(served)
			time.Sleep(time.Minute)
			w.serve(urlA, t.TempDir())
		}()
		defer func() { <-served }()
		var states []string
		for s := range c.Statuses(t.Context()) {
			if state := s.Introducers[0].State.String(); !slices.Contains(states, state) {
				states = append(states, state)
			}
			if s.Services[0].Synced {
				break
			}
		}
		if got := strings.Join(states, ", "); !strings.HasPrefix(got, "connecting, ") || !strings.HasSuffix(got, "synced") {
			t.Errorf("states %s", got)
		}
	})
}
