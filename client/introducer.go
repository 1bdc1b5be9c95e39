package client

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/client/follow"
)

// introducer is one of those that a Client knows: its subscription, which is here, and what is published
// there, which is in publisher.go.
type introducer struct {
	c       *Client
	url     string
	api     introducerv1connect.IntroducerServiceClient
	log     *slog.Logger
	stop    context.CancelFunc // ends its goroutines,
	running sync.WaitGroup     // which are in here
	kick    chan struct{}      // holds a token when all is to be published again

	// All below is guarded by Client.mu.
	*books
	changed    context.Context // ends when the services that are followed are no longer those subscribed to
	state      State
	heard      time.Time
	opened     time.Time // when this stream began
	err        error
	rejected   uint64
	outdated   uint64
	mismatches uint64
	pending    []*batch // begun and not ended, oldest first

	warned     time.Time // when something that was rejected was logged
	unreported uint64    // what was rejected since

	publishErr error
	published  time.Time // when all was published last; zero: not since the introducer is known
}

// warnEvery is how often something that one introducer announces wrongly is logged.
const warnEvery = time.Minute

// run subscribes to whatever is to be subscribed to, until ctx ends.
func (x *introducer) run(ctx context.Context) {
	// Close ends ctx and the present services, in either order.
	for ctx.Err() == nil && x.c.closing.Err() == nil {
		x.subscribed(ctx)
	}
}

// subscribed follows the present services until they change.
func (x *introducer) subscribed(ctx context.Context) {
	c := x.c
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	services, changed := c.services, c.otherServices
	x.changed = changed
	var token *introducerv1.ResumeToken
	if len(services) > 0 {
		token = x.resume(services)
	}
	c.mu.Unlock()
	defer context.AfterFunc(changed, cancel)()
	if len(services) == 0 {
		<-ctx.Done()
		return
	}
	// It ends with ctx alone: Handle takes every Lost.
	_ = follow.Run(ctx, follow.Options{
		Client:     x.api,
		Services:   services,
		Subscriber: &introducerv1.SubscriberInfo{Nickname: c.opts.Nickname, Version: c.opts.Version},
		Token:      token,
		Handler:    x,
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	x.lostLocked(x.err)
}

// Prepare begins to verify what is announced.
func (x *introducer) Prepare(changes []*introducerv1.Change) (any, error) { return x.begin(changes) }

// Digest is the digest of what the introducer announced.
func (x *introducer) Digest() [32]byte {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.books.digest
}

// Handle takes in one event.
func (x *introducer) Handle(e follow.Event) (err error) {
	var b *batch
	if changes, ok := e.(follow.Changes); ok {
		b = changes.Prepared.(*batch)
		b.wait()
	}
	x.c.apply(func(l *ledger) { err = x.handleLocked(l, e, b) })
	return err
}

func (x *introducer) handleLocked(l *ledger, e follow.Event, b *batch) error {
	if x.changed.Err() != nil {
		return x.changed.Err() // what an old stream says of other services means nothing
	}
	if _, lost := e.(follow.Lost); !lost {
		x.heard = time.Now()
	}
	switch e := e.(type) {
	case follow.Opened:
		x.state, x.opened = CatchingUp, time.Now()
		x.log.Info("following the introducer", "resumed", e.Resumed != nil)
	case follow.Reset:
		x.reset(e.Reason == introducerv1.ResetReason_RESET_REASON_OTHER_LOG)
		x.log.Info("the introducer tells all it knows anew", "reason", e.Reason.String())
	case follow.Changes:
		if err := x.changeLocked(l, b); err != nil {
			return err
		}
		x.stand(l, e.Token)
	case follow.Synced:
		x.synced(l, e.Token)
		x.state, x.err = Synced, nil
		for _, s := range x.services {
			x.c.synced[s] = true
		}
		if x.published.Before(x.opened) {
			x.republish()
		}
		x.log.Info("in step with the introducer", "peers", len(x.entries))
	case follow.Progress:
		x.stand(l, e.Token)
		x.sweep(l)
	case follow.Drain:
		x.stand(l, e.Token)
	case follow.Mismatch:
		x.mismatches++
		x.reset(false)
		x.log.Warn("what is held is not what the introducer holds; beginning anew", "mismatches", x.mismatches)
	case follow.Lost:
		x.logLostLocked(e)
		x.lostLocked(e.Err)
		x.state = Connecting
	}
	return nil
}

// changeLocked applies a batch, which has been verified. What there is no room for does not keep the rest
// from making some.
func (x *introducer) changeLocked(l *ledger, b *batch) (full error) {
	defer x.endLocked(b)
	for i := range b.items {
		it := &b.items[i]
		if !it.place {
			x.rejectLocked(it, it.err)
			continue
		}
		if it.gone {
			said, err := it.withdrawal()
			if err != nil {
				x.rejectLocked(it, err)
			} else if said != nil {
				l.withdrawn(it.key, said.Seqnum, it.check.id.digest)
			}
			x.gone(l, it.key)
			continue
		}
		p, bad := it.announced()
		if bad != nil {
			p = nil
			x.rejectLocked(it, bad)
		}
		taken, err := x.announced(l, it.key, it.digest, p)
		switch {
		case err != nil:
			full = err
		case !taken && bad == nil:
			x.outdated++
		}
	}
	return full
}

// rejectLocked counts what is not to be believed, and now and then says so.
func (x *introducer) rejectLocked(it *item, why error) {
	x.rejected++
	x.unreported++
	if now := time.Now(); now.Sub(x.warned) >= warnEvery {
		x.warned = now
		x.log.Warn("the introducer announces what is not to be believed", "service", it.key.Service, "peer", it.key.ID.String(),
			"why", why.Error(), "since the last such line", x.unreported)
		x.unreported = 0
	}
}

// lostLocked ends a stream: nothing is lost but that it answers.
func (x *introducer) lostLocked(err error) {
	x.answers, x.err = false, err
	for len(x.pending) > 0 {
		x.endLocked(x.pending[0])
	}
}

// logLostLocked says why a stream ended, if it is not what was said before.
func (x *introducer) logLostLocked(e follow.Lost) {
	level, why := slog.LevelInfo, "the introducer ended the stream"
	if e.Err != nil {
		why = clip(e.Err)
	}
	if follow.Permanent(e.Err) {
		level = slog.LevelWarn
	}
	if x.state == Connecting {
		if x.err != nil && clip(x.err) == why {
			level = slog.LevelDebug
		}
	}
	x.log.Log(context.Background(), level, "the connection to the introducer ended", "why", why, "next try in", e.Wait.Round(time.Millisecond))
}

// clip is an error as it may be shown and kept.
func clip(err error) string { return clipText(err.Error()) }

// clipText is what a stranger said, which may be long.
func clipText(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
