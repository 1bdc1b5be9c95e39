// Package follow is a subscription to one introducer that never loses its place. It runs one Subscribe
// stream after another, remembers where the last one stood, and hands over what is said, in order. It
// knows the wire contract and nothing of signatures, keeps no file and decides nothing about peers:
// that is its [Handler]'s.
//
// # What is promised
//
//   - A stream that ended is followed by another after a pause of a quarter of a second, twice as long
//     each time up to 30 s, each shortened at random by up to a half; the first pause is short again
//     after a stream that got as far as synced. When the introducer asked for a pause (drain), it is
//     that one, up to 5 minutes, and the second time in a row no shorter than otherwise. After an error
//     that no further try mends by itself ([Permanent]) pauses are of full length from the first.
//   - A new stream resumes from the token of the last event that its Handler took. So each change is
//     told at least once, and none is left out, unless the introducer says reset.
//   - A stream on which nothing is heard for two minutes is dead. An introducer says every half minute
//     or so that nothing is new.
//   - At synced and at each progress the introducer's set digest is compared with the Handler's. When
//     they differ the token is dropped and everything is asked for anew: at once, but if it happens
//     again within five minutes, after a pause that grows as above.
//   - A token that the introducer refuses is dropped too.
//
// Messages are received while the Handler is busy with an earlier one; see [Ahead].
package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
)

// Errors with which a stream ends here, as [Lost] has them.
var (
	ErrSilent   = fmt.Errorf("nothing was heard for %v", silence)
	ErrMismatch = errors.New("what is held is not what the introducer holds")
)

// Ahead is how many messages wait for the Handler, while one more is being received. An introducer's have
// some 256 KiB, and at most what the client given reads.
const Ahead = 4

const (
	silence       = 2 * time.Minute
	longestDrain  = 5 * time.Minute
	mismatchAgain = 5 * time.Minute // within this, a mismatch has happened again
	firstWait     = 250 * time.Millisecond
	longestWait   = 30 * time.Second
	logIDSize     = 16 // bytes
)

// Handler takes in what an introducer says.
type Handler interface {
	// Prepare is called for the changes of a message as soon as they have been received, while Handle
	// may be busy with an earlier one, and may begin work on them. What it returns comes back as
	// Prepared in the [Changes] that Handle gets. It may never come back: the stream may end. An error
	// ends the stream when what was received before has been handled.
	Prepare(changes []*introducerv1.Change) (any, error)

	// Handle takes in one event. An error ends the stream, which is then resumed from before the event;
	// an error from [Lost] ends Run.
	Handle(e Event) error

	// Digest is the digest of what is held: the XOR, over all that was announced since the last [Reset]
	// or [Mismatch] and is not gone, of [announce.Signed.Digest], bad ones included. It is asked right
	// before [Synced] and [Progress].
	Digest() [32]byte
}

// Options say whom to follow and what.
type Options struct {
	Client     introducerv1connect.IntroducerServiceClient
	Services   []announce.Service           // none: every one
	Subscriber *introducerv1.SubscriberInfo // nil: says nothing
	// Token is where to resume, together with what Handler holds already. Nil: from nothing, and Handler
	// holds nothing.
	Token   *introducerv1.ResumeToken
	Handler Handler
}

// Run follows until ctx ends and then returns nil, or until Handler refuses a [Lost]. Handle and Digest
// are called on the goroutine of Run, Prepare on another; none is called after Run has returned.
func Run(ctx context.Context, o Options) error {
	f := &follower{Options: o}
	for {
		err := f.stream(ctx)
		if ctx.Err() != nil {
			return nil
		}
		lost := Lost{Err: err, Wait: f.pause(err)}
		if err := f.Handler.Handle(lost); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lost.Wait):
		}
	}
}

type follower struct {
	Options // Token moves

	// Of the current stream.
	resumed *introducerv1.ResumeToken
	began   bool
	synced  bool
	drain   time.Duration // what the introducer asked for; 0: nothing

	drained      bool // the last stream that ended was drained
	waits        Backoff
	mismatches   Backoff
	lastMismatch time.Time
}

// pause is how long to wait after a stream that ended with err.
func (f *follower) pause(err error) time.Duration {
	if f.synced {
		f.waits.Reset()
	}
	drainedAgain := f.drained
	f.drained = f.drain > 0
	switch {
	case drainedAgain && f.drained:
		return max(f.drain, f.waits.Next()) // one that is about to stop, and never does
	case f.drained:
		return f.drain
	case errors.Is(err, ErrMismatch):
		again := time.Since(f.lastMismatch) < mismatchAgain
		f.lastMismatch = time.Now()
		if again {
			return f.mismatches.Next()
		}
		f.mismatches.Reset()
		return 0
	case Permanent(err):
		return Jitter(longestWait)
	}
	return f.waits.Next()
}

// Permanent tells whether err, from a [Lost], is one that a further try by itself does not mend: the
// introducer refuses this subscriber or its request, serves a damaged log, or is none; or the Handler
// refused an event.
func Permanent(err error) bool {
	if _, ok := errors.AsType[*refusal](err); ok {
		return true
	}
	remote, ok := errors.AsType[*connect.Error](err)
	if !ok || !remote.IsRemote() {
		return false
	}
	switch remote.Code() {
	case connect.CodeInvalidArgument, connect.CodePermissionDenied, connect.CodeUnauthenticated,
		connect.CodeUnimplemented, connect.CodeDataLoss:
		return true
	}
	return false
}

// refusal is an error of the Handler.
type refusal struct{ err error }

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

func refused(err error) error {
	if err == nil {
		return nil
	}
	return &refusal{err}
}

// received is one message of a stream, or the error that ended it.
type received struct {
	res      *introducerv1.SubscribeResponse
	prepared any
	err      error
}

// stream is one stream, from Subscribe to its end, and returns why it ended: nil for an end in order.
func (f *follower) stream(ctx context.Context) error {
	f.resumed, f.began, f.synced, f.drain = f.Token, false, false, 0
	live, cancel := context.WithCancelCause(ctx)
	messages := make(chan received, Ahead)
	request := f.request() // here, since the token is this goroutine's
	go func() {
		defer close(messages)
		f.receive(live, cancel, request, messages)
	}()
	// Messages are read to their end in any case, so that the goroutine never waits in vain.
	defer func() {
		cancel(nil)
		for range messages {
		}
	}()
	for m := range messages {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := m.err; err != nil {
			f.dropRefusedToken(err)
			return err
		}
		if err := f.take(m); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) request() *introducerv1.SubscribeRequest {
	req := &introducerv1.SubscribeRequest{
		Resume:     f.Token,
		View:       introducerv1.PeerView_PEER_VIEW_FULL,
		Subscriber: f.Subscriber,
	}
	for _, name := range f.Services {
		req.Services = append(req.Services, string(name))
	}
	return req
}

// receive hands the messages of one stream over until it ends.
func (f *follower) receive(ctx context.Context, cancel context.CancelCauseFunc, req *introducerv1.SubscribeRequest, out chan<- received) {
	alive := time.AfterFunc(silence, func() { cancel(ErrSilent) })
	defer alive.Stop()
	stream, err := f.Client.Subscribe(ctx, req)
	if err == nil {
		defer stream.Close()
	}
	for err == nil {
		var m received
		if m.res, err = stream.Receive(); err != nil {
			break
		}
		if c := m.res.GetChanges(); c != nil {
			if m.prepared, err = f.Handler.Prepare(c.GetChanges()); err != nil {
				err = refused(err)
				break
			}
		}
		alive.Stop() // while the Handler is behind, nobody listens
		out <- m
		alive.Reset(silence)
	}
	if errors.Is(context.Cause(ctx), ErrSilent) {
		err = ErrSilent
	}
	if !errors.Is(err, io.EOF) {
		out <- received{err: err}
	}
}

// dropRefusedToken makes the next stream begin anew if this one was refused, which may be the token's
// fault.
func (f *follower) dropRefusedToken(err error) {
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodeOutOfRange:
		f.Token = nil
	}
}
