// Package node is a node of a grid that follows a configuration: it announces what the node offers,
// withdraws what it no longer offers, subscribes to what it wants, and answers lookups from what it has
// heard. Its Introducer is a package client's Client, which does the work; this package adds the file,
// the rules and the changing of one's mind:
//
//	storage                    published                          withdrawn, if ever published
//	disabled                   –                                  upload_storage, download_storage
//	enabled                    upload_storage, download_storage   –
//	enabled and read-only      download_storage                   upload_storage
//
// An [[offer]] is published while it is in the file and withdrawn when it no longer is, be it by a
// [Node.Reload] or between two runs. A node subscribes to what it wants and to nothing else: one that
// only stores wants nothing.
//
// # What is promised
//
// Nothing waits for an introducer: a node opens, changes its mind and answers lookups from its state
// directory while none can be reached, and says what it has to say when one can. A configuration that is
// refused changes nothing. The configuration's bytes are described at [Load], those of the state
// directory in package client.
package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/internal/seqnum"
)

// ErrRestart is wrapped when a node cannot do what a configuration says without being opened anew.
var ErrRestart = errors.New("needs a restart")

// Options are what a Node has of its program; the zero value works.
type Options struct {
	// Logger hears what client.Options.Logger does. Nil: nobody does.
	Logger *slog.Logger
	// Version is said to introducers for their status page, at most 256 bytes.
	Version string
}

// Node is a running node. All methods may be called concurrently. Make one with [Open]; it must be
// closed.
type Node struct {
	// Introducer is the node's way to the grid, for lookups of its own program. What it publishes and
	// subscribes to is the configuration's business.
	Introducer *client.Client

	logger *slog.Logger
	id     announce.PeerID // zero: the node has no key

	mu      sync.Mutex // guards the rest; held while the configuration changes
	config  *Config
	lookups *lookupServer // nil: none
	closed  bool
}

// Open opens a node that does what cfg says, which is not to be changed afterwards. It waits for no
// introducer; ctx bounds the opening alone. A configuration that is refused wraps [ErrInvalid].
func Open(ctx context.Context, cfg *Config, opts Options) (_ *Node, err error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	n := &Node{config: cfg, logger: opts.Logger}
	if n.logger == nil {
		n.logger = slog.New(slog.DiscardHandler)
	}
	o := client.Options{
		Introducers: cfg.Introducers, Dir: cfg.State, Services: cfg.Wants,
		Nickname: cfg.Nickname, Version: opts.Version, Logger: n.logger,
	}
	if cfg.Key != "" {
		if o.Key, err = announce.LoadKeyFile(cfg.Key); err != nil {
			return nil, err
		}
		o.SeqnumPath, n.id = seqnum.Path(cfg.Key), o.Key.PeerID()
	}
	if n.Introducer, err = client.Open(ctx, o); err != nil {
		return nil, fmt.Errorf("opening the node's state in %s: %w", cfg.State, err)
	}
	if n.lookups, err = serveLookups(n.Introducer, cfg.Listen, n.logger); err == nil {
		err = n.say(cfg)
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// PeerID returns the node's peer id; zero if it has no key.
func (n *Node) PeerID() announce.PeerID { return n.id }

// LookupURL returns where lookups are answered; "" if nowhere.
func (n *Node) LookupURL() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lookups.url()
}

// Reload makes the node do what cfg says, which is not to be changed afterwards, in place of what it
// did. What stays the same is not disturbed. A configuration that is refused wraps [ErrInvalid], one
// that the running node cannot follow wraps [ErrRestart]: key, state, and taking the nickname away; both
// leave everything as it was, and so does an address to listen at that cannot be had. After any other
// error, which is of the disk, as much was done as could be. What introducers show of the node as their
// subscriber keeps the nickname that it was opened with.
func (n *Node) Reload(_ context.Context, cfg *Config) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return client.ErrClosed
	}
	if err := n.checkRestart(cfg); err != nil {
		return err
	}
	if cfg.Listen != n.config.Listen {
		next, err := serveLookups(n.Introducer, cfg.Listen, n.logger)
		if err != nil {
			return err
		}
		n.lookups.close()
		n.lookups = next
	}
	old := n.config
	n.config = cfg
	return errors.Join(
		n.Introducer.Unsubscribe(without(old.Wants, cfg.Wants)...),
		n.Introducer.SetIntroducers(cfg.Introducers),
		n.Introducer.SubscribeTo(cfg.Wants...),
		n.say(cfg),
	)
}

// checkRestart refuses what would take another Client.
func (n *Node) checkRestart(cfg *Config) error {
	var id announce.PeerID
	if cfg.Key != "" {
		key, err := announce.LoadKeyFile(cfg.Key)
		if err != nil {
			return err
		}
		id = key.PeerID()
	}
	switch {
	case id != n.id:
		return fmt.Errorf("another key %w", ErrRestart)
	case cfg.State != n.config.State:
		return fmt.Errorf("another state directory %w", ErrRestart)
	case cfg.Nickname == "" && n.config.Nickname != "":
		// The Client would go on to give each offer the nickname that it was opened with.
		return fmt.Errorf("taking the nickname away %w", ErrRestart)
	}
	return nil
}

// say makes what the node announces what cfg says.
func (n *Node) say(cfg *Config) error {
	// The client takes on what it is told and then waits for an introducer, for which there is no time.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var errs []error
	note := func(deed string, s announce.Service, err error) {
		// A refusal stands in the client's status and log, and may be of another day.
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, client.ErrRefused) {
			errs = append(errs, fmt.Errorf("%s %s: %w", deed, s, err))
		}
	}
	all := cfg.Announcements()
	for _, own := range n.Introducer.Status().Own {
		if !slices.ContainsFunc(all, func(a announce.Announcement) bool { return a.Service == own.Service }) {
			// Also when it was withdrawn before: perhaps nobody has heard it yet.
			note("withdrawing", own.Service, n.Introducer.Withdraw(ctx, own.Service))
		}
	}
	for _, a := range all {
		note("announcing", a.Service, n.Introducer.Publish(ctx, client.Offer{
			Service: a.Service, Nickname: a.Nickname, Endpoints: a.Endpoints, FURL: a.FURL, NURLs: a.NURLs,
			PermutationSeed: a.PermutationSeed, TTL: a.TTL,
		}))
	}
	return errors.Join(errs...)
}

// Withdraw withdraws all that the node has announced, for a node that leaves. It returns when each
// introducer has heard so, cannot be reached, or refuses. The error is ctx's, or that no introducer has
// taken some withdrawal, or client.ErrClosed; the node goes on trying until it is closed.
func (n *Node) Withdraw(ctx context.Context) error {
	var all sync.WaitGroup
	own := n.Introducer.Status().Own
	errs := make([]error, len(own))
	for i, o := range own {
		all.Go(func() {
			if err := n.Introducer.Withdraw(ctx, o.Service); err != nil {
				errs[i] = fmt.Errorf("withdrawing %s: %w", o.Service, err)
			}
		})
	}
	all.Wait()
	err := errors.Join(errs...)
	for s := range n.Introducer.Statuses(ctx) {
		if everywhere(&s) {
			return err
		}
	}
	return cmp.Or(err, ctx.Err(), client.ErrClosed)
}

// everywhere tells whether no introducer is left to hear of what the node announces.
func everywhere(s *client.Status) bool {
	for _, in := range s.Introducers {
		for _, o := range s.Own {
			if _, known := o.Outcomes[in.URL]; !known && in.PublishErr == nil {
				return false
			}
		}
	}
	return true
}

// Close ends everything and waits for it. Nothing is withdrawn. A second Close does nothing.
func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	n.lookups.close()
	return n.Introducer.Close()
}

// without returns what is in all and not in those.
func without(all, those []announce.Service) []announce.Service {
	return slices.DeleteFunc(slices.Clone(all), func(s announce.Service) bool { return slices.Contains(those, s) })
}
