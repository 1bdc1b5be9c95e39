// Package rpc serves a registry over Connect, gRPC and gRPC-Web: it translates, validates and
// limits, and leaves every rule of what an announcement means to the registry.
//
// # What it promises
//
// A request that breaks a rule of the contract (api/introducer/v1/introducer.proto) is refused with
// invalid_argument and a sentence that names the field and what it must be. Errors have the codes of
// the table in errors.go; what is not in that table reaches the log and not the caller.
//
// Memory is bounded by the peers kept plus a constant for each stream: a subscriber is a cursor and
// waits without any buffer; a message of a stream holds about 256 KiB; request bodies and single
// answers above 64 KiB share one budget (ServerOptions.MaxInFlightBytes), beyond which callers get
// resource_exhausted.
//
// # Encoding
//
// A peer's wire form is made once for each change and then copied, not once for each reader: see
// [cache]. A message that carries such bytes holds them as its unknown fields, which protobuf puts
// on the wire as they are, behind the known ones. To a reader of the bytes that is no different from
// the field itself, since protobuf fields may stand in any order. Whoever needs the fields
// themselves (JSON, and transports without a wire) gets them from plain.
//
// # Health
//
// grpc.health.v1.Health knows three names: "" and "introducer.v1.IntroducerService" are SERVING while
// lookups and subscriptions are answered, "publish" while announcements are taken. An introducer that
// stops is NOT_SERVING by all of them; its Watch streams say so and end with unavailable.
//
// # Page tokens
//
// GetPeersResponse.next_page_token is unpadded base64url (RFC 4648, section 5) of 37 bytes:
//
//	0   1  version, 1
//	1   4  CRC-32C of the service name, big-endian
//	5  32  peer id of the last peer given
package rpc

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"connectrpc.com/connect/v2"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/wal"
)

// Service answers the RPCs of introducer.v1.IntroducerService from one registry. All methods may be
// called concurrently.
type Service struct {
	reg   *registry.Registry
	opts  Options
	cache *cache

	lookups  sync.Pool // of *lookup
	visitors visitors
	backups  backups

	draining context.Context // ends when Drain is called
	drain    context.CancelFunc
}

var _ introducerv1connect.IntroducerServiceHandler = (*Service)(nil)

// Options are a Service's settings; the zero value works.
type Options struct {
	// Version is what GetInfo says of the program; "" stays empty.
	Version string
	// ProgressInterval is how often an idle subscriber hears where it stands, each time up to a
	// quarter more or less, so that thousands don't speak at once. 0: 30 s.
	ProgressInterval time.Duration
	// DrainSpread is over how long subscribers are asked to spread their return when the introducer
	// stops. 0: 5 s.
	DrainSpread time.Duration
	// CacheBytes bounds the wire forms of peers that are kept. 0: 64 MiB, which holds some 90,000.
	CacheBytes int
}

const (
	defaultProgressInterval = 30 * time.Second
	defaultDrainSpread      = 5 * time.Second
	defaultCacheBytes       = 64 << 20
)

// New returns the service of a registry, which must outlive it.
func New(reg *registry.Registry, opts Options) *Service {
	opts.ProgressInterval = cmp.Or(opts.ProgressInterval, defaultProgressInterval)
	opts.DrainSpread = cmp.Or(opts.DrainSpread, defaultDrainSpread)
	opts.CacheBytes = cmp.Or(opts.CacheBytes, defaultCacheBytes)
	s := &Service{reg: reg, opts: opts, cache: newCache(reg, opts.CacheBytes)}
	s.lookups.New = func() any { return new(lookup) }
	s.draining, s.drain = context.WithCancel(context.Background())
	return s
}

// Register puts the service's RPCs on a Connect server, and with them grpc.health.v1.Health and
// reflection of them all.
func (s *Service) Register(server *connect.Server) {
	introducerv1connect.RegisterIntroducerServiceHandler(server, s)
	registerHealth(server, s)
	registerReflection(server)
}

// Drain makes every Subscribe stream say where it stands and end, and every ReadLog that follows end;
// from then on neither is served. It does not wait for them: http.Server.Shutdown does. Other RPCs
// are not concerned. A second call does nothing.
func (s *Service) Drain() { s.drain() }

// untilDrained is ctx until Drain is called. stop must be called when it is needed no more.
func (s *Service) untilDrained(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(s.draining, func() { cancel(errDraining) })
	return ctx, func() {
		forget()
		cancel(nil)
	}
}

// ending says why a stream has to end now, if it has to.
func (s *Service) ending(ctx context.Context) error {
	if s.draining.Err() != nil {
		return errDraining // ctx hears of it a moment later
	}
	return context.Cause(ctx)
}

// jitter is d, up to a quarter more or less.
func jitter(d time.Duration) time.Duration {
	return d - d/4 + rand.N(d/2+1)
}

func token(id wal.LogID, r wal.Revision) *introducerv1.ResumeToken {
	return &introducerv1.ResumeToken{LogId: id[:], Revision: uint64(r)}
}

// discard is a logger for whoever gave none.
func discard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
