package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/rpc"
)

// liar is an introducer that says whatever a test wants, on the real server stack.
type liar struct {
	introducerv1connect.UnimplementedIntroducerServiceHandler
	peers     []*introducerv1.Peer
	permuted  []*introducerv1.PermutedPeer
	records   []*introducerv1.LogRecord
	results   []*introducerv1.PublishResult
	subscribe func(n int32, req *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error
	streams   atomic.Int32
}

func (l *liar) GetPeers(context.Context, *introducerv1.GetPeersRequest) (*introducerv1.GetPeersResponse, error) {
	return &introducerv1.GetPeersResponse{Peers: l.peers, NextPageToken: "the same for ever"}, nil
}

func (l *liar) Publish(context.Context, *introducerv1.PublishRequest) (*introducerv1.PublishResponse, error) {
	return &introducerv1.PublishResponse{Results: l.results}, nil
}

func (l *liar) StreamPermutedPeers(_ context.Context, _ *introducerv1.StreamPermutedPeersRequest, stream introducerv1connect.IntroducerServiceStreamPermutedPeersServerStream) error {
	return stream.Send(&introducerv1.StreamPermutedPeersResponse{Peers: l.permuted})
}

func (l *liar) ReadLog(_ context.Context, _ *introducerv1.ReadLogRequest, stream introducerv1connect.IntroducerServiceReadLogServerStream) error {
	return stream.Send(&introducerv1.ReadLogResponse{Records: l.records})
}

func (l *liar) Subscribe(_ context.Context, req *introducerv1.SubscribeRequest, stream introducerv1connect.IntroducerServiceSubscribeServerStream) error {
	var failed error
	err := l.subscribe(l.streams.Add(1), req, func(res *introducerv1.SubscribeResponse) {
		if err := stream.Send(res); err != nil {
			failed = err
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// serve returns the liar's URL.
func (l *liar) serve(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(rpc.ServerOptions{}, func(s *connect.Server) {
		introducerv1connect.RegisterIntroducerServiceHandler(s, l)
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// truth is a peer as it announces itself.
func truth(t *testing.T, node byte, nickname string) *introducerv1.Peer {
	t.Helper()
	key := announce.NewKeyFromSeed([32]byte{node})
	a := announce.Announcement{Service: "storage", Seqnum: 7, Nickname: nickname}
	message, err := a.Message()
	if err != nil {
		t.Fatal(err)
	}
	p := &introducerv1.Peer{Revision: 1, Announced: timestamppb.Now(), Announcement: introducerv1.NewSignedAnnouncement(key.Sign(message))}
	p.SetAnnouncement(&a, key.PeerID())
	return p
}

func TestForgedPeers(t *testing.T) {
	forged := truth(t, 2, "honest")
	forged.Nickname = "forged\u202e\x1b[2J"
	l := &liar{peers: []*introducerv1.Peer{truth(t, 1, "alder"), forged, {}}}
	url := l.serve(t)
	stdout, stderr, code := runTool("", "peers", "storage", "--server", url)
	// The same page comes twice, since its token leads to itself, and no more.
	if code != exitFailed || !strings.Contains(stderr, "4 of 6 peers could not be verified") {
		t.Errorf("got exit code %d and %q", code, stderr)
	}
	for _, want := range []string{`alder `, `  yes`, `forged\u{202e}\u{1b}[2J`, `NO: the introducer says nickname`, `NO: the signed announcement is missing`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if strings.ContainsAny(stdout+stderr, "\u202e\x1b") {
		t.Errorf("control characters reach the terminal: %q", stdout+stderr)
	}
	stdout, _, code = runTool("", "peers", "storage", "-o", "json", "--server", url)
	if code != exitFailed || !strings.Contains(stdout, `"verified":false,"problem":"the introducer says nickname`) || strings.ContainsAny(stdout, "\u202e\x1b") {
		t.Errorf("got exit code %d and\n%s", code, stdout)
	}
	if stdout, _, code = runTool("", "peers", "storage", "--full", "--server", url); code != exitFailed || strings.ContainsAny(stdout, "\u202e\x1b") {
		t.Errorf("got exit code %d and\n%s", code, stdout)
	}
}

func TestForgedOrder(t *testing.T) {
	si := []byte("0123456789abcdef")
	permuted := func(p *introducerv1.Peer) *introducerv1.PermutedPeer {
		id := permute.Hash(si, p.GetPermutationSeed())
		return &introducerv1.PermutedPeer{PermutedId: id[:], Peer: p}
	}
	// In the order of their permuted ids, which a test of permute has.
	var peers []*introducerv1.PermutedPeer
	for node := range byte(4) {
		peers = append(peers, permuted(truth(t, node, "node")))
	}
	permutation := func(order ...int) (out []*introducerv1.PermutedPeer) {
		for _, i := range order {
			out = append(out, peers[i])
		}
		return out
	}
	var right []int
	for i := range peers {
		at := 0
		for at < len(right) && string(peers[right[at]].PermutedId) < string(peers[i].PermutedId) {
			at++
		}
		right = append(right[:at], append([]int{i}, right[at:]...)...)
	}
	lied := permuted(truth(t, 1, "node"))
	lied.PermutedId = make([]byte, 20)
	idOf := func(i int) string { return announce.PeerID(peers[i].GetPeer().GetPeerId()).String() }
	for _, c := range []struct {
		name      string
		permuted  []*introducerv1.PermutedPeer
		preferred []string
		forged    int
		want      string
	}{
		{"right", permutation(right...), nil, 0, ""},
		{"two swapped", permutation(right[1], right[0], right[2], right[3]), nil, 1, "it belongs before the peer above it"},
		{"one twice", permutation(right[0], right[0]), nil, 1, "it belongs before the peer above it"},
		{"preferred first", permutation(right[3], right[0], right[1], right[2]), []string{idOf(right[3])}, 0, ""},
		{"preferred last", permutation(right...), []string{idOf(right[3])}, 1, "it belongs before the peer above it"},
		{"preferred out of order", permutation(right[3], right[1], right[0], right[2]), []string{idOf(right[3]), idOf(right[1])}, 1, "it belongs before the peer above it"},
		{"made-up permuted id", []*introducerv1.PermutedPeer{lied}, nil, 1, "the introducer says permuted id 0000"},
	} {
		url := (&liar{permuted: c.permuted}).serve(t)
		args := []string{"permute", "storage", "hex:30313233343536373839616263646566", "--server", url}
		for _, id := range c.preferred {
			args = append(args, "--preferred", id)
		}
		stdout, stderr, code := runTool("", args...)
		want := exitOK
		if c.forged > 0 {
			want = exitFailed
		}
		if code != want || strings.Count(stdout, "NO: ") != c.forged || !strings.Contains(stdout, c.want) {
			t.Errorf("%s: got exit code %d, want %d with %q:\n%s%s", c.name, code, want, c.want, stdout, stderr)
		}
	}
}

func TestForgedRecords(t *testing.T) {
	forged := truth(t, 1, "alder").GetAnnouncement()
	forged.Message[20] ^= 1
	url := (&liar{records: []*introducerv1.LogRecord{
		{Revision: 1, Record: &introducerv1.LogRecord_Published{Published: truth(t, 2, "birch").GetAnnouncement()}},
		{Revision: 2, Record: &introducerv1.LogRecord_Published{Published: forged}},
		{Revision: 3, Record: &introducerv1.LogRecord_Removed{Removed: &introducerv1.Gone{Service: "storage", Reason: introducerv1.GoneReason_GONE_REASON_EXPIRED}}},
		{Revision: 4},
	}}).serve(t)
	stdout, stderr, code := runTool("", "log", "--server", url)
	if code != exitFailed || !strings.Contains(stderr, "2 of 4 records could not be verified") {
		t.Errorf("got exit code %d and %q", code, stderr)
	}
	if strings.Count(stdout, "NOT VERIFIED: bad signature") != 2 || !strings.Contains(stdout, "expired") {
		t.Errorf("got\n%s", stdout)
	}
}

func TestStrangeAnswers(t *testing.T) {
	signed := `["{}","v0-aa","v0-aa"]`
	for _, c := range []struct {
		name    string
		results []*introducerv1.PublishResult
		code    int
		want    string
	}{
		{"no result", nil, exitFailed, "gave 0 results for 1 announcements"},
		{"too many", make([]*introducerv1.PublishResult, 2), exitFailed, "gave 2 results for 1 announcements"},
		{"an outcome of the future", []*introducerv1.PublishResult{{Outcome: 99, Reason: "\x1b"}}, exitRefused, `outcome_99: v0-aa, seqnum 0: \u{1b}`},
	} {
		stdout, stderr, code := runTool(signed, "publish", "--signed", "-", "--server", (&liar{results: c.results}).serve(t))
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: got exit code %d, want %d with %q:\n%s%s", c.name, code, c.code, c.want, stdout, stderr)
		}
	}
	// What answers is no introducer at all.
	for _, args := range [][]string{{"services"}, {"info"}} {
		_, stderr, code := runTool("", append(args, "--server", new(liar).serve(t))...)
		if code != exitUnreachable || !strings.Contains(stderr, "is not an introducer, or a much older one") {
			t.Errorf("%v: got exit code %d and %q", args, code, stderr)
		}
	}
}

func token(revision uint64) *introducerv1.ResumeToken {
	return &introducerv1.ResumeToken{LogId: make([]byte, 16), Revision: revision}
}

func announcing(p *introducerv1.Peer) *introducerv1.SubscribeResponse {
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Changes{Changes: &introducerv1.Changes{
		Changes: []*introducerv1.Change{{Change: &introducerv1.Change_Announced{Announced: p}}}, Token: token(1),
	}}}
}

func syncedWith(held ...*introducerv1.Peer) *introducerv1.SubscribeResponse {
	var digest [32]byte
	for _, p := range held {
		for i, b := range p.GetAnnouncement().Signed().Digest() {
			digest[i] ^= b
		}
	}
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Synced{
		Synced: &introducerv1.Progress{Token: token(1), SetDigest: digest[:]},
	}}
}

// A subscriber comes back after every end, asks for more only where it may, and lets go of a set that
// is not the introducer's.
func TestSubscriberPersists(t *testing.T) {
	alder, birch := truth(t, 1, "alder"), truth(t, 2, "birch")
	var resumes []uint64
	l := &liar{}
	l.subscribe = func(n int32, req *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
		resumes = append(resumes, req.GetResume().GetRevision())
		reset := &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Reset_{Reset_: &introducerv1.Reset{}}}
		switch n {
		case 1: // it stops in the midst of the snapshot
			send(reset)
			send(announcing(alder))
			send(&introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Drain{
				Drain: &introducerv1.Drain{Token: token(1), ReconnectAfter: durationpb.New(1)},
			}})
			return nil
		case 2: // overloaded
			return connect.NewError(connect.CodeResourceExhausted, "later")
		case 3: // a set that the subscriber does not have
			send(syncedWith(alder, birch))
			return connect.NewError(connect.CodeUnavailable, "stopping")
		case 4: // forged, though it is what the introducer holds
			forged := truth(t, 2, "birch")
			forged.Nickname = "forged"
			send(reset)
			send(announcing(forged))
			send(syncedWith(forged))
			return nil
		}
		return nil
	}
	stdout, stderr, code := runTool("", "subscribe", "storage", "--once", "--server", l.serve(t))
	if code != exitFailed || !strings.Contains(stderr, "1 announcement could not be verified") {
		t.Errorf("got exit code %d and %q", code, stderr)
	}
	want := []string{
		"= reset (reason 0): all peers follow", "+ storage ", "= the introducer is about to stop; back in ", "! disconnected: the introducer ended the stream; next try in 0s",
		"! disconnected: resource_exhausted: later;",
		"= resumed at revision 1, 1 peer held\n! what is held is not what the introducer holds: beginning anew", "! disconnected: ",
		"= reset (reason 0)", "NO: the introducer says nickname", "= synced at revision 1, 1 peer",
	}
	rest := stdout
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("no %q behind the one before in\n%s", w, stdout)
		}
		rest = after
	}
	if len(resumes) != 4 || resumes[0] != 0 || resumes[1] != 1 || resumes[2] != 1 || resumes[3] != 0 {
		t.Errorf("it resumed from %v, want 0, 1, 1 and then from nothing", resumes)
	}
}

// What no further try can mend ends the subscription.
func TestSubscriberGivesUp(t *testing.T) {
	for code, exit := range map[connect.Code]int{
		connect.CodeInvalidArgument: exitFailed, connect.CodePermissionDenied: exitRefused,
		connect.CodeDataLoss: exitFailed, connect.CodeUnimplemented: exitUnreachable,
	} {
		l := &liar{}
		l.subscribe = func(n int32, _ *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
			if n == 1 {
				send(announcing(truth(t, 1, "alder")))
				return nil
			}
			return connect.NewError(code, "told you")
		}
		_, stderr, got := runTool("", "subscribe", "--server", l.serve(t))
		if got != exit || !strings.Contains(stderr, "told you") {
			t.Errorf("%v: got exit code %d and %q, want %d", code, got, stderr, exit)
		}
	}
}
