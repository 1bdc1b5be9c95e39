package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/rpc"
)

const storage announce.Service = "storage"

// world is a network of introducers in this process. One that is not up cannot be reached.
type world struct {
	t  testing.TB
	mu sync.Mutex
	up map[string]*host // :: URL → who answers there
}

// host is an introducer that runs.
type host struct {
	server  *connect.Server
	running context.Context
	kill    context.CancelFunc
	dir     string
	reg     *registry.Registry // nil for one that a test plays
	svc     *rpc.Service
}

var errDown = errors.New("connection refused")

func newWorld(t testing.TB) *world {
	w := &world{t: t, up: make(map[string]*host)}
	t.Cleanup(func() {
		for url := range w.up {
			w.kill(url)
		}
	})
	return w
}

// serve starts a real introducer on a data directory.
func (w *world) serve(url, dir string) *host {
	w.t.Helper()
	reg := registrytest.Open(w.t, dir, registry.Options{})
	svc := rpc.New(reg, rpc.Options{DrainSpread: time.Second})
	h := w.play(url, svc)
	h.reg, h.svc, h.dir = reg, svc, dir
	return h
}

// play starts an introducer that a test plays.
func (w *world) play(url string, handler introducerv1connect.IntroducerServiceHandler) *host {
	h := &host{server: connect.NewServer()}
	introducerv1connect.RegisterIntroducerServiceHandler(h.server, handler)
	h.running, h.kill = context.WithCancel(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up[url] = h
	return h
}

// kill ends an introducer: its streams break off.
func (w *world) kill(url string) {
	w.t.Helper()
	w.mu.Lock()
	h := w.up[url]
	delete(w.up, url)
	w.mu.Unlock()
	if h == nil {
		return
	}
	h.kill()
	if h.reg != nil {
		registrytest.Close(w.t, h.reg)
	}
}

func (w *world) transport(url string) connect.Transport { return way{w, url} }

type way struct {
	w   *world
	url string
}

func (y way) NewClientStream(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
	y.w.mu.Lock()
	h := y.w.up[y.url]
	y.w.mu.Unlock()
	if h == nil {
		return nil, errDown
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(h.running, cancel)
	return connectinprocess.New(h.server).NewClientStream(ctx, spec)
}

// open opens a client of this world. It is closed when the test ends, if not before.
func (w *world) open(opts client.Options) *client.Client {
	w.t.Helper()
	opts.Transport = w.transport
	if opts.Services == nil {
		opts.Services = []announce.Service{storage}
	}
	c, err := client.Open(w.t.Context(), opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { closeClient(w.t, c) })
	return c
}

func closeClient(t testing.TB, c *client.Client) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// sign is what a node of this name says of storage.
func sign(t testing.TB, name string, seqnum uint64) announce.Signed {
	return signed(t, name, announce.Announcement{Service: storage, Seqnum: seqnum, Nickname: name})
}

func withdraw(t testing.TB, name string, seqnum uint64) announce.Signed {
	return signed(t, name, announce.Announcement{Service: storage, Seqnum: seqnum, Withdrawn: true})
}

func signed(t testing.TB, name string, a announce.Announcement) announce.Signed {
	t.Helper()
	return registrytest.Sign(t, registrytest.Key(name), a)
}

// put publishes at an introducer, past all clients.
func (h *host) put(t testing.TB, all ...announce.Signed) {
	t.Helper()
	for i, r := range registrytest.Publish(t, h.reg, all...) {
		if r.Outcome.Refused() {
			t.Fatalf("announcement %d: %v: %s", i, r.Outcome, r.Reason)
		}
	}
}

// shown is what a client shows of storage, as "nickname seqnum", by nickname.
func shown(c *client.Client) string {
	var all []string
	for _, p := range c.Peers(storage) {
		all = append(all, fmt.Sprintf("%s %d", p.Nickname, p.Seqnum))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// expect checks what is shown once nothing moves any more. It is for a synctest bubble.
func expect(t testing.TB, c *client.Client, when, want string) {
	t.Helper()
	synctest.Wait()
	if got := shown(c); got != want {
		t.Errorf("%s: shown is %q, want %q", when, got, want)
	}
}

// status is how the introducer at a URL stands.
func status(t testing.TB, c *client.Client, url string) client.IntroducerStatus {
	t.Helper()
	all := c.Status().Introducers
	i := slices.IndexFunc(all, func(s client.IntroducerStatus) bool { return s.URL == url })
	if i < 0 {
		t.Fatalf("no introducer %s in %v", url, all)
	}
	return all[i]
}

// bubble runs a test in a synctest bubble. Whatever goroutine of a client is left when f returns and the
// clean-up is done makes it fail.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

// logged is a logger and what it was told.
func logged() (*slog.Logger, *lines) {
	l := new(lines)
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn})), l
}

type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// played is an introducer that says what a test sends.
type played struct {
	introducerv1connect.UnimplementedIntroducerServiceHandler
	say chan *introducerv1.SubscribeResponse
	req chan *introducerv1.SubscribeRequest
}

func newPlayed() *played {
	return &played{say: make(chan *introducerv1.SubscribeResponse), req: make(chan *introducerv1.SubscribeRequest, 100)}
}

func (p *played) Subscribe(ctx context.Context, req *introducerv1.SubscribeRequest, stream introducerv1connect.IntroducerServiceSubscribeServerStream) error {
	p.req <- req
	for {
		select {
		case res := <-p.say:
			if err := stream.Send(res); err != nil {
				return err
			}
		case <-time.After(time.Minute): // something that means nothing, so that it is not taken for dead
			if err := stream.Send(&introducerv1.SubscribeResponse{}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell says something to whoever is subscribed, or soon will be.
func (p *played) tell(t testing.TB, res *introducerv1.SubscribeResponse) {
	t.Helper()
	select {
	case p.say <- res:
	case <-time.After(time.Hour):
		t.Fatal("nobody listens")
	}
}

// next waits for the next subscriber.
func (p *played) next(t testing.TB) *introducerv1.SubscribeRequest {
	t.Helper()
	select {
	case req := <-p.req:
		return req
	case <-time.After(time.Hour):
		t.Fatal("nobody subscribes")
		return nil
	}
}

func reset(why introducerv1.ResetReason) *introducerv1.SubscribeResponse {
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Reset_{Reset_: &introducerv1.Reset{Reason: why}}}
}

const (
	isNew     = introducerv1.ResetReason_RESET_REASON_NEW
	compacted = introducerv1.ResetReason_RESET_REASON_COMPACTED
	otherLog  = introducerv1.ResetReason_RESET_REASON_OTHER_LOG
)

func token(log byte, revision uint64) *introducerv1.ResumeToken {
	return &introducerv1.ResumeToken{LogId: bytes.Repeat([]byte{log}, 16), Revision: revision}
}

func changes(log byte, revision uint64, all ...*introducerv1.Change) *introducerv1.SubscribeResponse {
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Changes{
		Changes: &introducerv1.Changes{Changes: all, Token: token(log, revision)},
	}}
}

// announced is the change that s makes, said as it was signed.
func announced(s announce.Signed) *introducerv1.Change {
	p := &introducerv1.Peer{Service: string(storage), PeerId: s.PeerID, Announcement: introducerv1.NewSignedAnnouncement(s)}
	return &introducerv1.Change{Change: &introducerv1.Change_Announced{Announced: p}}
}

// gone is the change that a peer left, by its withdrawal if there is one.
func gone(name string, withdrawal *announce.Signed) *introducerv1.Change {
	id := registrytest.Key(name).PeerID()
	g := &introducerv1.Gone{Service: string(storage), PeerId: id[:], Reason: introducerv1.GoneReason_GONE_REASON_EXPIRED}
	if withdrawal != nil {
		g.Reason, g.Withdrawal = introducerv1.GoneReason_GONE_REASON_WITHDRAWN, introducerv1.NewSignedAnnouncement(*withdrawal)
	}
	return &introducerv1.Change{Change: &introducerv1.Change_Gone{Gone: g}}
}

func synced(log byte, revision uint64, held ...announce.Signed) *introducerv1.SubscribeResponse {
	var sum [32]byte
	for _, s := range held {
		for i, b := range s.Digest() {
			sum[i] ^= b
		}
	}
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Synced{
		Synced: &introducerv1.Progress{Token: token(log, revision), SetDigest: sum[:]},
	}}
}

// stop ends a real introducer and returns its directory.
func (w *world) stop(url string) (dir string) {
	w.t.Helper()
	w.mu.Lock()
	dir = w.up[url].dir
	w.mu.Unlock()
	w.kill(url)
	return dir
}

// evict removes a node's announcement at one introducer.
func (w *world) evict(url, name string) {
	w.t.Helper()
	if _, err := w.up[url].reg.Evict(w.t.Context(), registrytest.Key(name).PeerID(), storage); err != nil {
		w.t.Fatal(err)
	}
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
