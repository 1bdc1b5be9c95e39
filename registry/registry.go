package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/wal"
)

// Registry is the introducer without its network: it judges, orders, logs and indexes
// announcements, and answers lookups and subscribers. All methods may be called
// concurrently; Close once.
type Registry struct {
	opts     Options
	log      *wal.Log
	dir      *datadir.Dir
	verifier *announce.Verifier
	clock    clock
	replayed time.Duration // what opening took, the stores included
	lost     *wal.Lost     // nil: the log is whole; fixed after Open
	failed   atomic.Bool   // the log can no longer be written
	kept     atomic.Int64  // (service, peer id) pairs known; changed by the sequencer only

	// Readers find a service here without a lock. :: announce.Service → *service
	services sync.Map
	// The newest revision that readers may see. A service's snapshot is stored before the
	// head that covers it, which is what View relies on.
	head  atomic.Uint64
	peers atomic.Int64 // live ones

	// Held for writing while a synced group becomes visible, for reading by whoever must see
	// several services, or a service and its changes, at one revision. Never while waiting.
	mu      sync.RWMutex
	changes journal  // of all services
	digest  [32]byte // over all services

	hub      hub
	queue    queue
	pending  *semaphore.Weighted // bytes of announcements on their way to the log
	expiries expiries            // owned by the sequencer
	indexer  *indexer            // nil while quarantined
	care     care

	closing context.Context
	close   context.CancelFunc
	joined  sync.WaitGroup
}

// Options are the registry's settings; the zero value works.
type Options struct {
	// Now is the wall clock; nil means time.Now. Its monotonic reading drives times to live.
	Now func() time.Time
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
	// Allow is the operator's rule of who may publish what; nil allows everyone. It returns
	// "" or the reason of the refusal, is called concurrently and must not block.
	Allow func(announce.Service, announce.PeerID) (reason string)
	// MaxPeers bounds the (service, peer id) pairs kept, live and tombstones; those known may
	// always announce again. 0 means 1,000,000.
	MaxPeers int
	// MaxPendingBytes bounds the announcements on their way to the log; publishes beyond it
	// get ErrOverloaded. 0 means 64 MiB.
	MaxPendingBytes int64
	// Heartbeat is how often the running time is noted beside the log, and so how much of it
	// a crash may forget; forgetting lengthens times to live, never shortens them. 0 means 10 s.
	Heartbeat time.Duration

	// RetainHistory is how long a superseded record stays in the log, on the introducer's clock; 0
	// means 720 h, below 0: not at all.
	RetainHistory time.Duration
	// RetainHistoryBytes is about how many bytes, compressed, the newest records may take of which none
	// is dropped, where RetainHistory alone would retain more; 0 means no bound.
	RetainHistoryBytes int64
	// RetainTombstones is how long it stays known that a peer left, and with what seqnum, on the
	// introducer's clock; 0 means 720 h, below 0: not at all. A subscriber that was away for longer
	// starts from nothing.
	RetainTombstones time.Duration
	// CompactEvery is how often it is looked whether enough can be dropped to be worth it; 0 means
	// 10 min, below 0: never.
	CompactEvery time.Duration
}

// Errors of the registry. Those of single announcements are Outcomes instead.
var (
	// ErrClosed is returned once Close has begun.
	ErrClosed = errors.New("the introducer is stopping")
	// ErrOverloaded asks the caller to come back later; nothing was written.
	ErrOverloaded = errors.New("too many announcements are waiting to be written")
	// ErrTooLarge is returned for more announcements than fit one group; nothing was written.
	ErrTooLarge = errors.New("too many announcements at once")
	// ErrFailed means that the log could not be written; the process has to restart.
	ErrFailed = errors.New("the log can no longer be written")
	// ErrQuarantined means that the disk lost acknowledged announcements: reads go on,
	// publishing waits for the operator to accept the loss.
	ErrQuarantined = errors.New("the log lost acknowledged announcements; publishing is refused until the operator accepts the loss")
	// ErrDamaged means that a record could not be read back as it was written.
	ErrDamaged = errors.New("a record of the log is damaged")
)

const (
	defaultMaxPeers        = 1_000_000
	defaultMaxPendingBytes = 64 << 20
	defaultHeartbeat       = 10 * time.Second
	defaultRetention       = 720 * time.Hour
	defaultCompactEvery    = 10 * time.Minute
	verifierKeys           = 1 << 16
)

// Open brings the registry of a data directory to life: the index, then the log's tail. It
// owns dir from then on, also when it fails.
func Open(ctx context.Context, dir *datadir.Dir, opts Options) (_ *Registry, err error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.MaxPeers = cmp.Or(opts.MaxPeers, defaultMaxPeers)
	opts.MaxPendingBytes = cmp.Or(opts.MaxPendingBytes, defaultMaxPendingBytes)
	if opts.Heartbeat <= 0 {
		opts.Heartbeat = defaultHeartbeat
	}
	opts.RetainHistory = max(cmp.Or(opts.RetainHistory, defaultRetention), 0)
	opts.RetainTombstones = max(cmp.Or(opts.RetainTombstones, defaultRetention), 0)
	opts.CompactEvery = cmp.Or(opts.CompactEvery, defaultCompactEvery)
	started := opts.Now()
	r := &Registry{
		opts:     opts,
		log:      dir.Log,
		dir:      dir,
		verifier: announce.NewVerifier(verifierKeys),
		clock:    clock{now: opts.Now, started: started, base: dir.Log.Clock()},
		pending:  semaphore.NewWeighted(opts.MaxPendingBytes),
	}
	r.queue.ready = make(chan struct{}, 1)
	r.hub.init()
	r.closing, r.close = context.WithCancel(context.Background())
	if err := r.restart(ctx); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	r.replayed = dir.Opening + opts.Now().Sub(started)

	r.joined.Go(r.hub.run)
	if r.lost == nil {
		r.joined.Go(r.sequence)
		r.joined.Go(r.tend)
	} else {
		opts.Logger.Error("the log lost acknowledged announcements: publishing is refused",
			"reason", r.lost.String(), "remedy", "introducer recover --accept-loss")
	}
	return r, nil
}

// Close stops publishing, wakes every waiting reader with ErrClosed, writes the index up to
// the head and closes the stores. What was acknowledged is safe without it.
func (r *Registry) Close() error {
	r.close()
	r.hub.close()
	r.joined.Wait()
	if r.indexer != nil {
		r.indexer.close()
	}
	if r.lost == nil {
		r.log.Beat(r.clock.read(r.opts.Now()))
	}
	return r.dir.Close()
}

// Info says what introducer this is and where its log stands.
type Info struct {
	LogID      wal.LogID
	First      wal.Revision // the oldest from which a subscriber can resume
	Last       wal.Revision // the newest synced record
	Started    time.Time
	ReplayTime time.Duration // what this start took to know every peer, opening the stores included
	Peers      int           // live, over all services
	Lost       *wal.Lost     // not nil: quarantined
}

// Info never blocks.
func (r *Registry) Info() Info {
	return Info{
		LogID:      r.log.ID(),
		First:      max(r.log.Forgotten(), 1),
		Last:       r.headRevision(),
		Started:    r.clock.started.UTC(),
		ReplayTime: r.replayed,
		Peers:      int(r.peers.Load()),
		Lost:       r.lost,
	}
}

// ServiceCount is one service that was ever announced here and is not forgotten.
type ServiceCount struct {
	Service     announce.Service
	Peers       int // live
	Subscribers int // now connected, those of every service included
}

// Services counts the peers of each known service, by name, and says at which revision.
func (r *Registry) Services() ([]ServiceCount, wal.Revision) {
	r.mu.RLock()
	revision := r.headRevision()
	var all []ServiceCount
	r.services.Range(func(name, s any) bool {
		all = append(all, ServiceCount{
			Service: name.(announce.Service),
			Peers:   s.(*service).snapshot.Load().peers.Len(),
		})
		return true
	})
	r.mu.RUnlock()
	for i := range all {
		all[i].Subscribers = r.hub.count(all[i].Service)
	}
	slices.SortFunc(all, func(a, b ServiceCount) int { return strings.Compare(string(a.Service), string(b.Service)) })
	return all, revision
}

func (r *Registry) headRevision() wal.Revision { return wal.Revision(r.head.Load()) }

func (r *Registry) service(name announce.Service) *service {
	if s, ok := r.services.Load(name); ok {
		return s.(*service)
	}
	return nil
}

// damaged wraps what went wrong with a record that was once accepted; that the log is being
// closed is no damage.
func damaged(rev wal.Revision, err error) error {
	if errors.Is(err, wal.ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("%w: revision %d: %w", ErrDamaged, rev, err)
}
