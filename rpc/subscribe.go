package rpc

import (
	"context"
	"errors"
	"math/rand/v2"

	"google.golang.org/protobuf/types/known/durationpb"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/registry"
)

// Subscribe sends what the registry's cursor reads, in messages of bounded size. While there is
// nothing to send the stream holds no buffer; while the subscriber does not read, the cursor stands
// still and what it misses is conflated.
func (s *Service) Subscribe(ctx context.Context, req *introducerv1.SubscribeRequest, stream introducerv1connect.IntroducerServiceSubscribeServerStream) error {
	services, err := parseServices(req.Services)
	if err != nil {
		return err
	}
	resume, err := parseResume(req.Resume)
	if err != nil {
		return err
	}
	if err := checkView(req.View); err != nil {
		return err
	}
	if err := checkSubscriber(req.Subscriber); err != nil {
		return err
	}
	if s.draining.Err() != nil {
		return errDraining
	}
	// The subscriber should learn at once that it is connected, though the next event may be half a
	// minute away.
	if err := stream.SendHeaders(); err != nil {
		return err
	}
	sub := s.reg.Subscribe(services, resume)
	defer sub.Close()
	defer s.visitors.enter(services, req.Subscriber)()
	f := feed{s: s, stream: stream, view: req.View, token: req.Resume}
	if sub.Reset() != registry.NoReset {
		f.token = nil
		if err := f.reset(sub.Reset()); err != nil {
			return err
		}
	}
	return f.run(ctx, sub)
}

// feed is one Subscribe stream.
type feed struct {
	s      *Service
	stream introducerv1connect.IntroducerServiceSubscribeServerStream
	view   introducerv1.PeerView
	token  *introducerv1.ResumeToken // where the subscriber stands; nil: nowhere
	synced bool
}

func (f *feed) run(ctx context.Context, sub *registry.Subscription) error {
	ctx, stop := f.s.untilDrained(ctx)
	defer stop()
	for {
		err := f.next(ctx, sub)
		if errors.Is(err, errDraining) {
			return f.drain()
		}
		if err != nil {
			return err
		}
	}
}

// next waits for a batch and sends it.
func (f *feed) next(ctx context.Context, sub *registry.Subscription) error {
	// Next itself looks at ctx only when it has to wait, and a snapshot can be long.
	if err := f.s.ending(ctx); err != nil {
		return err
	}
	b, err := sub.Next(ctx, jitter(f.s.opts.ProgressInterval))
	if err != nil {
		return err
	}
	return f.batch(ctx, b)
}

// batch sends the changes of b and, at the head, where the subscriber stands if the changes don't
// say so.
func (f *feed) batch(ctx context.Context, b registry.Batch) error {
	if len(b.Changes) > 0 {
		if err := f.changes(ctx, b); err != nil {
			return err
		}
	}
	f.token = token(b.Token.LogID, b.Token.Revision)
	if !b.AtHead || f.synced && len(b.Changes) > 0 {
		return nil
	}
	p := &introducerv1.Progress{Token: f.token, SetDigest: b.Digest[:]}
	if f.synced {
		return f.stream.Send(&introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Progress{Progress: p}})
	}
	f.synced = true
	return f.stream.Send(&introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Synced{Synced: p}})
}

// changes sends the changes of b. Only the last message has b's token: up to there the subscriber
// stands where the last change that it got stands. It gives errDraining between two messages.
func (f *feed) changes(ctx context.Context, b registry.Batch) error {
	c := callOf(ctx)
	at := b.Changes[0].Revision
	out := chunker{max: len(b.Changes), send: func(body []byte) error {
		f.token = token(b.Token.LogID, at)
		msg := &introducerv1.Changes{Token: f.token}
		carry(msg, body)
		msg, err := plain(ctx, msg)
		if err != nil {
			return err
		}
		return f.stream.Send(&introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Changes{Changes: msg}})
	}}
	out.body = c.buffer(0)
	defer func() {
		c.keep(out.body)
		c.giveBack()
	}()
	for _, p := range b.Changes {
		form, err := f.s.cache.of(p)
		if err != nil {
			return err
		}
		value := form.in(f.view)
		if !out.fits(changeSize(form, value)) {
			if err := out.flush(); err != nil {
				return err
			}
			if err := f.s.ending(ctx); err != nil {
				return err
			}
		}
		out.body = appendChange(out.body, form, value)
		out.n++
		at = p.Revision
	}
	at = b.Token.Revision
	return out.flush()
}

func (f *feed) reset(why registry.ResetReason) error {
	return f.stream.Send(&introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Reset_{
		Reset_: &introducerv1.Reset{Reason: resetReason(why)},
	}})
}

// drain says where the subscriber stands and when to come back, and ends the stream in order.
func (f *feed) drain() error {
	after := rand.N(f.s.opts.DrainSpread)
	return f.stream.Send(&introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Drain{
		Drain: &introducerv1.Drain{Token: f.token, ReconnectAfter: durationpb.New(after)},
	}})
}

func resetReason(why registry.ResetReason) introducerv1.ResetReason {
	switch why {
	case registry.ResetNew:
		return introducerv1.ResetReason_RESET_REASON_NEW
	case registry.ResetCompacted:
		return introducerv1.ResetReason_RESET_REASON_COMPACTED
	case registry.ResetOtherLog:
		return introducerv1.ResetReason_RESET_REASON_OTHER_LOG
	}
	return introducerv1.ResetReason_RESET_REASON_UNSPECIFIED
}
