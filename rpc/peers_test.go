package rpc_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
)

// Every field of a peer, in both views.
func TestPeerFields(t *testing.T) {
	in := start(t, settings{})
	said := sign(t, node(1), announce.Announcement{
		Service: "storage", Seqnum: 1, Nickname: "north", TTL: 3600e9,
		PermutationSeed: []byte("seed"), FURL: "pb://a", NURLs: []string{"pb://b"}, Endpoints: []string{"https://c"},
	})
	in.put(said)
	again := sign(t, node(1), announce.Announcement{Service: "storage", Seqnum: 5})
	in.put(sign(t, node(2), announce.Announcement{Service: "storage", Seqnum: 3}), again)
	before, _ := in.reg.View("storage").Peers.Get([32]byte(said.PeerID))

	full := []*introducerv1.Peer{
		{
			Service: "storage", PeerId: said.PeerID, Seqnum: 5, Revision: 3, PermutationSeed: said.PeerID,
			FirstSeen: timestamppb.New(before.FirstSeen()), Announced: timestamppb.New(before.Announced()),
			Announcement: introducerv1.NewSignedAnnouncement(again),
		},
	}
	if !before.FirstSeen().Before(before.Announced()) {
		t.Errorf("first seen %v, announced again %v", before.FirstSeen(), before.Announced())
	}
	id := node(1).PeerID()
	for _, w := range wires {
		c := in.dial(w)
		res, err := c.GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: "storage"})
		if err != nil {
			t.Fatal(err)
		}
		only := slices.DeleteFunc(res.Peers, func(p *introducerv1.Peer) bool { return !bytes.Equal(p.PeerId, id[:]) })
		if diff := cmp.Diff(full, only, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", w.name, diff)
		}
	}

	in.put(sign(t, node(3), announce.Announcement{
		Service: "helper", Seqnum: 1, Nickname: "north", TTL: 3600e9,
		PermutationSeed: []byte("seed"), FURL: "pb://a", NURLs: []string{"pb://b"}, Endpoints: []string{"https://c"},
	}))
	p, _ := in.reg.View("helper").Peers.Get(node(3).PeerID())
	want := &introducerv1.Peer{
		Service: "helper", PeerId: p.ID[:], Seqnum: 1, Revision: 4, Nickname: "north",
		Endpoints: []string{"pb://a", "pb://b", "https://c"}, PermutationSeed: []byte("seed"),
		FirstSeen: timestamppb.New(p.FirstSeen()), Announced: timestamppb.New(p.Announced()), Expires: timestamppb.New(p.Expires()),
	}
	for _, w := range wires {
		res, err := in.dial(w).GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: "helper", View: introducerv1.PeerView_PEER_VIEW_BASIC})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]*introducerv1.Peer{want}, res.Peers, protocmp.Transform()); diff != "" {
			t.Errorf("%s, basic (-want +got):\n%s", w.name, diff)
		}
	}
}

// A page ends where the next begins, whatever comes and goes between them: who is there all the time
// is listed once.
func TestPagingOverChanges(t *testing.T) {
	in := start(t, settings{})
	const n = 60
	for i := range n {
		in.put(in.offer(i, "storage", 1))
	}
	c := in.binary()
	listed := make(map[string]int)
	req := &introducerv1.GetPeersRequest{Service: "storage", PageSize: 7}
	var last []byte
	for page := 0; ; page++ {
		res, err := c.GetPeers(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Peers) > 7 {
			t.Fatalf("a page of %d", len(res.Peers))
		}
		for _, p := range res.Peers {
			if bytes.Compare(last, p.PeerId) >= 0 {
				t.Errorf("page %d: %x after %x", page, p.PeerId, last)
			}
			last = p.PeerId
			listed[string(p.PeerId)]++
		}
		if res.NextPageToken == "" {
			break
		}
		req.PageToken, req.PageSize = res.NextPageToken, uint32(3+page%5)
		// Even nodes stay; odd ones go, and new ones come.
		gone := node(2*page + 1)
		in.put(sign(t, gone, announce.Announcement{Service: "storage", Seqnum: 2, Withdrawn: true}))
		in.put(in.offer(n+page, "storage", 1))
	}
	for i := 0; i < n; i += 2 {
		id := node(i).PeerID()
		if got := listed[string(id[:])]; got != 1 {
			t.Errorf("node %d, there all the time, was listed %d times", i, got)
		}
	}
	for id, times := range listed {
		if times != 1 {
			t.Errorf("peer %x was listed %d times", id, times)
		}
	}
}

// The peer after which a page ended may be gone when the next is asked for.
func TestPagingGoesOnAfterAPeerThatLeft(t *testing.T) {
	in := start(t, settings{})
	ids := make([]announce.PeerID, 4)
	keys := make(map[announce.PeerID]*announce.Key)
	for i := range ids {
		in.put(in.offer(i, "storage", 1))
		ids[i] = node(i).PeerID()
		keys[ids[i]] = node(i)
	}
	slices.SortFunc(ids, announce.PeerID.Compare)
	c := in.binary()
	first, err := c.GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: "storage", PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	in.put(sign(t, keys[ids[1]], announce.Announcement{Service: "storage", Seqnum: 2, Withdrawn: true}))
	second, err := c.GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: "storage", PageSize: 2, PageToken: first.NextPageToken})
	if err != nil {
		t.Fatal(err)
	}
	var got []announce.PeerID
	for _, p := range append(first.Peers, second.Peers...) {
		got = append(got, announce.PeerID(p.PeerId))
	}
	if diff := cmp.Diff(ids, got); diff != "" || second.NextPageToken != "" {
		t.Errorf("(-want +got):\n%s\nnext page token %q", diff, second.NextPageToken)
	}
	if second.Revision != first.Revision+1 {
		t.Errorf("pages of revisions %d and %d", first.Revision, second.Revision)
	}
}

// A page stays below what clients read by default, in every encoding, by being shorter.
func TestPagesStayBelowWhatClientsRead(t *testing.T) {
	in := start(t, settings{})
	const n = 400
	var crowd []announce.Signed
	for i := range n {
		// The longest announcement, and one whose text grows most in JSON.
		crowd = append(crowd, sign(t, node(i), announce.Announcement{
			Service: "storage", Seqnum: 1, Nickname: strings.Repeat("\x01", 200),
			FURL: strings.Repeat("\x01", 2_400),
		}))
	}
	in.put(crowd...)
	for _, w := range mostWires() {
		for _, view := range []introducerv1.PeerView{introducerv1.PeerView_PEER_VIEW_FULL, introducerv1.PeerView_PEER_VIEW_BASIC} {
			c := in.dial(w)
			req := &introducerv1.GetPeersRequest{Service: "storage", PageSize: 10_000, View: view}
			seen, pages := 0, 0
			for {
				res, err := c.GetPeers(t.Context(), req)
				if err != nil {
					t.Fatalf("%s, %v: %v", w.name, view, err)
				}
				seen += len(res.Peers)
				pages++
				if req.PageToken = res.NextPageToken; req.PageToken == "" {
					break
				}
			}
			if seen != n {
				t.Errorf("%s, %v: %d peers in %d pages, want %d", w.name, view, seen, pages, n)
			}
			if view == introducerv1.PeerView_PEER_VIEW_FULL && pages < 2 {
				t.Errorf("%s: %d MB in one page", w.name, n*17_000>>20)
			}
		}
	}
}

// What goes out as bytes made beforehand is to the byte what protobuf makes of the message.
func TestWireBytesAreThoseOfProtobuf(t *testing.T) {
	in := start(t, settings{})
	for i := range 300 {
		in.put(in.offer(i, "storage", 1))
	}
	post := func(procedure string, req proto.Message) []byte {
		t.Helper()
		body, err := proto.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		return in.http(http.MethodPost, procedure, "application/proto", body)
	}
	for procedure, test := range map[string]struct{ req, res proto.Message }{
		introducerv1connect.IntroducerServiceGetPeersProcedure: {
			&introducerv1.GetPeersRequest{Service: "storage"}, new(introducerv1.GetPeersResponse),
		},
		introducerv1connect.IntroducerServiceGetPermutedPeersProcedure: {
			&introducerv1.GetPermutedPeersRequest{Service: "storage", StorageIndex: si16}, new(introducerv1.GetPermutedPeersResponse),
		},
		introducerv1connect.IntroducerServiceBatchGetPermutedPeersProcedure: {
			&introducerv1.BatchGetPermutedPeersRequest{Service: "storage", StorageIndexes: [][]byte{si16}}, new(introducerv1.BatchGetPermutedPeersResponse),
		},
	} {
		got := post(procedure, test.req)
		if err := proto.Unmarshal(got, test.res); err != nil {
			t.Errorf("%s: %v", procedure, err)
			continue
		}
		if len(test.res.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("%s: bytes that are no field", procedure)
		}
		// The known fields come first, else it is the same: the length shows that nothing is lost.
		want, err := proto.Marshal(test.res)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) || len(got) < 300*100 {
			t.Errorf("%s: %d bytes, protobuf makes %d", procedure, len(got), len(want))
		}
	}
}

// The lookups answer to a browser's address line: JSON by HTTP GET.
func TestHTTPGet(t *testing.T) {
	in := start(t, settings{})
	for i := range 3 {
		in.put(in.offer(i, "storage", 1))
	}
	get := func(procedure, message string) map[string]any {
		t.Helper()
		q := url.Values{"connect": {"v1"}, "encoding": {"json"}, "message": {message}}
		var res map[string]any
		body := in.http(http.MethodGet, procedure+"?"+q.Encode(), "", nil)
		if err := json.Unmarshal(body, &res); err != nil {
			t.Fatalf("%s: %v in %s", procedure, err, body)
		}
		return res
	}
	si := base64.StdEncoding.EncodeToString(si16)
	for procedure, message := range map[string]string{
		introducerv1connect.IntroducerServiceGetPeersProcedure:              `{"service":"storage"}`,
		introducerv1connect.IntroducerServiceGetPermutedPeersProcedure:      `{"service":"storage","storageIndex":"` + si + `"}`,
		introducerv1connect.IntroducerServiceBatchGetPermutedPeersProcedure: `{"service":"storage","storageIndexes":["` + si + `"]}`,
	} {
		res := get(procedure, message)
		if peers, _ := res["peers"].([]any); len(peers) != 3 || res["revision"] != "3" {
			t.Errorf("%s: %v", procedure, res)
		}
	}
	services := get(introducerv1connect.IntroducerServiceListServicesProcedure, "{}")
	want := map[string]any{"revision": "3", "services": []any{map[string]any{"service": "storage", "peers": "3"}}}
	if diff := cmp.Diff(want, services); diff != "" {
		t.Errorf("ListServices (-want +got):\n%s", diff)
	}
	info := get(introducerv1connect.IntroducerServiceGetInfoProcedure, "{}")
	logID := in.reg.Info().LogID
	if info["peers"] != "3" || info["lastRevision"] != "3" || info["firstRevision"] != "1" || info["logId"] != base64.StdEncoding.EncodeToString(logID[:]) {
		t.Errorf("GetInfo: %v", info)
	}
	if got := in.status(http.MethodGet, introducerv1connect.IntroducerServicePublishProcedure+"?connect=v1&encoding=json&message={}"); got != http.StatusMethodNotAllowed {
		t.Errorf("Publish by GET: status %d", got)
	}
}

// http makes a call without any of our clients, and returns the body of its good answer.
func (in *introducer) http(method, path, contentType string, body []byte) []byte {
	in.t.Helper()
	res := in.do(method, path, contentType, body)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		in.t.Fatalf("%s %s: %s %s %v", method, path, res.Status, b, err)
	}
	return b
}

func (in *introducer) status(method, path string) int {
	in.t.Helper()
	res := in.do(method, path, "", nil)
	res.Body.Close()
	return res.StatusCode
}

func (in *introducer) do(method, path, contentType string, body []byte) *http.Response {
	in.t.Helper()
	req, err := http.NewRequestWithContext(in.t.Context(), method, "http://introducer.test"+path, bytes.NewReader(body))
	if err != nil {
		in.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	transport := &http.Transport{DialContext: in.net.DialContext}
	in.t.Cleanup(transport.CloseIdleConnections)
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	return res
}
