package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect/v2"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/client/follow"
)

const (
	// pollEvery is how often an introducer of which no stream tells is asked whether it is still the same.
	pollEvery = 30 * time.Second
	// republishEvery is how often all is published, whatever seems to be the case.
	republishEvery = 10 * time.Minute
	maxPublish     = 1_000 // announcements in one request
)

// publisher keeps one introducer knowing what this node says. It is for one goroutine.
type publisher struct {
	*introducer
	// run is what the introducer said of itself right before all was published. Nil: nothing.
	run *introducerv1.GetInfoResponse
	// words are what the last attempt was to publish.
	words []*ownEntry
}

// publish publishes all that this node says, again and again, until ctx ends: when it says something
// new, when an introducer may have forgotten it, and after a failure.
func (x *introducer) publish(ctx context.Context) {
	p := publisher{introducer: x}
	var waits follow.Backoff
	for ctx.Err() == nil {
		err := p.all(ctx)
		p.report(err)
		if err == nil {
			waits.Reset()
			p.rest(ctx)
			continue
		}
		select {
		case <-ctx.Done():
		case <-p.kick:
		case <-time.After(waits.Next()):
		}
	}
}

// republish has all published again.
func (x *introducer) republish() {
	select {
	case x.kick <- struct{}{}:
	default:
	}
}

// rest waits until there is a reason to publish all again.
func (p *publisher) rest(ctx context.Context) {
	again := time.After(follow.Jitter(republishEvery))
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
			return
		case <-again:
			return
		case <-time.After(follow.Jitter(pollEvery)):
		}
		p.c.mu.Lock()
		idle := p.answers || len(p.c.own.wordsLocked()) == 0
		p.c.mu.Unlock()
		if idle {
			continue // a stream would tell, or nothing is said
		}
		if run, err := p.info(ctx); err != nil || !same(run, p.run) {
			return
		}
	}
}

// same tells whether two answers are of one run of one introducer.
func same(a, b *introducerv1.GetInfoResponse) bool {
	return b != nil && bytes.Equal(a.GetLogId(), b.GetLogId()) && a.GetStarted().AsTime().Equal(b.GetStarted().AsTime())
}

func (p *publisher) info(ctx context.Context) (*introducerv1.GetInfoResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return p.api.GetInfo(ctx, &introducerv1.GetInfoRequest{})
}

// all publishes all that this node says.
func (p *publisher) all(ctx context.Context) error {
	p.c.mu.Lock()
	words, answers := p.c.own.wordsLocked(), p.answers
	p.c.mu.Unlock()
	p.words = words
	if len(words) == 0 {
		return nil
	}
	p.run = nil
	if !answers {
		// Before, so that a restart between the two is seen as one, be it once too often.
		var err error
		p.run, err = p.info(ctx)
		if remote, ok := errors.AsType[*connect.Error](err); err != nil && (!ok || !remote.IsRemote()) {
			return err // it is not there
		}
	}
	start := time.Now()
	for part := range slices.Chunk(words, maxPublish) {
		if err := p.send(ctx, part); err != nil {
			return err
		}
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.published = start
	return nil
}

// send publishes some announcements, and notes what became of each.
func (p *publisher) send(ctx context.Context, words []*ownEntry) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req := &introducerv1.PublishRequest{}
	for _, e := range words {
		req.Announcements = append(req.Announcements, introducerv1.NewSignedAnnouncement(e.signed))
	}
	res, err := p.api.Publish(ctx, req)
	if err != nil {
		return err
	}
	if got := len(res.GetResults()); got != len(words) {
		return fmt.Errorf("%d results for %d announcements", got, len(words))
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	for i, e := range words {
		p.heardLocked(e, res.GetResults()[i])
	}
	p.c.wakeLocked()
	return nil
}

// heardLocked notes what became of one announcement.
func (p *publisher) heardLocked(e *ownEntry, r *introducerv1.PublishResult) {
	newest := p.c.own.entries[e.service] == e
	o := Outcome{Reason: clipText(r.GetReason())}
	switch r.GetOutcome() {
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_ACCEPTED, introducerv1.PublishOutcome_PUBLISH_OUTCOME_DUPLICATE,
		introducerv1.PublishOutcome_PUBLISH_OUTCOME_WITHDRAWN:
		o = Outcome{Accepted: true}
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_STALE:
		current := r.GetCurrentSeqnum()
		if e.seqnum <= current && current <= maxBelieved {
			if newest {
				p.staleLocked(e, current)
			}
			return // it is signed anew, and what becomes of that counts
		}
		o.Reason = fmt.Sprintf("it claims to know the sequence number %d of %v, which is not believed; if it is true, take another key", current, p.c.own.key.PeerID())
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_INVALID, introducerv1.PublishOutcome_PUBLISH_OUTCOME_BAD_SIGNATURE,
		introducerv1.PublishOutcome_PUBLISH_OUTCOME_FORBIDDEN:
		kind, _ := strings.CutPrefix(r.GetOutcome().String(), "PUBLISH_OUTCOME_")
		o.Reason = strings.ToLower(kind) + ": " + o.Reason
	default:
		o.Reason = fmt.Sprintf("outcome %d: %s", r.GetOutcome(), o.Reason)
	}
	if !newest {
		return
	}
	if !o.Accepted && e.outcomes[p.url] != o {
		p.log.Warn("the introducer refuses an announcement", "service", e.service, "seqnum", e.seqnum, "why", o.Reason)
	}
	e.outcomes[p.url] = o
}

// staleLocked has e signed anew with a number that beats current. The first time that is at once: this
// node's state was lost, or restored from an old copy. If it happens again and again another program
// uses the key, and the two must not drive each other.
func (x *introducer) staleLocked(e *ownEntry, current uint64) {
	e.beat = max(e.beat, current)
	if e.stale {
		return // it will be
	}
	now := time.Now()
	if now.Sub(e.staleAt) > fightForgotten {
		e.stales = 0
	}
	var wait time.Duration
	if e.stales > 0 {
		wait = follow.Jitter(min(fightFirst<<min(e.stales-1, 20), fightMost))
	}
	e.stales++
	e.stale, e.staleAt, e.due = true, now, now.Add(wait)
	level, text := x.log.Info, "the introducer knows a newer announcement of ours; signing anew"
	if e.stales > 3 {
		level, text = x.log.Warn, "something else publishes with this node's key; signing anew, more and more rarely"
	}
	level(text, "service", e.service, "seqnum", e.seqnum, "known", current, "in", wait.Round(time.Millisecond))
	x.c.lookAgain()
}

// report notes whether publishing failed, and says so when it is news.
func (p *publisher) report(err error) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.c.closed {
		return
	}
	if err != nil && (p.publishErr == nil || clip(p.publishErr) != clip(err)) {
		p.log.Info("publishing failed; it is tried again", "why", clip(err))
	}
	if err == nil || slices.Equal(p.words, p.c.own.wordsLocked()) { // else it says nothing of what is said now
		p.publishErr = err
	}
	p.c.wakeLocked()
}
