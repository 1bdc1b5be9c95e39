package rpc

import (
	"cmp"
	"compress/gzip"
	"log/slog"
	"math"
	"net/http"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectgzip"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
)

// ServerOptions are the settings of the HTTP server around the RPCs; the zero value works.
type ServerOptions struct {
	// Logger hears of every call at level Debug and of faults at level Error; nil: nobody does.
	Logger *slog.Logger
	// Root serves what is no RPC; nil: 404.
	Root http.Handler
	// Origins are the websites, as CheckOrigin has them, whose pages may call from a browser; nil:
	// none but our own. They may do what anyone may who reaches the introducer, in the name of
	// whoever looks at the page.
	Origins []string
	// MaxRequestBytes bounds a request message, compressed or not. 0: 4 MiB.
	MaxRequestBytes int
	// MaxPublishBytes does so for Publish. 0: 24 MiB, which holds 1,000 announcements of 16 KiB, in
	// JSON too.
	MaxPublishBytes int
	// MaxInFlightBytes bounds the request bodies and single answers above 64 KiB that are in memory
	// at once, counted twice since decoding and encoding copy them. 0: 512 MiB.
	MaxInFlightBytes int64
	// CompressMinBytes is the size from which single answers are compressed for clients that accept
	// it, as nearly all do. 0: never, since gzip takes three to five times what the rest of a large
	// answer takes. Messages of streams never are: each subscriber's copy would be compressed anew.
	// Requests may always be compressed.
	CompressMinBytes int
}

const (
	defaultMaxRequestBytes  = 4 << 20
	defaultMaxPublishBytes  = 24 << 20
	defaultMaxInFlightBytes = 512 << 20

	maxHeaderBytes = 64 << 10
	maxStreams     = 100 // at a time on one HTTP/2 connection
)

func (o ServerOptions) withDefaults() ServerOptions {
	o.Logger = discard(o.Logger)
	o.MaxRequestBytes = cmp.Or(o.MaxRequestBytes, defaultMaxRequestBytes)
	o.MaxPublishBytes = cmp.Or(o.MaxPublishBytes, defaultMaxPublishBytes)
	o.CompressMinBytes = cmp.Or(o.CompressMinBytes, math.MaxInt)
	o.MaxInFlightBytes = cmp.Or(o.MaxInFlightBytes, defaultMaxInFlightBytes)
	return o
}

// NewServer returns the whole server for this service, ready for Serve. Its Shutdown drains the
// streams first; one whose client does not read holds it up until Shutdown's context ends, and then
// Close is what remains.
func (s *Service) NewServer(opts ServerOptions) *http.Server {
	hs := NewServer(opts, s.Register)
	hs.Handler = s.endReflection(hs.Handler)
	hs.RegisterOnShutdown(s.Drain)
	return hs
}

// NewServer returns a server for the RPCs that register puts on it: every limit, interceptor and
// protocol that the introducer has, whatever is behind. It speaks Connect, gRPC and gRPC-Web over
// HTTP/1.1 and HTTP/2 on one port, without TLS unless its caller serves TLS.
func NewServer(opts ServerOptions, register ...func(*connect.Server)) *http.Server {
	opts = opts.withDefaults()
	b := &budget{max: opts.MaxInFlightBytes}
	server := connect.NewServer(guard(opts.Logger, b))
	for _, r := range register {
		r(server)
	}
	mux := http.NewServeMux()
	connecthttp.Mount(mux, server, mountOptions(opts, b)...)
	if opts.Root != nil {
		mux.Handle("/", opts.Root)
	}
	return &http.Server{
		Handler:           crossOrigin(opts.Origins, limitBodies(b, mux)),
		Protocols:         protocols(),
		HTTP2:             http2(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		// No ReadTimeout and no WriteTimeout: they would end every stream.
		ErrorLog: slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
	}
}

func mountOptions(opts ServerOptions, b *budget) []connecthttp.Option {
	return []connecthttp.Option{
		connecthttp.WithCompressors(countedGzip{connectgzip.New(connectgzip.WithLevel(gzip.BestSpeed)), b}),
		connecthttp.WithReadMaxBytes(opts.MaxRequestBytes),
		connecthttp.WithCompressMinBytes(opts.CompressMinBytes),
		connecthttp.WithConditionalOptions(func(spec connect.Spec) []connecthttp.Option {
			switch {
			case spec.StreamType == connect.StreamTypeBidi:
				// Reflection, whose requests are names. None is large enough to be counted.
				return []connecthttp.Option{connecthttp.WithReadMaxBytes(free), connecthttp.WithCompressMinBytes(math.MaxInt)}
			case spec.Procedure == introducerv1connect.IntroducerServicePublishProcedure:
				return []connecthttp.Option{connecthttp.WithReadMaxBytes(opts.MaxPublishBytes)}
			case spec.StreamType != connect.StreamTypeUnary:
				return []connecthttp.Option{connecthttp.WithCompressMinBytes(math.MaxInt)}
			}
			return nil
		}),
	}
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func http2() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams: maxStreams,
		// A subscriber whose machine vanished is noticed within a minute and a half, by a ping.
		SendPingTimeout: time.Minute,
		PingTimeout:     30 * time.Second,
		// A connection into which nothing can be written is of no use to its client.
		WriteByteTimeout: time.Minute,
	}
}
