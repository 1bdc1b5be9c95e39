package rpc_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

// The permuted lists are in the order that the reference computed (I9), whichever RPC is asked.
func TestPermutedPeersAreInTheReferenceOrder(t *testing.T) {
	for _, file := range []string{"permutation_50_tubid20.json", "permutation_50_ascii52.json"} {
		var vectors struct {
			Servers []struct {
				Seed string `json:"seed_hex"`
			}
			Cases []struct {
				StorageIndex string `json:"storage_index_hex"`
				Order        []int
			}
		}
		readJSON(t, file, &vectors)
		in := start(t, settings{})
		for i, s := range vectors.Servers {
			in.put(sign(t, node(i), announce.Announcement{Service: "storage", Seqnum: 1, PermutationSeed: fromHex(t, s.Seed)}))
		}
		c := in.binary()
		var indexes [][]byte
		var orders [][][]byte
		for _, one := range vectors.Cases {
			si := fromHex(t, one.StorageIndex)
			var want [][]byte
			for _, i := range one.Order {
				id := node(i).PeerID()
				want = append(want, id[:])
			}
			indexes, orders = append(indexes, si), append(orders, want)

			res, err := c.GetPermutedPeers(t.Context(), &introducerv1.GetPermutedPeersRequest{Service: "storage", StorageIndex: si})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, idsOf(res.Peers)); diff != "" {
				t.Errorf("%s, GetPermutedPeers for %x (-want +got):\n%s", file, si, diff)
			}
			for _, p := range res.Peers {
				if sum := sha1.Sum(append(slices.Clone(si), p.Peer.PermutationSeed...)); !bytes.Equal(p.PermutedId, sum[:]) {
					t.Errorf("%s: permuted id %x of seed %x, want %x", file, p.PermutedId, p.Peer.PermutationSeed, sum)
				}
			}
			stream, err := c.StreamPermutedPeers(t.Context(), &introducerv1.StreamPermutedPeersRequest{Service: "storage", StorageIndex: si})
			if err != nil {
				t.Fatal(err)
			}
			var streamed [][]byte
			for _, chunk := range received(t, stream.Receive) {
				streamed = append(streamed, idsOf(chunk.Peers)...)
			}
			if diff := cmp.Diff(want, streamed); diff != "" {
				t.Errorf("%s, StreamPermutedPeers for %x (-want +got):\n%s", file, si, diff)
			}
		}
		for _, limit := range []uint32{0, 1, 7, 50, 51} {
			res, err := c.BatchGetPermutedPeers(t.Context(), &introducerv1.BatchGetPermutedPeersRequest{Service: "storage", StorageIndexes: indexes, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range orders {
				if limit > 0 && int(limit) < len(want) {
					want = want[:limit]
				}
				if diff := cmp.Diff(want, positionsOf(t, res, i)); diff != "" {
					t.Errorf("%s, BatchGetPermutedPeers of %d for %x (-want +got):\n%s", file, limit, indexes[i], diff)
				}
			}
		}
	}
}

// The four ways to ask for an order agree, for any storage index, limit and preference.
func TestPermutedPeersAgree(t *testing.T) {
	in := start(t, settings{})
	n := 300
	if raceDetector {
		n = 60
	}
	var crowd []announce.Signed
	for i := range n {
		crowd = append(crowd, in.offer(i, "storage", 1))
	}
	in.put(crowd...)
	c := in.binary()
	rapid.Check(t, func(t *rapid.T) {
		si := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "storage index")
		limit := rapid.Uint32Range(0, uint32(n)+2).Draw(t, "limit")
		var preferred [][]byte
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, n+20), 0, 5).Draw(t, "preferred") {
			id := node(i).PeerID()
			preferred = append(preferred, id[:])
		}
		// The order by its definition.
		want := slices.Clone(crowd)
		isPreferred := func(s announce.Signed) bool {
			return slices.ContainsFunc(preferred, func(id []byte) bool { return bytes.Equal(id, s.PeerID) })
		}
		slices.SortFunc(want, func(a, b announce.Signed) int {
			if isPreferred(a) != isPreferred(b) {
				if isPreferred(a) {
					return -1
				}
				return 1
			}
			x := sha1.Sum(append(slices.Clone(si), a.PeerID...))
			y := sha1.Sum(append(slices.Clone(si), b.PeerID...))
			return bytes.Compare(x[:], y[:])
		})
		if limit > 0 && int(limit) < n {
			want = want[:limit]
		}
		var ids [][]byte
		for _, s := range want {
			ids = append(ids, s.PeerID)
		}

		one, err := c.GetPermutedPeers(in.t.Context(), &introducerv1.GetPermutedPeersRequest{
			Service: "storage", StorageIndex: si, Limit: limit, PreferredPeerIds: preferred, View: introducerv1.PeerView_PEER_VIEW_BASIC,
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ids, idsOf(one.Peers)); diff != "" {
			t.Fatalf("GetPermutedPeers (-want +got):\n%s", diff)
		}
		batch, err := c.BatchGetPermutedPeers(in.t.Context(), &introducerv1.BatchGetPermutedPeersRequest{
			Service: "storage", StorageIndexes: [][]byte{si16, si}, Limit: limit, PreferredPeerIds: preferred, View: introducerv1.PeerView_PEER_VIEW_BASIC,
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ids, positionsOf(t, batch, 1)); diff != "" {
			t.Fatalf("BatchGetPermutedPeers (-want +got):\n%s", diff)
		}
		stream, err := c.StreamPermutedPeers(in.t.Context(), &introducerv1.StreamPermutedPeersRequest{
			Service: "storage", StorageIndex: si, PreferredPeerIds: preferred,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		var streamed [][]byte
		for len(streamed) < len(ids) {
			chunk, err := stream.Receive()
			if err != nil {
				t.Fatal(err)
			}
			streamed = append(streamed, idsOf(chunk.Peers)...)
		}
		if diff := cmp.Diff(ids, streamed[:len(ids)]); diff != "" {
			t.Fatalf("StreamPermutedPeers (-want +got):\n%s", diff)
		}
	})
}

// A stream begins with few peers and goes on with more at a time, all of one revision.
func TestStreamPermutedPeersInChunks(t *testing.T) {
	in := start(t, settings{})
	var crowd []announce.Signed
	for i := range 700 {
		crowd = append(crowd, in.offer(i, "storage", 1))
	}
	head := in.put(crowd...)
	stream, err := in.binary().StreamPermutedPeers(t.Context(), &introducerv1.StreamPermutedPeersRequest{Service: "storage", StorageIndex: si16})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Receive()
	if err != nil {
		t.Fatal(err)
	}
	// What changes now is not of this stream's revision.
	in.put(in.offer(1, "storage", 2), in.offer(1000, "storage", 1))
	sizes := []int{len(first.Peers)}
	for _, chunk := range received(t, stream.Receive) {
		sizes = append(sizes, len(chunk.Peers))
		if chunk.Revision != head {
			t.Errorf("a chunk of revision %d in a stream of revision %d", chunk.Revision, head)
		}
	}
	if diff := cmp.Diff([]int{16, 32, 64, 128, 256, 204}, sizes); diff != "" {
		t.Errorf("peers by chunk (-want +got):\n%s", diff)
	}
}

// Large announcements make smaller chunks.
func TestStreamsBoundTheirMessages(t *testing.T) {
	in := start(t, settings{})
	var crowd []announce.Signed
	for i := range 300 {
		crowd = append(crowd, sign(t, node(i), announce.Announcement{Service: "storage", Seqnum: 1, FURL: string(make([]byte, 2000))}))
	}
	in.put(crowd...)
	const most = 300 << 10
	c := in.binary()
	stream, err := c.StreamPermutedPeers(t.Context(), &introducerv1.StreamPermutedPeersRequest{Service: "storage", StorageIndex: si16})
	if err != nil {
		t.Fatal(err)
	}
	for _, chunk := range received(t, stream.Receive) {
		if size := sizeOf(chunk); size > most {
			t.Errorf("a chunk of %d peers has %d bytes", len(chunk.Peers), size)
		}
	}
	records, err := c.ReadLog(t.Context(), &introducerv1.ReadLogRequest{})
	if err != nil {
		t.Fatal(err)
	}
	pages := received(t, records.Receive)
	for _, page := range pages {
		if size := sizeOf(page); size > most {
			t.Errorf("a message of %d records has %d bytes", len(page.Records), size)
		}
	}
	if len(pages) < 10 {
		t.Errorf("300 large records came in %d messages", len(pages))
	}
	sub := subscribe(t, c, &introducerv1.SubscribeRequest{})
	sub.until(synced)
	if got := len(sub.events); got < 10 || sub.told != 300 {
		t.Errorf("300 large announcements came in %d events, %d of them", got, sub.told)
	}
}

func idsOf(peers []*introducerv1.PermutedPeer) [][]byte {
	var ids [][]byte
	for _, p := range peers {
		ids = append(ids, p.Peer.PeerId)
	}
	return ids
}

// positionsOf resolves an order of a batch, in which each peer is listed once.
func positionsOf(t rapid.TB, res *introducerv1.BatchGetPermutedPeersResponse, i int) [][]byte {
	t.Helper()
	seen := make(map[string]bool)
	for _, p := range res.Peers {
		if seen[string(p.PeerId)] {
			t.Errorf("peer %x is listed twice", p.PeerId)
		}
		seen[string(p.PeerId)] = true
	}
	var ids [][]byte
	for _, at := range res.Permutations[i].Peers {
		ids = append(ids, res.Peers[at].PeerId)
	}
	return ids
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
