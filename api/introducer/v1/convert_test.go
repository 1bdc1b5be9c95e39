package introducerv1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

// What is signed crosses the wire as it is, right or wrong: wrong lengths are for the verifier to
// refuse, and it can only refuse what it gets to see.
func TestSignedCrossesTheWireAsItIs(t *testing.T) {
	for name, s := range map[string]announce.Signed{
		"right lengths": {Message: []byte(`{"a":1}`), Signature: make([]byte, 64), PeerID: make([]byte, 32)},
		"wrong lengths": {Message: []byte{0xff, 0}, Signature: []byte{1}, PeerID: make([]byte, 33)},
		"nothing":       {},
	} {
		got := introducerv1.NewSignedAnnouncement(s).Signed()
		if diff := cmp.Diff(s, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	var absent *introducerv1.SignedAnnouncement
	if diff := cmp.Diff(announce.Signed{}, absent.Signed()); diff != "" {
		t.Errorf("an absent announcement (-want +got):\n%s", diff)
	}
}

func TestSetAnnouncement(t *testing.T) {
	id := announce.PeerID{1, 2, 3}
	for _, test := range []struct {
		name string
		said announce.Announcement
		want *introducerv1.Peer
	}{
		{
			"all that a peer can say",
			announce.Announcement{
				Service: announce.Storage, Seqnum: 7, Nickname: "north",
				PermutationSeed: []byte("seed"),
				FURL:            "pb://a", NURLs: []string{"pb://b"}, Endpoints: []string{"https://c", "pb://a"},
			},
			&introducerv1.Peer{
				Service: "storage", PeerId: id[:], Seqnum: 7, Nickname: "north", Revision: 9,
				PermutationSeed: []byte("seed"), Endpoints: []string{"pb://a", "pb://b", "https://c"},
			},
		},
		{
			"the peer id is the seed where none is announced",
			announce.Announcement{Service: announce.Helper},
			&introducerv1.Peer{Service: "helper", PeerId: id[:], PermutationSeed: id[:], Revision: 9},
		},
		{
			"an empty seed is one",
			announce.Announcement{Service: announce.Helper, PermutationSeed: []byte{}},
			&introducerv1.Peer{Service: "helper", PeerId: id[:], PermutationSeed: []byte{}, Revision: 9},
		},
	} {
		got := &introducerv1.Peer{Revision: 9}
		got.SetAnnouncement(&test.said, id)
		if diff := cmp.Diff(test.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}
