package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/rpc"
)

// What is no RPC goes to Root, or nowhere; what is no method of ours is said to be none.
func TestWhatIsNoRPC(t *testing.T) {
	root := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page of "+r.URL.Path) })
	with := start(t, settings{server: rpc.ServerOptions{Root: root}})
	if got := string(with.http(http.MethodGet, "/peers", "", nil)); got != "page of /peers" {
		t.Errorf("%q", got)
	}
	without := start(t, settings{})
	if got := without.status(http.MethodGet, "/"); got != http.StatusNotFound {
		t.Errorf("without a page: status %d", got)
	}
	for _, in := range []*introducer{with, without} {
		for _, w := range wires {
			if w.name == "grpc-web" {
				continue // over HTTP/1.1 the transport answers 505, since the method might stream both ways
			}
			spec := connect.Spec{Procedure: "/introducer.v1.IntroducerService/Nothing", StreamType: connect.StreamTypeUnary}
			err := in.caller(w).CallUnary(t.Context(), spec, new(introducerv1.GetInfoRequest), new(introducerv1.GetInfoResponse))
			if connect.CodeOf(err) != connect.CodeUnimplemented {
				t.Errorf("a method that is none, over %s: %v", w.name, err)
			}
		}
	}
}

// Rubbish in place of a request is refused as such, and the server goes on.
func TestRubbish(t *testing.T) {
	in := start(t, settings{})
	for _, test := range []struct {
		contentType, body string
		status            int
	}{
		{"application/json", "{", http.StatusBadRequest},
		{"application/json", `{"service":7}`, http.StatusBadRequest},
		{"application/json", "", http.StatusBadRequest},
		{"application/proto", "\xff\xff", http.StatusBadRequest},
		{"text/plain", "storage", http.StatusUnsupportedMediaType},
		{"", "", http.StatusUnsupportedMediaType},
	} {
		res := in.do(http.MethodPost, introducerv1connect.IntroducerServiceGetPeersProcedure, test.contentType, []byte(test.body))
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != test.status {
			t.Errorf("%q as %q: %s %s", test.body, test.contentType, res.Status, body)
		}
	}
	if _, err := in.binary().GetInfo(t.Context(), &introducerv1.GetInfoRequest{}); err != nil {
		t.Error(err)
	}
}

// Requests and answers that are large share one budget; it is given back whole, whatever became of
// the calls.
func TestLargeRequestsAndAnswersShareABudget(t *testing.T) {
	in := start(t, settings{server: rpc.ServerOptions{MaxInFlightBytes: 1 << 20}})
	for i := range 50 {
		in.put(sign(t, node(i), announce.Announcement{Service: "storage", Seqnum: 1, FURL: strings.Repeat("x", 12_000)}))
	}
	large := &introducerv1.PublishRequest{Announcements: []*introducerv1.SignedAnnouncement{{Message: make([]byte, 1<<20)}}}
	const text = "too many bytes of requests and answers are under way; ask for less, or later"
	for range 3 {
		for _, w := range mostWires() {
			c := in.dial(w)
			for name, call := range map[string]func(context.Context, client) error{
				"a large request": publishing(large),
				"a large answer":  getPermuted(&introducerv1.GetPermutedPeersRequest{Service: "storage", StorageIndex: si16}),
				"a large page":    getPeers(&introducerv1.GetPeersRequest{Service: "storage"}),
			} {
				err := call(t.Context(), c)
				if e, ok := errors.AsType[*connect.Error](err); !ok || e.Code() != connect.CodeResourceExhausted || e.Message() != text {
					t.Errorf("%s over %s: %v", name, w.name, err)
				}
			}
			fits := &introducerv1.GetPermutedPeersRequest{Service: "storage", StorageIndex: si16, Limit: 5}
			if err := getPermuted(fits)(t.Context(), c); err != nil {
				t.Errorf("an answer that fits, over %s: %v", w.name, err)
			}
		}
	}
}

// Many at once never hold more than the budget, and who is refused takes nothing.
func TestBudget(t *testing.T) {
	const most, each, takers = 100, 30, 64
	take, release := rpc.InFlight(most)
	var mu sync.Mutex
	held, top, refused := 0, 0, 0
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for range 200 {
				err := take(each)
				mu.Lock()
				if err != nil {
					refused++
					mu.Unlock()
					continue
				}
				held += each
				top = max(top, held)
				mu.Unlock()
				mu.Lock()
				held -= each
				mu.Unlock()
				release(each)
			}
		})
	}
	wg.Wait()
	if top > most {
		t.Errorf("%d held of %d", top, most)
	}
	if err := take(most); err != nil {
		t.Errorf("it was not given back whole: %v (%d refused)", err, refused)
	}
	if err := take(1); err == nil {
		t.Error("more than there is was given")
	}
}

// A client that sends half a request, or goes away, costs no one else anything.
func TestBrokenConnections(t *testing.T) {
	in := start(t, settings{})
	for _, half := range []string{
		"POST /introducer.v1.IntroducerService/Publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\nContent-Length: 1000\r\n\r\nabc",
		"POST /introducer.v1.IntroducerService/Subscribe HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\nContent-Length: 5\r\n\r\n\x00\x00\x00\x00\x00",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrubbish that is no frame at all, or a very long one",
		"\x00\x01\x02\x03\r\n\r\n",
	} {
		conn, err := in.net.DialContext(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(half)); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if last := in.reg.Info().Last; last != 0 {
		t.Errorf("half a request was written as revision %d", last)
	}
	if _, err := in.binary().GetInfo(t.Context(), &introducerv1.GetInfoRequest{}); err != nil {
		t.Error(err)
	}
}

// The head of a request is bounded.
func TestLongHeadersAreRefused(t *testing.T) {
	in := start(t, settings{})
	conn, err := in.net.DialContext(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nX: "))
		conn.Write(bytes.Repeat([]byte("x"), 100<<10))
		conn.Write([]byte("\r\n\r\n"))
	}()
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 431 ") {
		t.Errorf("%q", answer[:n])
	}
}

// GetInfo tells the program's version and the log's places.
func TestGetInfo(t *testing.T) {
	in := start(t, settings{service: rpc.Options{Version: "1.2.3"}})
	in.put(in.offer(1, "storage", 1), in.offer(1, "helper", 1))
	for _, w := range wires {
		info, err := in.dial(w).GetInfo(t.Context(), &introducerv1.GetInfoRequest{})
		if err != nil {
			t.Fatal(err)
		}
		known := in.reg.Info()
		if info.Version != "1.2.3" || !bytes.Equal(info.LogId, known.LogID[:]) || info.FirstRevision != 1 || info.LastRevision != 2 ||
			info.Peers != 2 || !info.Started.AsTime().Equal(known.Started) || info.ReplayTime.AsDuration() != known.ReplayTime {
			t.Errorf("over %s: %v, want what the registry says: %+v", w.name, info, known)
		}
	}
}

// ListServices counts by name; a service whose peers all left is still known.
func TestListServices(t *testing.T) {
	in := start(t, settings{})
	in.put(in.offer(1, "storage", 1), in.offer(2, "storage", 1), in.offer(1, "helper", 1), in.offer(1, "a", 1))
	in.put(sign(t, node(1), announce.Announcement{Service: "helper", Seqnum: 2, Withdrawn: true}))
	c := in.binary()
	for _, services := range [][]string{nil, {"storage"}} {
		sub := subscribe(t, c, &introducerv1.SubscribeRequest{Services: services})
		sub.until(synced)
	}
	res, err := c.ListServices(t.Context(), &introducerv1.ListServicesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range res.Services {
		got = append(got, strings.Join([]string{s.Service, count(s.Peers), count(s.Subscribers)}, " "))
	}
	if want := "a 1 1, helper 0 1, storage 2 2"; strings.Join(got, ", ") != want || res.Revision != 5 {
		t.Errorf("%s at revision %d, want %s", strings.Join(got, ", "), res.Revision, want)
	}
}

// Outcomes of every kind cross the wire, in the request's order.
func TestPublishOutcomes(t *testing.T) {
	forbidden := func(s announce.Service, _ announce.PeerID) string {
		if s == "helper" {
			return "no helpers here"
		}
		return ""
	}
	for _, w := range wires {
		in := start(t, settings{registry: registry.Options{Allow: forbidden}})
		first := in.offer(1, "storage", 5)
		bad := in.offer(2, "storage", 1)
		bad.Signature = bytes.Clone(bad.Signature)
		bad.Signature[0] ^= 1
		items := []announce.Signed{
			first,
			first,
			in.offer(1, "storage", 4),
			bad,
			{},
			node(3).Sign([]byte("no JSON")),
			in.offer(4, "helper", 1),
			sign(t, node(1), announce.Announcement{Service: "storage", Seqnum: 6, Withdrawn: true}),
			in.offer(5, "storage", 1),
		}
		want := []string{
			"ACCEPTED 1 5", "DUPLICATE 1 5", "STALE 1 5 reason", "BAD_SIGNATURE 0 0 reason", "BAD_SIGNATURE 0 0 reason",
			"INVALID 0 0 reason", "FORBIDDEN 0 0 reason", "WITHDRAWN 2 6", "ACCEPTED 3 1",
		}
		req := new(introducerv1.PublishRequest)
		for _, s := range items {
			req.Announcements = append(req.Announcements, introducerv1.NewSignedAnnouncement(s))
		}
		res, err := in.dial(w).Publish(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range res.Results {
			one := strings.TrimPrefix(r.Outcome.String(), "PUBLISH_OUTCOME_") + " " + count(r.Revision) + " " + count(r.CurrentSeqnum)
			if r.Reason != "" {
				one += " reason"
			}
			got = append(got, one)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("over %s:\n%s\nwant\n%s", w.name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
