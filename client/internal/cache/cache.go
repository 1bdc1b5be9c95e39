package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/introducer/introducer/announce"
)

// Errors that say why a file cannot be opened; it was not touched.
var (
	ErrInUse   = errors.New("in use by another process")
	ErrNotOurs = errors.New("not a peer cache: move it away, or give another place")
	ErrNewer   = errors.New("written by a newer release: run that one, or move the file away")
)

// ErrStopped is wrapped by every call after the disk has failed, with what it said. The node goes on
// without: what it hears from then on is not there at its next start.
var ErrStopped = errors.New("the peer cache is no longer written")

// ErrClosed is returned by calls after Close.
var ErrClosed = errors.New("the peer cache is closed")

// Options are the settings; the zero value works.
type Options struct {
	// Logger is told, once, that the disk has failed. Nil discards it.
	Logger *slog.Logger
	// Verifier opens the announcements, and then knows their keys. Nil: one that is used for nothing else.
	Verifier *announce.Verifier
	// Rand gives the files' markers; nil: crypto/rand.
	Rand io.Reader

	// For tests: a disk that fails, and a file that is soon written anew.
	wrap  func(*os.File) file
	slack int64 // bytes; 0: the constant
}

// Cache is an open cache. Its methods may be called by many at once.
type Cache struct {
	path string
	opts Options
	lock io.Closer

	mu      sync.Mutex
	pending encoder   // groups that the writer has not taken yet
	room    sync.Cond // on mu: pending has become shorter, or stopped was set
	flush   *flush    // who waits for what is appended by now; nil: nobody
	stopped error     // why nothing more is appended; nil: nothing does
	closing bool

	wake   chan struct{} // holds one: there is something for the writer
	joined chan struct{} // closed when the writer has ended

	// The writer's, and before it runs Open's.
	file  file  // nil: stopped
	size  int64 // of the file
	limit int64 // above which size is too long
}

const (
	lockSuffix = ".lock"
	newSuffix  = ".new"
)

// Open opens the cache at path, and makes it and its directory where there is none. It returns what
// the cache holds; Notes in it are for the caller to log. Only one process can have it open.
//
// A damaged file is written anew before Open returns. If that or making one fails, since the disk is
// full for instance, the cache is returned stopped: see [ErrStopped].
func Open(path string, opts Options) (*Cache, *State, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	if opts.wrap == nil {
		opts.wrap = func(f *os.File) file { return f }
	}
	if opts.slack == 0 {
		opts.slack = slack
	}
	c := &Cache{path: path, opts: opts, wake: make(chan struct{}, 1), joined: make(chan struct{})}
	c.room.L = &c.mu
	state, err := c.open()
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: run as the user it belongs to, or give another place", err)
		}
		return nil, nil, fmt.Errorf("peer cache %s: %w", path, err)
	}
	go c.run()
	return c, state, nil
}

func (c *Cache) open() (_ *State, err error) {
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return nil, err
	}
	l, err := os.OpenFile(c.path+lockSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := lock(l); err != nil {
		return nil, err
	}
	c.lock = l
	// Whoever was killed while it wrote the file anew left this.
	if err := os.Remove(c.path + newSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	held, exists, err := c.load()
	if err != nil {
		return nil, err
	}
	state := held.state(c.opts.Verifier)
	if exists && held.notes == nil {
		c.pending = encoder{marker: held.marker, written: make(map[Digest]struct{}, len(state.Announcements))}
		for d := range state.Announcements {
			c.pending.written[d] = struct{}{}
		}
		err = c.reopen(held.size, held.live)
	} else if c.pending.marker, err = c.newMarker(); err == nil {
		c.pending.written, err = c.rewrite(c.pending.marker, held.ops())
	}
	if err != nil {
		c.fail(err)
	}
	return state, nil
}

// load reads the file. A file that is not there holds nothing.
func (c *Cache) load() (held *contents, exists bool, err error) {
	b, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return newContents(), false, nil
	}
	if err != nil {
		return nil, false, err
	}
	held, err = replay(b)
	return held, true, err
}

// Append adds operations in this order, all or none of them. It keeps no part of them. The writer has
// them on the disk within a second or so; Append waits for it only while several MiB are waiting
// already. After an ErrStopped nothing was added, and nothing can be.
func (c *Cache) Append(ops ...Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending.buf) > maxPending && c.stopped == nil {
		c.room.Wait()
	}
	if c.stopped != nil || len(ops) == 0 {
		return c.stopped
	}
	c.pending.begin()
	for _, op := range ops {
		op.encode(&c.pending)
	}
	c.pending.end()
	c.poke()
	return nil
}

// Flush waits until what was appended before is synced, or for ctx.
func (c *Cache) Flush(ctx context.Context) error {
	c.mu.Lock()
	if c.stopped != nil {
		defer c.mu.Unlock()
		return c.stopped
	}
	if c.flush == nil {
		c.flush = &flush{done: make(chan struct{})}
	}
	f := c.flush
	c.poke()
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close syncs what was appended, and lets another process in. If the disk has failed, it says so again.
// Only the first call does anything.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		<-c.joined
		return nil
	}
	c.closing = true
	c.poke()
	c.mu.Unlock()
	<-c.joined
	var err error
	if errors.Is(c.stopped, ErrStopped) {
		err = c.stopped
	}
	if c.file != nil {
		err = errors.Join(err, c.file.Close())
	}
	return errors.Join(err, c.lock.Close())
}
