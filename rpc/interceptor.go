package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
)

// guard is what surrounds every RPC: it gives the call its limits, turns a panic into an error,
// errors into what callers may see, and tells the log.
func guard(log *slog.Logger, b *budget) connect.ServerInterceptor {
	buffers := new(sync.Pool)
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			c := &call{budget: b, buffers: buffers}
			defer c.end()
			if info, ok := connect.CallInfoForServerContext(ctx); ok {
				stream = &countedStream{stream, c, info}
			}
			began := time.Now()
			err := caught(next)(context.WithValue(ctx, callKey{}, c), spec, stream)
			told := publicError(err)
			report(ctx, log, spec, began, told)
			return told
		}
	}
}

// fault is a panic that was caught: a bug of ours, which must not take the other callers with it.
type fault struct {
	value any
	stack []byte
}

func (f *fault) Error() string { return fmt.Sprintf("panic: %v\n%s", f.value, f.stack) }

func caught(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = &fault{v, debug.Stack()}
			}
		}()
		return next(ctx, spec, stream)
	}
}

// report logs a call. A fault of ours, or of the disk's, is for the operator; all else is ordinary.
func report(ctx context.Context, log *slog.Logger, spec connect.Spec, began time.Time, err error) {
	level := slog.LevelDebug
	code := "ok"
	if err != nil {
		code = connect.CodeOf(err).String()
		switch connect.CodeOf(err) {
		case connect.CodeInternal, connect.CodeDataLoss:
			level = slog.LevelError
		}
	}
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("procedure", spec.Procedure),
		slog.String("code", code),
		slog.Duration("took", time.Since(began)),
	}
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		attrs = append(attrs, slog.String("peer", info.PeerAddr), slog.String("protocol", info.Protocol))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", wholeText(err)))
	}
	log.LogAttrs(ctx, level, "rpc", attrs...)
}

// wholeText is an error with its cause, which the caller was not told.
func wholeText(err error) string {
	coded, ok := err.(*connect.Error)
	if !ok || coded.Unwrap() == nil {
		return err.Error()
	}
	return coded.Unwrap().Error()
}
