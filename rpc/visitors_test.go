package rpc_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/registry/registrytest"
)

// Whoever subscribes is listed, newest first, for as long as the stream is open.
func TestVisitingSubscribers(t *testing.T) {
	in := start(t, settings{})
	c := in.binary()
	open := func(info *introducerv1.SubscriberInfo, services ...string) context.CancelFunc {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		stream, err := c.Subscribe(ctx, &introducerv1.SubscribeRequest{Services: services, Subscriber: info})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Receive(); err != nil {
			t.Fatal(err)
		}
		return cancel
	}
	listed := func(limit int) []string {
		v := in.svc.Visitors(limit)
		out := []string{fmt.Sprint(v.Connected, " connected")}
		for _, s := range v.Subscribers {
			out = append(out, fmt.Sprint(s.Nickname, " ", s.Version, " ", s.Services))
			if s.Since.IsZero() {
				t.Errorf("%s came at no time", s.Nickname)
			}
		}
		return out
	}
	open(nil)
	alder := open(&introducerv1.SubscriberInfo{Nickname: "alder", Version: "1.2"}, "storage", "helper")
	open(&introducerv1.SubscriberInfo{Nickname: "birch"}, "storage")

	want := []string{"3 connected", "birch  [storage]", "alder 1.2 [storage helper]", "  []"}
	if diff := cmp.Diff(want, listed(10)); diff != "" {
		t.Errorf("subscribers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[:2], listed(1)); diff != "" {
		t.Errorf("at most one (-want +got):\n%s", diff)
	}
	alder()
	in.stop() // every stream has ended when it returns
	if diff := cmp.Diff([]string{"0 connected"}, listed(10)); diff != "" {
		t.Errorf("subscribers after all left (-want +got):\n%s", diff)
	}
}

// Whoever publishes is listed once, latest first, and the oldest make room.
func TestVisitingPublishers(t *testing.T) {
	in := start(t, settings{})
	by := func(node string, seqnum uint64) announce.Signed {
		return registrytest.Sign(t, registrytest.Key(node), announce.Announcement{Service: "storage", Seqnum: seqnum})
	}
	publish := func(all ...announce.Signed) {
		req := new(introducerv1.PublishRequest)
		for _, s := range all {
			req.Announcements = append(req.Announcements, introducerv1.NewSignedAnnouncement(s))
		}
		if _, err := in.binary().Publish(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	listed := func() []string {
		var out []string
		for _, p := range in.svc.Visitors(1000).Publishers {
			out = append(out, fmt.Sprint(p.ID, " ", p.Announcements))
		}
		return out
	}
	id := func(node string) announce.PeerID { return registrytest.Key(node).PeerID() }

	forged := by("forger", 1)
	forged.Signature[0] ^= 1
	short := by("short", 1)
	short.PeerID = nil
	publish(by("a", 5), by("b", 5), forged, short)
	publish(by("a", 5), by("a", 4), by("a", 6)) // known already, stale, newer
	want := []string{fmt.Sprint(id("a"), " 3"), fmt.Sprint(id("b"), " 1")}
	if diff := cmp.Diff(want, listed()); diff != "" {
		t.Errorf("publishers (-want +got):\n%s", diff)
	}

	var many []announce.Signed
	for i := range 99 {
		many = append(many, by(fmt.Sprint("node ", i), 1))
	}
	publish(many...)
	got := listed()
	if len(got) != 100 || got[0] != fmt.Sprint(id("node 98"), " 1") || got[99] != want[0] {
		t.Errorf("after 99 others: %d publishers, first %s, last %s", len(got), got[0], got[len(got)-1])
	}
}
