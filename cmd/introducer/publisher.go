package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"connectrpc.com/connect/v2"
	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/web/visible"
)

// publisher sends announcements to every introducer named, and shows what became of them.
type publisher struct {
	out     *printer
	servers []*connection

	published, refused int
	failed             error // of an introducer that did not answer as it should
}

func (a *app) newPublisher(cmd *cobra.Command) (*publisher, error) {
	out, err := a.newPrinter(cmd)
	if err != nil {
		return nil, err
	}
	servers, err := a.connectAll(cmd)
	if err != nil {
		return nil, err
	}
	return &publisher{out: out, servers: servers}, nil
}

// answer is what one introducer said to one batch.
type answer struct {
	results []*introducerv1.PublishResult // one for each announcement; none with an error
	err     error
}

// publish sends a batch to all introducers at once. Answers have their order.
func (p *publisher) publish(ctx context.Context, batch []announce.Signed) []answer {
	req := &introducerv1.PublishRequest{}
	for _, s := range batch {
		req.Announcements = append(req.Announcements, introducerv1.NewSignedAnnouncement(s))
	}
	answers := make([]answer, len(p.servers))
	var all sync.WaitGroup
	for i, c := range p.servers {
		all.Go(func() { answers[i] = publishTo(ctx, c, req) })
	}
	all.Wait()
	return answers
}

func publishTo(ctx context.Context, c *connection, req *introducerv1.PublishRequest) answer {
	ctx, stop := c.limited(ctx)
	defer stop()
	res, err := c.Publish(ctx, req)
	if err != nil && connect.CodeOf(err) == connect.CodeDataLoss {
		// Quarantined: it answers, and takes nothing.
		return answer{err: &exitError{exitRefused, c.explain(err)}}
	}
	if err != nil {
		return answer{err: c.explain(err)}
	}
	if got, want := len(res.GetResults()), len(req.GetAnnouncements()); got != want {
		return answer{err: fmt.Errorf("the introducer at %s gave %d results for %d announcements", c.url, got, want)}
	}
	return answer{results: res.GetResults()}
}

// published is the result of one announcement at one introducer, for programs.
type published struct {
	Server        string `json:"server"`
	Outcome       string `json:"outcome"`
	Service       string `json:"service,omitempty"`
	PeerID        string `json:"peer_id"`
	Seqnum        uint64 `json:"seqnum"`
	Revision      uint64 `json:"revision,omitempty"`
	CurrentSeqnum uint64 `json:"current_seqnum,omitempty"`
	Reason        string `json:"reason,omitempty"`
}

// show tells what became of a batch and counts it.
func (p *publisher) show(batch []announce.Signed, answers []answer) error {
	for i, answer := range answers {
		c := p.servers[i]
		if answer.err != nil {
			p.failed = errors.Join(p.failed, answer.err)
			continue
		}
		for j, r := range answer.results {
			if outcomeRefused(r.GetOutcome()) {
				p.refused++
			} else {
				p.published++
			}
			if err := p.showOne(c, batch[j], r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *publisher) showOne(c *connection, s announce.Signed, r *introducerv1.PublishResult) error {
	_, _, id := s.Tahoe()
	out := published{
		Server: c.url, Outcome: outcomeName(r.GetOutcome()), PeerID: id,
		Revision: r.GetRevision(), CurrentSeqnum: r.GetCurrentSeqnum(), Reason: r.GetReason(),
	}
	if a, err := announce.Parse(s.Message); err == nil { // else the outcome is INVALID, and says why
		out.Service, out.Seqnum = string(a.Service), a.Seqnum
	}
	if p.out.json {
		return p.out.object(out)
	}
	line := fmt.Sprintf("%s: %s of %s", out.Outcome, out.Service, visible.Clip(out.PeerID, 60))
	if out.Service == "" {
		line = fmt.Sprintf("%s: %s", out.Outcome, visible.Clip(out.PeerID, 60))
	}
	line += ", seqnum " + strconv.FormatUint(out.Seqnum, 10)
	if out.Reason != "" {
		line += ": " + visible.Clip(out.Reason, 300)
	} else {
		line += ", revision " + strconv.FormatUint(out.Revision, 10)
	}
	return p.out.line("%s, at %s", line, c.url)
}

// verdict is the error with which the command ends. A refusal weighs more than an introducer that did
// not answer, since trying again does not help.
func (p *publisher) verdict() error {
	switch {
	case p.refused > 0 && p.failed != nil:
		return exitf(exitRefused, "%d of %d announcements refused, and: %w", p.refused, p.refused+p.published, p.failed)
	case p.refused > 0:
		return exitf(exitRefused, "%d of %d announcements refused", p.refused, p.refused+p.published)
	}
	return p.failed
}

func outcomeName(o introducerv1.PublishOutcome) string {
	switch o {
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_ACCEPTED:
		return "accepted"
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_DUPLICATE:
		return "duplicate"
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_WITHDRAWN:
		return "withdrawn"
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_STALE:
		return "stale"
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_INVALID:
		return "invalid"
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_BAD_SIGNATURE:
		return "bad_signature"
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_FORBIDDEN:
		return "forbidden"
	}
	return "outcome_" + strconv.Itoa(int(o))
}

// outcomeRefused counts what a newer introducer may say as a refusal: better to look than to be sure.
func outcomeRefused(o introducerv1.PublishOutcome) bool {
	switch o {
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_ACCEPTED,
		introducerv1.PublishOutcome_PUBLISH_OUTCOME_DUPLICATE,
		introducerv1.PublishOutcome_PUBLISH_OUTCOME_WITHDRAWN:
		return false
	}
	return true
}
