package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/internal/seqnum"
	"github.com/introducer/introducer/registry/registrytest"
)

// offer is what alder publishes in these tests.
func offer() client.Offer {
	return client.Offer{Service: storage, Nickname: "alder", Endpoints: []string{"https://alder.test"}}
}

// alder opens a client that publishes and, if it wants any service, listens.
func (w *world) alder(dir string, services ...announce.Service) *client.Client {
	w.t.Helper()
	if services == nil {
		services = []announce.Service{}
	}
	return w.open(client.Options{Introducers: []string{urlA, urlB, urlC}, Key: registrytest.Key("alder"), Dir: dir, Services: services})
}

// holds checks what an introducer holds of storage, as "nickname seqnum".
func (h *host) holds(t testing.TB, when, want string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for _, p := range h.reg.View(storage).Peers.All() {
		a, _, err := h.reg.Announcement(p)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d", a.Nickname, a.Seqnum))
	}
	slices.Sort(got)
	if g := strings.Join(got, ", "); g != want {
		t.Errorf("%s: the introducer holds %q, want %q", when, g, want)
	}
}

func publish(t testing.TB, c *client.Client, o client.Offer) {
	t.Helper()
	if err := c.Publish(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// What is published is published to all, by those that listen and those that do not; it reaches
// introducers that come up later, that were emptied, and that were restored from an old copy.
func TestPublishIsKeptUp(t *testing.T) {
	for name, services := range map[string][]announce.Service{"listens": {"helper"}, "listens to nothing": nil} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				dirB, old := t.TempDir(), t.TempDir()
				a := w.serve(urlA, t.TempDir())
				w.serve(urlB, dirB)
				w.stop(urlB)
				copyDir(t, dirB, old)
				b := w.serve(urlB, dirB)
				c := w.alder(t.TempDir(), services...)
				publish(t, c, offer())
				a.holds(t, "A", "alder 1")
				b.holds(t, "B", "alder 1")
				w.serve(urlC, t.TempDir())
				time.Sleep(time.Minute)
				w.up[urlC].holds(t, "C, which came up later", "alder 1")

				w.stop(urlA)
				w.serve(urlA, t.TempDir())
				w.stop(urlB)
				w.serve(urlB, old)
				time.Sleep(time.Minute)
				w.up[urlA].holds(t, "A, emptied", "alder 1")
				w.up[urlB].holds(t, "B, restored", "alder 1")
				want := client.OwnStatus{Service: storage, Seqnum: 1, Current: true, Outcomes: map[string]client.Outcome{
					urlA: {Accepted: true}, urlB: {Accepted: true}, urlC: {Accepted: true},
				}}
				if diff := cmp.Diff([]client.OwnStatus{want}, c.Status().Own); diff != "" {
					t.Errorf("own (-want +got):\n%s", diff)
				}

				o := offer()
				o.Endpoints = []string{"https://new.test"}
				publish(t, c, o)
				if err := c.Withdraw(t.Context(), "helper"); err != nil { // which nobody knows of
					t.Error(err)
				}
				w.up[urlC].holds(t, "another offer", "alder 2")
				if err := c.Withdraw(t.Context(), storage); err != nil {
					t.Error(err)
				}
				w.up[urlC].holds(t, "withdrawn", "")
				w.stop(urlA)
				w.serve(urlA, t.TempDir()).put(t, sign(t, "alder", 2)) // somebody has kept it
				time.Sleep(time.Minute)
				w.up[urlA].holds(t, "emptied again", "")
			})
		})
	}
}

// Publish tells what became of it: at once with the first that accepts, and when the context ends; then
// it goes on.
func TestPublishWaits(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.alder(t.TempDir())
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := c.Publish(ctx, offer()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with nobody there: %v", err)
		}
		cancel()
		o := offer()
		o.Nickname = "other"
		if err := c.Publish(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that has ended: %v", err)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- c.Publish(t.Context(), offer()) }()
		synctest.Wait()
		go func() { waiting <- c.Publish(t.Context(), o) }()
		if err := <-waiting; !errors.Is(err, client.ErrReplaced) {
			t.Errorf("replaced: %v", err)
		}
		a := w.serve(urlA, t.TempDir())
		if err := <-waiting; err != nil {
			t.Errorf("with A: %v", err)
		}
		a.holds(t, "A", "other 4")
		if err := c.SetIntroducers(nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(t.Context(), offer()); !errors.Is(err, client.ErrNoIntroducer) {
			t.Errorf("with no introducer: %v", err)
		}
		o.Endpoints = make([]string, announce.MaxEndpoints+1)
		if err := c.Publish(t.Context(), o); !errors.Is(err, announce.ErrInvalid) {
			t.Errorf("a bad offer: %v", err)
		}
		listener := w.open(client.Options{})
		if err := listener.Publish(t.Context(), offer()); !errors.Is(err, client.ErrNoKey) {
			t.Errorf("without a key: %v", err)
		}
	})
}

// Sequence numbers survive restarts, and a node without its state, or with an old copy of it, learns
// from the introducers what to beat: each with another number in mind.
func TestSeqnums(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b, c := w.serve(urlA, t.TempDir()), w.serve(urlB, t.TempDir()), w.serve(urlC, t.TempDir())
		all := func(when, want string) {
			t.Helper()
			time.Sleep(time.Minute)
			a.holds(t, when, want)
			b.holds(t, when, want)
			c.holds(t, when, want)
		}
		dir, old := t.TempDir(), t.TempDir()
		node := w.alder(dir)
		publish(t, node, offer())
		all("first", "alder 1")
		closeClient(t, node)
		copyDir(t, dir, old)
		for _, nickname := range []string{"alder", "birch", "alder", "birch"} {
			node = w.alder(dir)
			o := offer()
			o.Nickname = nickname
			publish(t, node, o)
			closeClient(t, node)
		}
		node = w.alder(dir)
		all("the same words are said again, others anew", "birch 4")
		if own := node.Status().Own[0]; own.Current || own.Seqnum != 4 {
			t.Errorf("what this run has not published: %+v", own)
		}
		closeClient(t, node)

		node = w.alder(old)
		publish(t, node, offer())
		all("an old copy", "alder 5")
		closeClient(t, node)
		// Others know other numbers.
		a.put(t, sign(t, "alder", 100))
		b.put(t, sign(t, "alder", 2000))
		c.put(t, withdraw(t, "alder", 300))
		node = w.alder(t.TempDir())
		publish(t, node, offer())
		all("without its state", "alder 2001")
	})
}

// A number file that others use too is used with them.
func TestSharedSeqnums(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.serve(urlA, t.TempDir())
		path := filepath.Join(t.TempDir(), "key.seqnum")
		c := w.open(client.Options{Introducers: []string{urlA}, Key: registrytest.Key("alder"), SeqnumPath: path})
		publish(t, c, offer())
		f, err := seqnum.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := f.Next(storage); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		o := offer()
		o.Nickname = "birch"
		publish(t, c, o)
		a.holds(t, "A", "birch 3")
		if err := os.WriteFile(path, []byte("?"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(t.Context(), offer()); !errors.Is(err, seqnum.ErrDamaged) {
			t.Errorf("with a damaged file: %v", err)
		}
	})
}

// A time to live is renewed at about its half, for as long as the node runs, so that nobody ever sees the
// peer go.
func TestRenewal(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const ttl, lives = time.Hour, 12
		w.serve(urlA, t.TempDir())
		c := w.alder(t.TempDir())
		o := offer()
		o.TTL = ttl
		publish(t, c, o)
		watcher := w.open(client.Options{Introducers: []string{urlA}})
		ctx, cancel := context.WithTimeout(t.Context(), lives*ttl)
		defer cancel()
		var last time.Time
		renewals := 0
		for change := range watcher.Changes(ctx) {
			if change.New == nil {
				t.Fatalf("%v went after %d renewals", change.Old, renewals)
			}
			if change.Old != nil {
				renewals++
				if age := time.Since(last); age < ttl*45/100 || age > ttl*55/100 || change.New.Seqnum != change.Old.Seqnum+1 {
					t.Errorf("%d renewed as %d at the age of %v", change.Old.Seqnum, change.New.Seqnum, age)
				}
			}
			last = time.Now()
		}
		if renewals < lives*18/10 || renewals > lives*23/10 {
			t.Errorf("%d renewals in %d lives", renewals, lives)
		}
	})
}

// An announcement with a time to live that an earlier run made is used again while it is young.
func TestRenewalOverRestart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.serve(urlA, t.TempDir())
		dir := t.TempDir()
		o := offer()
		o.TTL = time.Hour
		for _, step := range []struct {
			later time.Duration
			want  string
		}{{0, "alder 1"}, {20 * time.Minute, "alder 1"}, {20 * time.Minute, "alder 2"}, {3 * time.Hour, "alder 3"}} {
			time.Sleep(step.later)
			c := w.alder(dir)
			publish(t, c, o)
			closeClient(t, c)
			a.holds(t, step.later.String()+" later", step.want)
		}
	})
}

// Two programs with one key don't drive each other: the more often, the more rarely.
func TestFight(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.serve(urlA, t.TempDir())
		logger, lines := logged()
		for _, nickname := range []string{"alder", "birch"} {
			c := w.open(client.Options{Introducers: []string{urlA}, Key: registrytest.Key("alder"), Nickname: nickname, Logger: logger})
			publish(t, c, client.Offer{Service: storage})
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if got := uint64(a.reg.Info().Last); got > 2*6*6+40 {
			t.Errorf("%d announcements in six hours", got)
		}
		if !strings.Contains(lines.String(), "something else publishes with this node's key") {
			t.Errorf("the log says %q", lines)
		}
	})
}

// Nor does an introducer that always knows a newer announcement, or says so.
func TestAlwaysStale(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		j := &judging{stale: true}
		w.play(urlA, j)
		b := w.serve(urlB, t.TempDir())
		c := w.alder(t.TempDir())
		publish(t, c, offer()) // B takes it
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		own := c.Status().Own[0]
		if j.calls < 6*6 || j.calls > 2*6*6+60 || own.Seqnum > 2*6*6 {
			t.Errorf("%d calls, and the number %d, in six hours", j.calls, own.Seqnum)
		}
		b.holds(t, "B", fmt.Sprint("alder ", own.Seqnum))
	})
}

// judging is an introducer that judges as a test wants.
type judging struct {
	introducerv1connect.UnimplementedIntroducerServiceHandler
	mu      sync.Mutex
	results []*introducerv1.PublishResult
	stale   bool // every announcement is, since it is known already
	calls   int
}

func (j *judging) Publish(_ context.Context, req *introducerv1.PublishRequest) (*introducerv1.PublishResponse, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls++
	if !j.stale {
		return &introducerv1.PublishResponse{Results: j.results}, nil
	}
	a, err := announce.Parse(req.GetAnnouncements()[0].GetMessage())
	if err != nil {
		return nil, err
	}
	result := &introducerv1.PublishResult{Outcome: introducerv1.PublishOutcome_PUBLISH_OUTCOME_STALE, CurrentSeqnum: a.Seqnum}
	return &introducerv1.PublishResponse{Results: []*introducerv1.PublishResult{result}}, nil
}

func (j *judging) GetInfo(context.Context, *introducerv1.GetInfoRequest) (*introducerv1.GetInfoResponse, error) {
	return &introducerv1.GetInfoResponse{LogId: make([]byte, 16)}, nil
}

// What is refused is an error, unless another introducer accepts it, and it is not tried all the time.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		result *introducerv1.PublishResult
		want   string
	}{
		{"invalid", &introducerv1.PublishResult{Outcome: introducerv1.PublishOutcome_PUBLISH_OUTCOME_INVALID, Reason: "too red"}, "invalid: too red"},
		{"bad signature", &introducerv1.PublishResult{Outcome: introducerv1.PublishOutcome_PUBLISH_OUTCOME_BAD_SIGNATURE}, "bad_signature: "},
		{"forbidden", &introducerv1.PublishResult{Outcome: introducerv1.PublishOutcome_PUBLISH_OUTCOME_FORBIDDEN, Reason: strings.Repeat("é", 300)}, "forbidden: " + strings.Repeat("é", 150) + "…"},
		{"of the future", &introducerv1.PublishResult{Outcome: 77}, "outcome 77: "},
		{"of no meaning", nil, "outcome 0: "},
		{"it knows the last number", &introducerv1.PublishResult{Outcome: introducerv1.PublishOutcome_PUBLISH_OUTCOME_STALE, CurrentSeqnum: announce.MaxSeqnum}, "it claims to know the sequence number 9223372036854775807 of "},
		{"stale without reason", &introducerv1.PublishResult{Outcome: introducerv1.PublishOutcome_PUBLISH_OUTCOME_STALE}, "it claims to know the sequence number 0 of "},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				j := &judging{results: []*introducerv1.PublishResult{test.result}}
				w.play(urlA, j)
				logger, lines := logged()
				opts := client.Options{Introducers: []string{urlA}, Key: registrytest.Key("alder"), Services: []announce.Service{}, Logger: logger}
				c := w.open(opts)
				err := c.Publish(t.Context(), offer())
				if !errors.Is(err, client.ErrRefused) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if j.calls < 6 || j.calls > 14 {
					t.Errorf("%d calls in an hour", j.calls)
				}
				if got := strings.Count(lines.String(), "refuses an announcement"); got != 1 {
					t.Errorf("%d warnings:\n%s", got, lines)
				}
				w.serve(urlB, t.TempDir())
				if err := c.SetIntroducers([]string{urlA, urlB}); err != nil {
					t.Fatal(err)
				}
				publish(t, c, offer())
			})
		})
	}
	bubble(t, func(t *testing.T, w *world) {
		j := &judging{}
		w.play(urlA, j)
		c := w.open(client.Options{Introducers: []string{urlA}, Key: registrytest.Key("alder"), Services: []announce.Service{}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := c.Publish(ctx, offer()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without results: %v", err)
		}
		if s := status(t, c, urlA); s.PublishErr == nil || s.PublishErr.Error() != "0 results for 1 announcements" {
			t.Errorf("%+v", s)
		}
	})
}

// What was refused once is asked for again by the next Publish, in whatever words.
func TestRefusedThenAccepted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		j := &judging{results: []*introducerv1.PublishResult{{Outcome: introducerv1.PublishOutcome_PUBLISH_OUTCOME_FORBIDDEN}}}
		w.play(urlA, j)
		c := w.open(client.Options{Introducers: []string{urlA}, Key: registrytest.Key("alder"), Services: []announce.Service{}})
		if err := c.Publish(t.Context(), offer()); !errors.Is(err, client.ErrRefused) {
			t.Error(err)
		}
		j.mu.Lock()
		j.results = []*introducerv1.PublishResult{{Outcome: introducerv1.PublishOutcome_PUBLISH_OUTCOME_ACCEPTED}}
		j.mu.Unlock()
		publish(t, c, offer())
	})
}

// An attempt's error is of what it was to say, and not of what is said since.
func TestPublishErr(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.open(client.Options{Introducers: []string{urlA}, Key: registrytest.Key("alder"), Services: []announce.Service{}})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		slow := &slow{answer: make(chan struct{})}
		declare := func(nickname string) {
			o := offer()
			o.Nickname = nickname
			if err := c.Publish(ended, o); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		declare("first")
		synctest.Wait()
		if s := status(t, c, urlA); s.PublishErr == nil {
			t.Error("nobody is there, and it was published")
		}
		w.play(urlA, slow)
		declare("second")
		synctest.Wait()
		if s := status(t, c, urlA); s.PublishErr != nil {
			t.Errorf("before the introducer has answered: %v", s.PublishErr)
		}
		declare("third")
		slow.answer <- struct{}{} // to what was said before
		synctest.Wait()
		if s := status(t, c, urlA); s.PublishErr != nil {
			t.Errorf("an answer to the second: %v", s.PublishErr)
		}
		slow.answer <- struct{}{}
		synctest.Wait()
		if s := status(t, c, urlA); s.PublishErr == nil {
			t.Error("an answer to the third is not told")
		}
	})
}

// slow is an introducer that refuses every call when the test wants it.
type slow struct {
	introducerv1connect.UnimplementedIntroducerServiceHandler
	answer chan struct{}
}

func (s *slow) GetInfo(context.Context, *introducerv1.GetInfoRequest) (*introducerv1.GetInfoResponse, error) {
	return &introducerv1.GetInfoResponse{}, nil
}

func (s *slow) Publish(ctx context.Context, _ *introducerv1.PublishRequest) (*introducerv1.PublishResponse, error) {
	select {
	case <-s.answer:
	case <-ctx.Done():
	}
	return nil, connect.NewError(connect.CodeUnavailable, "later")
}
