package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client/internal/cache"
)

// Errors that a caller may tell apart.
var (
	ErrClosed        = errors.New("the client is closed")
	ErrNoKey         = errors.New("the client has no key, and only listens")
	ErrNoIntroducer  = errors.New("no introducer is configured")
	ErrNotSubscribed = errors.New("not subscribed to")
	ErrRefused       = errors.New("every introducer refuses it")
	ErrReplaced      = errors.New("a later Publish or Withdraw of the service replaced it")
	ErrTooMany       = errors.New("the introducer announces more than this client keeps of one (Options.MaxPeers, Options.MaxBytes)")
)

// Options are a Client's settings; the zero value is a Client that knows no introducer.
type Options struct {
	// Introducers are base URLs, http or https. All are subscribed to and published to. None: nothing
	// is known until SetIntroducers.
	Introducers []string
	// Key signs what is published. Nil: this client only listens.
	Key *announce.Key
	// Dir is the directory of the client's state: its cache and its own announcements. It is made if it
	// is not there, and belongs to one Client at a time. "": memory only, and every start begins from
	// nothing.
	Dir string
	// SeqnumPath is a file of sequence numbers, as `introducer publish` keeps one beside a key, that is
	// used too, so that the two never use a number twice. "": none.
	SeqnumPath string
	// Services to subscribe to from the start; see also SubscribeTo.
	Services []announce.Service
	// Nickname and Version are said to introducers for their status page, at most 256 bytes each.
	// Nickname is also that of each Offer that has none.
	Nickname, Version string

	// MaxPeers and MaxBytes bound what is kept of one introducer: peers, one for each service that a
	// node offers, and bytes of their announcements. One that has more is not listened to further, and
	// what is held of it stays. 0: 250,000 and 256 MiB.
	MaxPeers int
	MaxBytes int64
	// Grace is how long peers stay that an introducer held in a former log and not in its new one. 0: 2
	// minutes.
	Grace time.Duration

	// HTTPClient is used for all introducers. Nil: one of the Client's own, with timeouts that suit
	// streams. One with a Timeout would end every stream after that time.
	HTTPClient *http.Client
	// Transport makes the way to an introducer, in place of HTTPClient: for TLS settings of one's own
	// for some, gRPC, or an introducer in the same process. Nil: Connect over HTTPClient.
	Transport func(url string) connect.Transport

	// Logger hears of what an operator should look at at level Warn, and of connections at level Info.
	// Nil: nobody does.
	Logger *slog.Logger
}

const (
	defaultMaxPeers = 250_000
	defaultMaxBytes = 256 << 20
	defaultGrace    = 2 * time.Minute
	maxText         = 256     // bytes of nickname and version
	goodKeys        = 1 << 15 // public keys that are remembered as good, some 6 MB
)

func (o Options) withDefaults() (Options, error) {
	if o.MaxPeers <= 0 {
		o.MaxPeers = defaultMaxPeers
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(o.Nickname) > maxText || len(o.Version) > maxText {
		return o, fmt.Errorf("%w nickname or version: over %d bytes", announce.ErrInvalid, maxText)
	}
	return o, nil
}

// Client is a node's way to its introducers. All methods may be called concurrently. Make one with
// [Open]; it must be closed.
type Client struct {
	opts     Options
	verifier *announce.Verifier
	own      *own // nil without a key

	transport func(url string) connect.Transport
	hangUp    func() // closes connections of our own that are idle; nil: there are none

	views   atomic.Pointer[map[announce.Service]*view]
	lookups sync.Pool // of *lookup

	closing context.Context // ends when Close begins
	cancel  context.CancelFunc
	running sync.WaitGroup // every goroutine
	poke    chan struct{}  // holds a token when the keeper should look again

	configuring sync.Mutex // held by SubscribeTo, Unsubscribe, SetIntroducers and Close, before all others
	// order is held, before mu, by whoever changes the ledger, until the cache has been told: what is told
	// has the order of what was done. Only the cache's writer is waited for under it.
	order sync.Mutex
	cache *cache.Cache // nil without Options.Dir

	mu            sync.Mutex // guards what follows
	ledger        *ledger
	introducers   []*introducer             // as configured
	services      []announce.Service        // subscribed to, sorted
	otherServices context.Context           // ends when services is no longer that
	replace       context.CancelFunc        // ends it
	synced        map[announce.Service]bool // see WaitSynced
	checks        map[checkID]*check        // begun and not yet applied
	changed       chan struct{}             // closed, and replaced, whenever anything that is to be seen changes
	closed        bool
	cacheErr      error
}

// Open reads the cache, and returns a Client that answers lookups from it and connects in the
// background. ctx bounds the opening alone. A cache that cannot be used at all (another process has it,
// or it is of a newer release) is an error; one that is damaged is mended, with a warning.
func Open(ctx context.Context, opts Options) (*Client, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	services, err := merged(nil, opts.Services)
	if err != nil {
		return nil, err
	}
	urls, err := cleanURLs(opts.Introducers)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &Client{
		opts:     opts,
		verifier: announce.NewVerifier(goodKeys),
		poke:     make(chan struct{}, 1),
		ledger:   newLedger(opts),
		synced:   make(map[announce.Service]bool),
		checks:   make(map[checkID]*check),
		changed:  make(chan struct{}),
	}
	c.lookups.New = func() any { return new(lookup) }
	c.closing, c.cancel = context.WithCancel(context.Background())
	if c.transport = opts.Transport; c.transport == nil {
		hc := opts.HTTPClient
		if hc == nil {
			hc = newHTTPClient(pingAfter)
			c.hangUp = hc.CloseIdleConnections
		}
		c.transport = httpTransport(hc)
	}
	state := new(cache.State)
	if opts.Dir != "" {
		if state, err = c.openCache(); err != nil {
			return nil, err
		}
	}
	if opts.Key != nil {
		if c.own, err = openOwn(opts, c.verifier); err != nil {
			return nil, errors.Join(err, c.closeCache())
		}
	}
	c.apply(func(l *ledger) {
		c.loadLocked(state, urls)
		c.subscribeLocked(services)
	})
	c.running.Go(c.keep)
	return c, nil
}

// cacheFile is the name of the cache in Options.Dir.
const cacheFile = "peers"

func (c *Client) openCache() (*cache.State, error) {
	var state *cache.State
	var err error
	path := filepath.Join(c.opts.Dir, cacheFile)
	c.cache, state, err = cache.Open(path, cache.Options{Logger: c.opts.Logger, Verifier: c.verifier})
	if err != nil {
		return nil, err
	}
	for _, note := range state.Notes {
		c.opts.Logger.Warn("the cache of peers was damaged", "path", path, "what", note)
	}
	c.ledger.cached = true
	return state, nil
}

func (c *Client) closeCache() error {
	if c.cache == nil {
		return nil
	}
	return c.cache.Close()
}

// loadLocked takes in what the cache held of the introducers that are configured, and forgets others.
func (c *Client) loadLocked(state *cache.State, urls []string) {
	l := c.ledger
	for k, floor := range state.Floors {
		l.records[k] = &record{floor: floor}
		l.gone++
	}
	for _, url := range urls {
		c.addLocked(url, state)
	}
	for url, held := range state.Introducers {
		if slices.Contains(urls, url) {
			continue
		}
		l.note(cache.Forget{Introducer: url})
		for k, digest := range held.Announced {
			if a, ok := state.Announcements[digest]; ok && a.Key() == k {
				l.known(k, cache.Floor{Seqnum: a.Said.Seqnum, Digest: digest})
			}
		}
	}
}

// apply changes the ledger, shows what changed, and tells the cache.
func (c *Client) apply(change func(*ledger)) {
	c.order.Lock()
	defer c.order.Unlock()
	c.mu.Lock()
	change(c.ledger)
	views := c.ledger.commit()
	c.views.Store(&views)
	ops := c.ledger.ops
	c.ledger.ops = nil
	c.wakeLocked()
	c.mu.Unlock()
	if len(ops) == 0 {
		return
	}
	if err := c.cache.Append(ops...); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cacheErr, c.ledger.cached = err, false // it has told the logger; from here on all is in memory
	}
}

// wakeLocked wakes all who wait for something to change.
func (c *Client) wakeLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
	c.lookAgain()
}

// lookAgain wakes the keeper.
func (c *Client) lookAgain() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// keep does what is to be done at some time, until the Client closes: peers whose grace is over go,
// floors of long ago are forgotten, announcements are signed anew.
func (c *Client) keep() {
	forget := time.Now()
	for {
		now := time.Now()
		next := now.Add(time.Hour)
		c.mu.Lock()
		sweep := false
		for _, b := range c.ledger.books {
			if b.due() {
				sweep = sweep || !now.Before(b.until)
				next = earlier(next, b.until)
			}
		}
		old := now.Sub(forget) >= time.Hour || c.ledger.gone > c.ledger.maxFloors && now.Sub(forget) >= time.Minute
		c.mu.Unlock()
		if sweep || old {
			c.apply(func(l *ledger) {
				for _, b := range l.books {
					b.sweep(l)
					b.save(l)
				}
				if old {
					l.forget()
				}
			})
		}
		if old {
			forget = now
		}
		if c.own != nil {
			next = earlier(next, c.renew(now))
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-c.poke:
		case <-c.closing.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// earlier is the earlier of two times; a zero u is none.
func earlier(t, u time.Time) time.Time {
	if u.IsZero() || t.Before(u) {
		return t
	}
	return u
}

// Close ends all streams, writes what is not yet written to the cache, and waits for every goroutine of
// the Client. Lookups go on to answer with what was known. Nothing is withdrawn. A second Close does
// nothing.
func (c *Client) Close() error {
	c.configuring.Lock()
	defer c.configuring.Unlock()
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	if c.own != nil {
		c.own.writing.Lock() // so that whoever publishes just now is through, and others see that it is too late
		c.cancel()
		c.own.writing.Unlock()
	}
	c.cancel()
	c.running.Wait()
	if c.hangUp != nil {
		c.hangUp()
	}
	if err := c.closeCache(); err != nil {
		return fmt.Errorf("closing the cache of peers: %w", err)
	}
	return nil
}
