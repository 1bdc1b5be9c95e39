package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/node"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/registry/registrytest"
)

// askers are ways to ask a node.
func askers(url string) map[string]introducerv1connect.IntroducerServiceClient {
	all := make(map[string]introducerv1connect.IntroducerServiceClient)
	for name, opts := range map[string][]connecthttp.Option{
		"binary": nil, "JSON": {connecthttp.WithProtoJSON()}, "gRPC-Web": {connecthttp.WithGRPCWeb()},
	} {
		all[name] = introducerv1connect.NewIntroducerServiceClient(connect.NewClient(connecthttp.NewTransport(http.DefaultClient, url, opts...)))
	}
	return all
}

// openWithPeers opens a node that has heard of n peers of storage, and answers lookups.
func openWithPeers(t *testing.T, n int, nickname string) (*node.Node, []*introducerv1.Peer) {
	t.Helper()
	in, s := startIntroducer(t), newSite(t, "n")
	var items []announce.Signed
	var peers []*introducerv1.Peer
	for i := range n {
		a := announce.Announcement{
			Service: "storage", Seqnum: uint64(i), Nickname: nickname, FURL: fmt.Sprintf("pb://%d", i),
			Endpoints: []string{fmt.Sprintf("https://192.0.2.%d/", i)},
		}
		if i%2 == 0 {
			a.PermutationSeed = []byte(fmt.Sprint(i))
		}
		key := registrytest.Key(fmt.Sprint(i))
		signed := registrytest.Sign(t, key, a)
		items = append(items, signed)
		p := &introducerv1.Peer{Announcement: introducerv1.NewSignedAnnouncement(signed)}
		p.SetAnnouncement(&a, key.PeerID())
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b *introducerv1.Peer) int { return bytes.Compare(a.PeerId, b.PeerId) })
	registrytest.Publish(t, in.Registry, items...)
	config := s.config(in)
	config.Wants, config.Listen = []announce.Service{"storage", "helper"}, "127.0.0.1:0"
	opened := s.open(config)
	if err := opened.Introducer.WaitPeers(withPatience(t), "storage", n); err != nil {
		t.Fatal(err)
	}
	return opened, peers
}

func TestLookups(t *testing.T) {
	n, peers := openWithPeers(t, 50, "n")
	si := []byte("sixteen bytes....")[:16]
	preferred := peers[7].PeerId

	// The reference order, from the package that holds the vectors.
	var order []permute.Peer
	byID := make(map[permute.Key]*introducerv1.Peer)
	for _, p := range peers {
		key := permute.Key(p.PeerId)
		order = append(order, permute.Peer{Key: key, Seed: p.PermutationSeed})
		byID[key] = p
	}
	permute.Sort(order, si)
	var permuted []*introducerv1.PermutedPeer
	for _, p := range order {
		id := permute.Hash(si, p.Seed)
		permuted = append(permuted, &introducerv1.PermutedPeer{PermutedId: id[:], Peer: byID[p.Key]})
	}
	favoured := slices.Clone(permuted)
	at := slices.IndexFunc(favoured, func(p *introducerv1.PermutedPeer) bool { return bytes.Equal(p.Peer.PeerId, preferred) })
	favoured = slices.Insert(slices.Delete(favoured, at, at+1), 0, permuted[at])

	for name, ask := range askers(n.LookupURL()) {
		var got []*introducerv1.Peer
		req := &introducerv1.GetPeersRequest{Service: "storage", PageSize: 20}
		for pages := 1; ; pages++ {
			res, err := ask.GetPeers(t.Context(), req)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, res.Peers...)
			if res.NextPageToken == "" {
				if pages != 3 {
					t.Errorf("%s: %d pages, want 3", name, pages)
				}
				break
			}
			req.PageToken = res.NextPageToken
		}
		if diff := cmp.Diff(peers, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: peers (-want +got):\n%s", name, diff)
		}

		for _, c := range []struct {
			name string
			req  *introducerv1.GetPermutedPeersRequest
			want []*introducerv1.PermutedPeer
		}{
			{"all", &introducerv1.GetPermutedPeersRequest{}, permuted},
			{"the first 3", &introducerv1.GetPermutedPeersRequest{Limit: 3}, permuted[:3]},
			{"more than there are", &introducerv1.GetPermutedPeersRequest{Limit: 1<<32 - 1}, permuted},
			{"one preferred", &introducerv1.GetPermutedPeersRequest{PreferredPeerIds: [][]byte{preferred}}, favoured},
		} {
			c.req.Service, c.req.StorageIndex = "storage", si
			res, err := ask.GetPermutedPeers(t.Context(), c.req)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, c.name, err)
			}
			if diff := cmp.Diff(c.want, res.Peers, protocmp.Transform()); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", name, c.name, diff)
			}
		}

		var streamed []*introducerv1.PermutedPeer
		stream, err := ask.StreamPermutedPeers(t.Context(), &introducerv1.StreamPermutedPeersRequest{
			Service: "storage", StorageIndex: si, PreferredPeerIds: [][]byte{preferred},
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for {
			res, err := stream.Receive()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			streamed = append(streamed, res.Peers...)
		}
		stream.Close()
		if diff := cmp.Diff(favoured, streamed, protocmp.Transform()); diff != "" {
			t.Errorf("%s: streamed (-want +got):\n%s", name, diff)
		}

		basic, err := ask.GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: "storage", View: introducerv1.PeerView_PEER_VIEW_BASIC})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(peers, basic.Peers, protocmp.Transform(), protocmp.IgnoreFields(&introducerv1.Peer{}, "announcement")); diff != "" {
			t.Errorf("%s: basic view (-want +got):\n%s", name, diff)
		}
		for _, p := range basic.Peers {
			if p.Announcement != nil {
				t.Fatalf("%s: the basic view has the signed bytes", name)
			}
		}

		services, err := ask.ListServices(t.Context(), &introducerv1.ListServicesRequest{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := &introducerv1.ListServicesResponse{Services: []*introducerv1.Service{{Service: "helper"}, {Service: "storage", Peers: 50}}}
		if diff := cmp.Diff(want, services, protocmp.Transform()); diff != "" {
			t.Errorf("%s: services (-want +got):\n%s", name, diff)
		}
	}
}

// A page stays below what clients read, whatever peers say.
func TestLargePage(t *testing.T) {
	n, peers := openWithPeers(t, 150, strings.Repeat("\x01", 256))
	for _, p := range peers {
		if len(p.Announcement.Message) < 1500 {
			t.Fatalf("a message of %d bytes is no test", len(p.Announcement.Message))
		}
	}
	for name, ask := range askers(n.LookupURL()) {
		res, err := ask.GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: "storage", PageSize: 10_000})
		if err != nil || len(res.Peers) == 0 {
			t.Errorf("%s: got %d peers, %v", name, len(res.GetPeers()), err)
		}
	}
}

func TestBadLookups(t *testing.T) {
	n, _ := openWithPeers(t, 1, "n")
	ask := askers(n.LookupURL())["binary"]
	peers := func(r *introducerv1.GetPeersRequest) error { _, err := ask.GetPeers(t.Context(), r); return err }
	permuted := func(r *introducerv1.GetPermutedPeersRequest) error {
		_, err := ask.GetPermutedPeers(t.Context(), r)
		return err
	}
	si := make([]byte, 16)
	for _, c := range []struct {
		name string
		err  error
		code connect.Code
		want string
	}{
		{"no service", peers(&introducerv1.GetPeersRequest{}), connect.CodeInvalidArgument, `service: invalid service name ""`},
		{"a service that is not wanted", peers(&introducerv1.GetPeersRequest{Service: "upload_storage"}), connect.CodeFailedPrecondition,
			"this node does not subscribe to upload_storage: add it to wants in its configuration"},
		{"a view", peers(&introducerv1.GetPeersRequest{Service: "storage", View: 7}), connect.CodeInvalidArgument, "view: 7 is no PeerView"},
		{"a large page", peers(&introducerv1.GetPeersRequest{Service: "storage", PageSize: 10_001}), connect.CodeInvalidArgument,
			"page_size: 10001; at most 10000 is allowed"},
		{"a page token", peers(&introducerv1.GetPeersRequest{Service: "storage", PageToken: "x"}), connect.CodeInvalidArgument,
			"page_token: not one that this node gave"},
		{"no storage index", permuted(&introducerv1.GetPermutedPeersRequest{Service: "storage"}), connect.CodeInvalidArgument,
			"storage_index: 0 bytes; 1 to 64 are allowed"},
		{"a long storage index", permuted(&introducerv1.GetPermutedPeersRequest{Service: "storage", StorageIndex: make([]byte, 65)}),
			connect.CodeInvalidArgument, "storage_index: 65 bytes; 1 to 64 are allowed"},
		{"half a peer id", permuted(&introducerv1.GetPermutedPeersRequest{Service: "storage", StorageIndex: si, PreferredPeerIds: [][]byte{make([]byte, 32), {1}}}),
			connect.CodeInvalidArgument, "preferred_peer_ids[1]: 1 bytes; a peer id has 32"},
		{"many peer ids", permuted(&introducerv1.GetPermutedPeersRequest{Service: "storage", StorageIndex: si, PreferredPeerIds: make([][]byte, 10_001)}),
			connect.CodeInvalidArgument, "preferred_peer_ids: 10001 of them; at most 10000 are allowed"},
	} {
		if connect.CodeOf(c.err) != c.code || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: got %v, want %v with %q", c.name, c.err, c.code, c.want)
		}
	}
	// It is no introducer.
	if _, err := ask.Publish(t.Context(), &introducerv1.PublishRequest{}); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("Publish: got %v, want unimplemented", err)
	}
}

// A web page whose name was made to lead here reads nothing.
func TestForeignHosts(t *testing.T) {
	n, _ := openWithPeers(t, 1, "n")
	for host, want := range map[string]int{
		"localhost": http.StatusOK, "localhost:7272": http.StatusOK, "127.0.0.1:7272": http.StatusOK, "[::1]": http.StatusOK,
		"[::1]:7272": http.StatusOK, "evil.example": http.StatusForbidden, "evil.example:7272": http.StatusForbidden,
	} {
		req, err := http.NewRequest(http.MethodPost, n.LookupURL()+introducerv1connect.IntroducerServiceListServicesProcedure, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("asked as %s: got %s, want %d", host, res.Status, want)
		}
	}
}

// Lookups move with the configuration, and end with the node.
func TestLookupsMove(t *testing.T) {
	in, s := startIntroducer(t), newSite(t, "n")
	config := s.config(in)
	n := s.open(config)
	if got := n.LookupURL(); got != "" {
		t.Errorf("lookups at %q, want nowhere", got)
	}
	for _, listen := range []string{":0", "127.0.0.1:0"} {
		moved := *config
		moved.Listen = listen
		if err := n.Reload(t.Context(), &moved); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(n.LookupURL(), "http://127.0.0.1:") {
			t.Errorf("listen %q: lookups at %q", listen, n.LookupURL())
		}
		if _, err := askers(n.LookupURL())["binary"].ListServices(t.Context(), &introducerv1.ListServicesRequest{}); err != nil {
			t.Errorf("listen %q: %v", listen, err)
		}
	}
	last := n.LookupURL()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := askers(last)["binary"].ListServices(t.Context(), &introducerv1.ListServicesRequest{}); err == nil {
		t.Error("a closed node answers")
	}
}
