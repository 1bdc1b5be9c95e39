package checked_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/checked"
)

var at = time.Date(2026, 11, 23, 9, 0, 0, 7, time.UTC)

func key(n byte) *announce.Key { return announce.NewKeyFromSeed([32]byte{n}) }

func sign(t *testing.T, k *announce.Key, a announce.Announcement) announce.Signed {
	t.Helper()
	message, err := a.Message()
	if err != nil {
		t.Fatal(err)
	}
	return k.Sign(message)
}

// honest is a peer as an honest introducer shows it.
func honest(t *testing.T) *introducerv1.Peer {
	t.Helper()
	a := announce.Announcement{Service: "storage", Seqnum: 7, Nickname: "node7", Endpoints: []string{"https://192.0.2.7/"}}
	p := &introducerv1.Peer{
		Revision: 3, Announced: timestamppb.New(at), FirstSeen: timestamppb.New(at),
		Announcement: introducerv1.NewSignedAnnouncement(sign(t, key(7), a)),
	}
	p.SetAnnouncement(&a, key(7).PeerID())
	return p
}

func TestHonest(t *testing.T) {
	got, err := json.MarshalIndent(checked.NewChecker().Check(honest(t)), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "service": "storage",
 "peer_id": "KEY",
 "nickname": "node7",
 "seqnum": 7,
 "revision": 3,
 "endpoints": [
  "https://192.0.2.7/"
 ],
 "permutation_seed": "SEED",
 "first_seen": "2026-11-23T09:00:00.000000007Z",
 "announced": "2026-11-23T09:00:00.000000007Z",
 "verified": true,
 "announcement": {
  "message": "{\"service-name\":\"storage\",\"seqnum\":7,\"nickname\":\"node7\",\"endpoints\":[\"https://192.0.2.7/\"]}",
  "signature": "SIGNATURE",
  "key": "KEY"
 }
}`
	_, signature, id := honest(t).GetAnnouncement().Signed().Tahoe()
	seed := base64.StdEncoding.EncodeToString(honest(t).PeerId) // none is announced: the peer id
	want = strings.NewReplacer("SIGNATURE", signature, "KEY", id, "SEED", seed).Replace(want)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

// Whatever a lying introducer changes shows.
func TestLies(t *testing.T) {
	withdrawal := announce.Announcement{Service: "storage", Seqnum: 7, Withdrawn: true}
	for _, c := range []struct {
		name string
		lie  func(*introducerv1.Peer)
		want string
	}{
		{"no announcement", func(p *introducerv1.Peer) { p.Announcement = nil }, "the signed announcement is missing"},
		{"no peer at all", func(p *introducerv1.Peer) { proto.Reset(p) }, "the signed announcement is missing"},
		{"message", func(p *introducerv1.Peer) { p.Announcement.Message[20] ^= 1 }, "bad signature"},
		{"signature", func(p *introducerv1.Peer) { p.Announcement.Signature[5] ^= 1 }, "bad signature"},
		{"short signature", func(p *introducerv1.Peer) { p.Announcement.Signature = nil }, "bad signature"},
		{"key", func(p *introducerv1.Peer) { id := key(8).PeerID(); p.Announcement.PeerId = id[:] }, "bad signature"},
		{"whose it is", func(p *introducerv1.Peer) { id := key(8).PeerID(); p.PeerId = id[:] }, "signed by another peer"},
		{"short peer id", func(p *introducerv1.Peer) { p.PeerId = p.PeerId[:31] }, "signed by another peer"},
		{"service", func(p *introducerv1.Peer) { p.Service = "helper" }, `says service "helper", the peer signed "storage"`},
		{"seqnum", func(p *introducerv1.Peer) { p.Seqnum++ }, `says seqnum "8", the peer signed "7"`},
		{"nickname", func(p *introducerv1.Peer) { p.Nickname = "\u202e" }, `says nickname "\u202e", the peer signed "node7"`},
		{"seed", func(p *introducerv1.Peer) { p.PermutationSeed = []byte{1} }, `says permutation seed "[1]"`},
		{"endpoints", func(p *introducerv1.Peer) { p.Endpoints = append(p.Endpoints, "https://evil.example/") }, "says endpoints"},
		{"withdrawn", func(p *introducerv1.Peer) {
			p.Announcement = introducerv1.NewSignedAnnouncement(sign(t, key(7), withdrawal))
		}, "the peer has withdrawn it"},
		{"not an announcement", func(p *introducerv1.Peer) {
			p.Announcement = introducerv1.NewSignedAnnouncement(key(7).Sign([]byte("[]")))
		}, "must be one JSON object"},
	} {
		p := honest(t)
		c.lie(p)
		got := checked.NewChecker().Check(p)
		if got.Verified || !strings.Contains(got.Problem, c.want) {
			t.Errorf("%s: got verified %v, problem %q, want %q", c.name, got.Verified, got.Problem, c.want)
		}
	}
}

func TestGone(t *testing.T) {
	id := key(7).PeerID()
	gone := func(s *announce.Signed) *introducerv1.Gone {
		g := &introducerv1.Gone{Service: "storage", PeerId: id[:], Reason: introducerv1.GoneReason_GONE_REASON_WITHDRAWN}
		if s != nil {
			g.Withdrawal = introducerv1.NewSignedAnnouncement(*s)
		}
		return g
	}
	good := sign(t, key(7), announce.Announcement{Service: "storage", Seqnum: 8, Withdrawn: true})
	live := sign(t, key(7), announce.Announcement{Service: "storage", Seqnum: 8})
	other := sign(t, key(7), announce.Announcement{Service: "helper", Seqnum: 8, Withdrawn: true})
	stranger := sign(t, key(8), announce.Announcement{Service: "storage", Seqnum: 8, Withdrawn: true})
	forged := good
	forged.Signature = make([]byte, 64)
	for _, c := range []struct {
		name   string
		signed *announce.Signed
		want   string
	}{
		{"its own word", &good, ""},
		{"nothing", nil, "the signed withdrawal is missing"},
		{"no withdrawal", &live, "is no withdrawal"},
		{"of another service", &other, "says service"},
		{"of another peer", &stranger, "signed by another peer"},
		{"forged", &forged, "bad signature"},
	} {
		err := checked.NewChecker().CheckGone(gone(c.signed))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	expired := gone(nil)
	expired.Reason = introducerv1.GoneReason_GONE_REASON_EXPIRED
	if err := checked.NewChecker().CheckGone(expired); err != nil {
		t.Errorf("expired: got %v, though nothing is signed then", err)
	}
}
