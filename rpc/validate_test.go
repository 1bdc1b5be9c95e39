package rpc_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/rpc"
)

// refusal is a request that must be refused, and how.
type refusal struct {
	name string
	call func(context.Context, client) error
	code connect.Code
	text string
}

const (
	badName = `invalid service name "Storage": must be a lower-case letter, then at most 63 of lower-case letters, digits, _ and -`
	noName  = `invalid service name "": must be a lower-case letter, then at most 63 of lower-case letters, digits, _ and -`
)

var si16 = []byte("0123456789abcdef")

func refusals() []refusal {
	const invalid, outOfRange, exhausted = connect.CodeInvalidArgument, connect.CodeOutOfRange, connect.CodeResourceExhausted
	many := func(n int) [][]byte { return slices.Repeat([][]byte{si16}, n) }
	token := func(b ...byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	return []refusal{
		{"an empty batch", publishing(&introducerv1.PublishRequest{}), invalid, "announcements: 0 of them; 1 to 1000 are allowed"},
		{"1,001 announcements", publishing(&introducerv1.PublishRequest{
			Announcements: slices.Repeat([]*introducerv1.SignedAnnouncement{{}}, 1001),
		}), invalid, "announcements: 1001 of them; 1 to 1000 are allowed"},

		{"peers of no service", getPeers(&introducerv1.GetPeersRequest{}), invalid, "service: " + noName},
		{"peers of a service that is none", getPeers(&introducerv1.GetPeersRequest{Service: "Storage"}), invalid, "service: " + badName},
		{"a view that is none", getPeers(&introducerv1.GetPeersRequest{Service: "a", View: 3}), invalid, "view: 3 is no PeerView"},
		{"a page too large", getPeers(&introducerv1.GetPeersRequest{Service: "a", PageSize: 10_001}), invalid, "page_size: 10001; at most 10000 is allowed"},
		{"a page token that is none", getPeers(&introducerv1.GetPeersRequest{Service: "a", PageToken: "!"}), invalid, "page_token: not one that this introducer gave"},
		{"a page token of a wrong length", getPeers(&introducerv1.GetPeersRequest{Service: "a", PageToken: token(1, 2, 3)}), invalid, "page_token: not one that this introducer gave"},
		{"a page token of another version", getPeers(&introducerv1.GetPeersRequest{Service: "a", PageToken: token(make([]byte, 37)...)}), invalid, "page_token: not one that this introducer gave"},
		{"a page token of another service", getPeers(&introducerv1.GetPeersRequest{Service: "a", PageToken: token(append([]byte{1}, make([]byte, 36)...)...)}), invalid, "page_token: one of another service than a"},

		{"permuted peers of a service that is none", getPermuted(&introducerv1.GetPermutedPeersRequest{Service: "Storage", StorageIndex: si16}), invalid, "service: " + badName},
		{"no storage index", getPermuted(&introducerv1.GetPermutedPeersRequest{Service: "a"}), invalid, "storage_index: 0 bytes; 1 to 64 are allowed"},
		{"a storage index too long", getPermuted(&introducerv1.GetPermutedPeersRequest{Service: "a", StorageIndex: make([]byte, 65)}), invalid, "storage_index: 65 bytes; 1 to 64 are allowed"},
		{"permuted peers in no view", getPermuted(&introducerv1.GetPermutedPeersRequest{Service: "a", StorageIndex: si16, View: -1}), invalid, "view: -1 is no PeerView"},
		{"a preferred peer id too short", getPermuted(&introducerv1.GetPermutedPeersRequest{Service: "a", StorageIndex: si16, PreferredPeerIds: [][]byte{make([]byte, 32), make([]byte, 31)}}), invalid, "preferred_peer_ids[1]: 31 bytes; a peer id has 32"},

		{"no storage indexes", getBatch(&introducerv1.BatchGetPermutedPeersRequest{Service: "a"}), invalid, "storage_indexes: 0 of them; 1 to 10000 are allowed"},
		{"10,001 storage indexes", getBatch(&introducerv1.BatchGetPermutedPeersRequest{Service: "a", StorageIndexes: many(10_001)}), invalid, "storage_indexes: 10001 of them; 1 to 10000 are allowed"},
		{"one storage index too long", getBatch(&introducerv1.BatchGetPermutedPeersRequest{Service: "a", StorageIndexes: append(many(3), make([]byte, 65))}), invalid, "storage_indexes[3]: 65 bytes; 1 to 64 are allowed"},
		{"a batch of a service that is none", getBatch(&introducerv1.BatchGetPermutedPeersRequest{Service: "Storage", StorageIndexes: many(1)}), invalid, "service: " + badName},
		{"more positions than an answer holds", getBatch(&introducerv1.BatchGetPermutedPeersRequest{Service: "crowd", StorageIndexes: many(10_000)}), exhausted, "10000 storage indexes of 1001 peers each are more than 10000000 positions; set a limit, or ask in smaller batches"},

		{"a stream of a service that is none", streaming(&introducerv1.StreamPermutedPeersRequest{Service: "Storage", StorageIndex: si16}), invalid, "service: " + badName},
		{"a stream for no storage index", streaming(&introducerv1.StreamPermutedPeersRequest{Service: "a"}), invalid, "storage_index: 0 bytes; 1 to 64 are allowed"},

		{"one service of many that is none", subscribing(&introducerv1.SubscribeRequest{Services: []string{"a", "Storage"}}), invalid, "services[1]: " + badName},
		{"1,001 services", subscribing(&introducerv1.SubscribeRequest{Services: slices.Repeat([]string{"a"}, 1001)}), invalid, "services: 1001 names; at most 1000 are allowed"},
		{"a resume token without a log id", subscribing(&introducerv1.SubscribeRequest{Resume: &introducerv1.ResumeToken{}}), invalid, "resume.log_id: 0 bytes; a log id has 16"},
		{"a resume token too long", subscribing(&introducerv1.SubscribeRequest{Resume: &introducerv1.ResumeToken{LogId: make([]byte, 17)}}), invalid, "resume.log_id: 17 bytes; a log id has 16"},
		{"a subscription in no view", subscribing(&introducerv1.SubscribeRequest{View: 9}), invalid, "view: 9 is no PeerView"},
		{"a subscriber with a long name", subscribing(&introducerv1.SubscribeRequest{Subscriber: &introducerv1.SubscriberInfo{Nickname: strings.Repeat("x", 257)}}), invalid, "subscriber.nickname: 257 bytes; at most 256 are allowed"},
		{"a subscriber with a long version", subscribing(&introducerv1.SubscribeRequest{Subscriber: &introducerv1.SubscriberInfo{Version: strings.Repeat("x", 257)}}), invalid, "subscriber.version: 257 bytes; at most 256 are allowed"},

		{"the log of a service that is none", reading(&introducerv1.ReadLogRequest{Service: "Storage"}), invalid, "service: " + badName},
		{"the log of a peer id too short", reading(&introducerv1.ReadLogRequest{PeerId: []byte{1}}), invalid, "peer_id: 1 bytes; a peer id has 32"},
		{"the log from beyond its head", reading(&introducerv1.ReadLogRequest{FromRevision: 9_999}), outOfRange, "the log has no such revision: 9999 is not written yet; the newest is 1001"},
		{"the log followed from beyond its head", reading(&introducerv1.ReadLogRequest{FromRevision: 9_999, Follow: true}), outOfRange, "the log has no such revision: 9999 is not written yet; the newest is 1001"},
	}
}

// Each malformed request is refused with the right code and a sentence that says what is wrong and
// where, over every protocol, and leaves no trace (I10).
func TestBadRequestsAreRefusedWithWhatIsWrong(t *testing.T) {
	in := start(t, settings{})
	var crowd []announce.Signed
	for i := range 1001 {
		crowd = append(crowd, in.offer(i, "crowd", 1))
	}
	head := in.put(crowd...)
	for _, w := range mostWires() {
		t.Run(w.name, func(t *testing.T) {
			c := in.dial(w)
			for _, r := range refusals() {
				err := r.call(t.Context(), c)
				if code := connect.CodeOf(err); err == nil || code != r.code {
					t.Errorf("%s: %v, want %v", r.name, err, r.code)
					continue
				}
				refused, _ := errors.AsType[*connect.Error](err)
				if got := refused.Message(); got != r.text {
					t.Errorf("%s:\n got %q\nwant %q", r.name, got, r.text)
				}
			}
		})
	}
	if last := uint64(in.reg.Info().Last); last != head {
		t.Errorf("bad requests moved the log from revision %d to %d", head, last)
	}
}

// A message over the limit is refused before it is decoded.
func TestOversizedRequestsAreRefused(t *testing.T) {
	in := start(t, settings{server: rpc.ServerOptions{MaxRequestBytes: 1000, MaxPublishBytes: 2000}})
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			c := in.dial(w)
			for name, call := range map[string]func(context.Context, client) error{
				"a lookup": getBatch(&introducerv1.BatchGetPermutedPeersRequest{Service: "a", StorageIndexes: slices.Repeat([][]byte{si16}, 100)}),
				"a subscription": subscribing(&introducerv1.SubscribeRequest{
					Services: slices.Repeat([]string{strings.Repeat("a", 60)}, 20),
				}),
				"a publish": publishing(&introducerv1.PublishRequest{
					Announcements: []*introducerv1.SignedAnnouncement{{Message: make([]byte, 2001)}},
				}),
			} {
				if err := call(t.Context(), c); connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "larger than configured max") {
					t.Errorf("%s: %v", name, err)
				}
			}
			// Publish has a limit of its own.
			err := publishing(&introducerv1.PublishRequest{Announcements: []*introducerv1.SignedAnnouncement{{Message: make([]byte, 1200)}}})(t.Context(), c)
			if err != nil {
				t.Errorf("a publish within its limit: %v", err)
			}
		})
	}
}

// The largest publish that the rules allow fits, in JSON too, and each of its items gets its verdict.
func TestTheLargestPublishFits(t *testing.T) {
	in := start(t, settings{})
	req := new(introducerv1.PublishRequest)
	for range 1000 {
		req.Announcements = append(req.Announcements, &introducerv1.SignedAnnouncement{
			Message: make([]byte, announce.MaxMessage), Signature: make([]byte, 64), PeerId: make([]byte, 32),
		})
	}
	for _, w := range mostWires() {
		res, err := in.dial(w).Publish(t.Context(), req)
		if err != nil {
			t.Errorf("%s: %v", w.name, err)
			continue
		}
		for i, r := range res.Results {
			if r.Outcome != introducerv1.PublishOutcome_PUBLISH_OUTCOME_BAD_SIGNATURE {
				t.Fatalf("%s: announcement %d: %v", w.name, i, r)
			}
		}
	}
}

// A well-formed service that nobody offers is an empty list and no error.
func TestAServiceThatNobodyOffersIsEmpty(t *testing.T) {
	in := start(t, settings{})
	for _, w := range wires {
		c := in.dial(w)
		for name, call := range map[string]func(context.Context, client) error{
			"GetPeers":              getPeers(&introducerv1.GetPeersRequest{Service: "a"}),
			"GetPermutedPeers":      getPermuted(&introducerv1.GetPermutedPeersRequest{Service: "a", StorageIndex: si16}),
			"BatchGetPermutedPeers": getBatch(&introducerv1.BatchGetPermutedPeersRequest{Service: "a", StorageIndexes: [][]byte{si16}}),
			"StreamPermutedPeers":   streaming(&introducerv1.StreamPermutedPeersRequest{Service: "a", StorageIndex: si16}),
			"ReadLog":               reading(&introducerv1.ReadLogRequest{Service: "a", FromRevision: 1}),
		} {
			if err := call(t.Context(), c); err != nil {
				t.Errorf("%s over %s: %v", name, w.name, err)
			}
		}
	}
	stream, err := in.binary().StreamPermutedPeers(t.Context(), &introducerv1.StreamPermutedPeersRequest{Service: "a", StorageIndex: si16})
	if err != nil {
		t.Fatal(err)
	}
	if all := received(t, stream.Receive); len(all) != 1 || len(all[0].Peers) != 0 {
		t.Errorf("the stream of a service that nobody offers: %v, want one response without peers", all)
	}
}

// FuzzPageToken looks for texts that are taken as page tokens and are not what was given out.
func FuzzPageToken(f *testing.F) {
	in := start(f, settings{})
	in.put(in.offer(1, "storage", 1), in.offer(2, "storage", 1))
	page, err := in.svc.GetPeers(f.Context(), &introducerv1.GetPeersRequest{Service: "storage", PageSize: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(page.NextPageToken)
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		res, err := in.svc.GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: "storage", PageToken: text})
		if err != nil {
			if connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(res.Peers) > 2 {
			t.Fatalf("%q: %d peers of 2", text, len(res.Peers))
		}
		if text != "" && (len(text) != len(page.NextPageToken) || text[:6] != page.NextPageToken[:6]) {
			t.Fatalf("%q was taken as a page token", text)
		}
	})
}

func publishing(req *introducerv1.PublishRequest) func(context.Context, client) error {
	return func(ctx context.Context, c client) error { _, err := c.Publish(ctx, req); return err }
}

func getPeers(req *introducerv1.GetPeersRequest) func(context.Context, client) error {
	return func(ctx context.Context, c client) error { _, err := c.GetPeers(ctx, req); return err }
}

func getPermuted(req *introducerv1.GetPermutedPeersRequest) func(context.Context, client) error {
	return func(ctx context.Context, c client) error { _, err := c.GetPermutedPeers(ctx, req); return err }
}

func getBatch(req *introducerv1.BatchGetPermutedPeersRequest) func(context.Context, client) error {
	return func(ctx context.Context, c client) error { _, err := c.BatchGetPermutedPeers(ctx, req); return err }
}

func streaming(req *introducerv1.StreamPermutedPeersRequest) func(context.Context, client) error {
	return func(ctx context.Context, c client) error {
		stream, err := c.StreamPermutedPeers(ctx, req)
		if err != nil {
			return err
		}
		_, err = drained(stream.Receive)
		return err
	}
}

func subscribing(req *introducerv1.SubscribeRequest) func(context.Context, client) error {
	return func(ctx context.Context, c client) error {
		stream, err := c.Subscribe(ctx, req)
		if err != nil {
			return err
		}
		defer stream.Close()
		_, err = stream.Receive()
		return err
	}
}

func reading(req *introducerv1.ReadLogRequest) func(context.Context, client) error {
	return func(ctx context.Context, c client) error {
		stream, err := c.ReadLog(ctx, req)
		if err != nil {
			return err
		}
		_, err = drained(stream.Receive)
		return err
	}
}
