package rpc_test

import (
	"bytes"
	"cmp"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

// recorded reads the announcements that real nodes sent and those that the reference made.
func recorded(t testing.TB) []announce.Signed {
	t.Helper()
	type vector struct {
		Message   []byte `json:"message_base64"`
		Signature string `json:"signature_string"`
		Key       string `json:"key_string"`
	}
	var captured struct{ Announcements []vector }
	var made struct{ Vectors []vector }
	readJSON(t, "announcements_captured.json", &captured)
	readJSON(t, "announcements_good.json", &made)
	var all []announce.Signed
	for _, v := range append(captured.Announcements, made.Vectors...) {
		s, err := announce.FromTahoe(v.Message, v.Signature, v.Key)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) < 5 {
		t.Fatalf("%d recorded announcements", len(all))
	}
	return all
}

// What nodes signed comes back byte for byte from every RPC over every protocol, also after a restart.
func TestRecordedAnnouncementsComeBackByteForByte(t *testing.T) {
	for _, w := range mostWires() {
		t.Run(w.name, func(t *testing.T) {
			in := start(t, settings{})
			published := publishRecorded(t, in.dial(w))
			readBack(t, in.dial(w), published)
			in.stop()
			readBack(t, start(t, settings{dir: in.dir}).dial(w), published)
		})
	}
}

// publishRecorded returns what was taken, by service, as it must be read back.
func publishRecorded(t *testing.T, c client) map[string][]announce.Signed {
	t.Helper()
	all := recorded(t)
	req := new(introducerv1.PublishRequest)
	for _, s := range all {
		req.Announcements = append(req.Announcements, introducerv1.NewSignedAnnouncement(s))
	}
	res, err := c.Publish(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	type key struct{ service, id string }
	current := make(map[key]announce.Signed)
	verifier := announce.NewVerifier(0)
	for i, r := range res.Results {
		a, id, err := verifier.Open(all[i])
		switch {
		case r.Outcome == introducerv1.PublishOutcome_PUBLISH_OUTCOME_ACCEPTED && err == nil:
			current[key{string(a.Service), string(id[:])}] = all[i]
		case r.Outcome == introducerv1.PublishOutcome_PUBLISH_OUTCOME_INVALID && err != nil && r.Reason != "":
			// The reference takes some that our stricter rules refuse.
		default:
			t.Errorf("announcement %d: %v (%s), though opening it gives %v", i, r.Outcome, r.Reason, err)
		}
	}
	published := make(map[string][]announce.Signed)
	for k, s := range current {
		published[k.service] = append(published[k.service], s)
	}
	for _, of := range published {
		slices.SortFunc(of, func(a, b announce.Signed) int { return bytes.Compare(a.PeerID, b.PeerID) })
	}
	if len(current) < 3 {
		t.Fatalf("only %d were taken", len(current))
	}
	return published
}

func readBack(t *testing.T, c client, published map[string][]announce.Signed) {
	t.Helper()
	ctx := t.Context()
	si := []byte("0123456789abcdef")
	check := func(rpc, service string, got []*introducerv1.Peer, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s of %s: %v", rpc, service, err)
			return
		}
		var signed []announce.Signed
		for _, p := range got {
			if p.Service != service || !bytes.Equal(p.PeerId, p.Announcement.PeerId) {
				t.Errorf("%s of %s: peer %x of %s, signed by %x", rpc, service, p.PeerId, p.Service, p.Announcement.GetPeerId())
			}
			signed = append(signed, p.Announcement.Signed())
		}
		compareSigned(t, rpc+" of "+service, published[service], signed)
	}
	for service := range published {
		flat, err := c.GetPeers(ctx, &introducerv1.GetPeersRequest{Service: service})
		check("GetPeers", service, flat.GetPeers(), err)

		ordered, err := c.GetPermutedPeers(ctx, &introducerv1.GetPermutedPeersRequest{Service: service, StorageIndex: si})
		check("GetPermutedPeers", service, peersOf(ordered.GetPeers()), err)

		batch, err := c.BatchGetPermutedPeers(ctx, &introducerv1.BatchGetPermutedPeersRequest{Service: service, StorageIndexes: [][]byte{si}})
		check("BatchGetPermutedPeers", service, batch.GetPeers(), err)

		lazy, err := c.StreamPermutedPeers(ctx, &introducerv1.StreamPermutedPeersRequest{Service: service, StorageIndex: si})
		if err != nil {
			t.Fatal(err)
		}
		var streamed []*introducerv1.Peer
		for _, chunk := range received(t, lazy.Receive) {
			streamed = append(streamed, peersOf(chunk.Peers)...)
		}
		check("StreamPermutedPeers", service, streamed, nil)

		sub := subscribe(t, c, &introducerv1.SubscribeRequest{Services: []string{service}})
		sub.until(synced)
		check("Subscribe", service, sub.peers(), nil)
		sub.stream.Close()

		records, err := c.ReadLog(ctx, &introducerv1.ReadLogRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		var logged []announce.Signed
		for _, page := range received(t, records.Receive) {
			for _, r := range page.Records {
				logged = append(logged, r.GetPublished().Signed())
			}
		}
		// The log has what was superseded too.
		compareSigned(t, "ReadLog of "+service, published[service], slices.DeleteFunc(logged, func(s announce.Signed) bool {
			return !slices.ContainsFunc(published[service], func(p announce.Signed) bool { return bytes.Equal(p.Message, s.Message) })
		}))
	}
}

func compareSigned(t *testing.T, what string, want, got []announce.Signed) {
	t.Helper()
	slices.SortFunc(got, func(a, b announce.Signed) int {
		return cmp.Or(bytes.Compare(a.PeerID, b.PeerID), bytes.Compare(a.Message, b.Message))
	})
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-published +got):\n%s", what, diff)
	}
}

func peersOf(ps []*introducerv1.PermutedPeer) []*introducerv1.Peer {
	var peers []*introducerv1.Peer
	for _, p := range ps {
		peers = append(peers, p.Peer)
	}
	return peers
}
