// Package store keeps the index: which peers offer which service, with what a lookup needs to know
// of each, and the position of the log that this picture stands for. It lets the introducer start
// with every peer known without reading the whole log.
//
// The index is derived from the log and holds no truth of its own. It promises one thing: what Load
// hands out is exactly what was applied up to Position, or Load and Open say ErrDamaged. Whoever
// hears that puts the file aside (Quarantine) and builds another from the log (Build). Damage costs
// time, never truth. The checksums stand against failing disks, not against someone who may write
// to the data directory.
//
// # Bytes
//
// The file is a bbolt database (magic 0xED0CDAED, version 2, pages of 4,096 bytes whatever the
// machine's page size, its freelist stored). Schema 1, integers big-endian:
//
//	bucket "meta"
//	    "schema"    version 4 | CRC-32C 4
//	    "position"  log id 16 | revision 8 | chain value 32 | entries 8 | tally 8 | CRC-32C 4
//	bucket "services"
//	    bucket <service name, 1 to 64 bytes>, never empty
//	        <peer id, 32 bytes> → entry
//
//	entry, 78 to 142 bytes
//	     0   1  state: 1 live, 2 withdrawn, 3 expired, 4 evicted
//	     1   1  n, length of the seed, 0 to 64; 255: no seed announced, nothing at 74
//	     2   8  revision
//	    10   8  seqnum
//	    18   8  announced, signed Unix ns; -2^63: the zero time
//	    26   8  first seen, likewise
//	    34   8  deadline, ns on the introducer's running clock; 0: never
//	    42  32  digest
//	    74   n  permutation seed
//	  74+n   4  CRC-32C
//
// The checksum of a value in meta covers its key and the bytes before it; an entry's covers the
// length of the service name in 1 byte, the name, the peer id and the bytes before it, so an entry
// in a wrong place is no entry. "entries" counts all entries and "tally" is the sum of their
// checksums modulo 2^64: bbolt has no checksums of its own on pages of data, and a page that is an
// old copy of itself is full of entries that are each valid. A file without "position" was not
// finished.
//
// # Damage
//
// bbolt trusts its file: a wrong page makes it panic, read outside its mapping, walk in a circle
// for ever, or exhaust memory, and some of that cannot be caught. So Open first reads the file from
// front to back and checks by itself that the pages make a tree that bbolt can walk (pages.go).
// This pass also brings a cold file into memory in the order in which disks are fast. What remains
// (the file cut short or a disk error while it is open: a memory fault) becomes ErrDamaged, for
// bbolt runs on the caller's goroutine only. Not caught: the kernel killing the process for memory.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/introducer/introducer/migrations"
)

var (
	// ErrDamaged: the file is not an index that can be trusted, or is none, or an Apply went wrong.
	// Close it, put it aside and build another. A file that is missing is ErrDamaged as well as
	// fs.ErrNotExist, since the remedy is the same.
	ErrDamaged = errors.New("the index is damaged")
	// ErrLocked: another process, or another Index of this one, has the file open.
	ErrLocked = errors.New("the index is in use")
)

// Index is an open index file. Its methods may be called concurrently; Apply, Load and Close wait
// for one another.
type Index struct {
	path string
	log  *slog.Logger

	applied atomic.Pointer[standing] // never nil

	mu   sync.Mutex // guards what follows; held through Apply, Load and Close
	db   *bbolt.DB
	file *os.File // db's own
	dead error    // why nothing works any more; nil: it works
	// stuck: a panic came out of bbolt, which may have left its locks taken.
	stuck bool
	edits editor
}

// Options says how to open an index. The zero value is for an introducer that serves.
type Options struct {
	// ReadOnly opens the file for Load only. Several may do so at once.
	ReadOnly bool
	// Timeout is how long to wait for whoever has the file open. 0: 1 s.
	Timeout time.Duration
	// MaxSize is the size in bytes beyond which Apply refuses to let the file grow. 0: no limit.
	MaxSize int
	// Logger is told at debug level what was opened. nil: nobody is.
	Logger *slog.Logger
}

const defaultTimeout = time.Second

// Open opens the index at path, after checking that bbolt can walk it; whether its entries are
// whole, Load finds out. It takes time in proportion to the size of the file.
//
// Errors: ErrDamaged (not an index, not a whole one, or missing), ErrLocked, migrations.ErrNewer
// (written by a newer release; not touched), or what the operating system says of a file that it
// won't open for us.
func Open(path string, opts Options) (*Index, error) {
	x, err := open(path, opts)
	if err != nil {
		return nil, fmt.Errorf("opening index %s: %w", path, err)
	}
	return x, nil
}

func open(path string, opts Options) (*Index, error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: not a file", ErrDamaged)
	case info.Size() == 0:
		return nil, fmt.Errorf("%w: empty", ErrDamaged) // bbolt would begin a new database in it
	}

	// Opened for reading, bbolt writes nothing and reads little: the two meta pages. The shared lock
	// that it takes keeps writers away while the pages are checked.
	x := &Index{path: path, log: opts.Logger}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	began := time.Now()
	if err := x.attach(opts, true); err != nil {
		return nil, err
	}
	if err := x.inspect(); err != nil || opts.ReadOnly {
		return x.opened(began, err)
	}

	if err := x.release(); err != nil {
		return nil, fmt.Errorf("closing it after the check: %w", err)
	}
	if err := x.attach(opts, false); err != nil {
		return nil, err
	}
	return x.opened(began, x.settle())
}

// opened ends an Open: with x, or with err and x closed.
func (x *Index) opened(began time.Time, err error) (*Index, error) {
	if err != nil {
		if cerr := x.release(); cerr != nil {
			err = fmt.Errorf("%w (closing it: %w)", err, cerr)
		}
		return nil, err
	}
	at := x.applied.Load()
	x.log.Debug("index opened", "path", x.path, "entries", at.entries,
		"revision", uint64(at.Revision), "took", time.Since(began))
	return x, nil
}

// attach opens the file with bbolt and notes bbolt's own handle of it.
func (x *Index) attach(opts Options, readOnly bool) error {
	timeout := opts.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	o := options()
	o.ReadOnly = readOnly
	o.Timeout = timeout
	o.MaxSize = opts.MaxSize
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		// Never made here: a file that vanished since it was looked at is a missing one.
		f, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
		x.file = f
		return f, err
	}
	err := caught(nil, func() (err error) {
		x.db, err = bbolt.Open(x.path, fileMode, o)
		return err
	})
	if err == nil {
		return nil
	}
	x.db = nil
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%w: waited %s", ErrLocked, timeout)
	case errors.As(err, new(*panicked)):
		x.file.Close() // bbolt doesn't when it panics; its mapping stays
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EIO), !fromSystem(err):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// fromSystem: the operating system said so (no permission, no descriptors left), not bbolt.
func fromSystem(err error) bool {
	return errors.As(err, new(*fs.PathError)) || errors.As(err, new(syscall.Errno))
}

const (
	pageSize = 4096
	fileMode = 0o600
)

// options are those that all our databases share. The freelist is stored: bbolt would otherwise
// collect it at open on a goroutine of its own, where a panic ends the process.
func options() *bbolt.Options {
	return &bbolt.Options{
		PageSize:     pageSize,
		FreelistType: bbolt.FreelistMapType,
	}
}

// inspect checks the open file and reads where it stands.
func (x *Index) inspect() error {
	info, err := x.file.Stat()
	if err != nil {
		return err
	}
	if err := checkPages(x.file, info.Size()); err != nil {
		return damage(err)
	}
	return damage(caught(nil, func() error {
		version, err := migrations.IndexSchema(x.db)
		switch {
		case err != nil:
			return err
		case version == 0:
			return errors.New("an empty database")
		case version > migrations.IndexVersion:
			return fmt.Errorf("schema %d, this release knows up to %d: %w",
				version, migrations.IndexVersion, migrations.ErrNewer)
		}
		return x.db.View(x.readStanding)
	}))
}

// settle brings a file that has been checked up to today's schema and reads where it stands, again:
// another process of ours may have written to it after the check.
func (x *Index) settle() error {
	return damage(caught(nil, func() error {
		if err := migrations.Index(x.db); err != nil {
			return err
		}
		return x.db.View(x.readStanding)
	}))
}

// damage makes err ErrDamaged, but for the errors that mean something else.
func damage(err error) error {
	if err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrLocked) || errors.Is(err, migrations.ErrNewer) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// Position is where in the log the index stands: what was last applied.
func (x *Index) Position() Position { return x.applied.Load().Position }

// Len is the number of entries, tombstones among them.
func (x *Index) Len() int { return int(x.applied.Load().entries) }

// Close closes the file. All that was applied is on disk already. Closing again does nothing.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.db == nil {
		return nil
	}
	x.dead = fmt.Errorf("index %s: %w", x.path, fs.ErrClosed)
	if err := x.release(); err != nil {
		return fmt.Errorf("closing index %s: %w", x.path, err)
	}
	return nil
}

// release closes bbolt's file. Where bbolt may hang over locks of its own that a panic left taken,
// it closes the file behind bbolt's back: that gives back the descriptor and the file's lock, and
// leaves the mapping until the process ends.
func (x *Index) release() error {
	db := x.db
	x.db = nil
	if x.stuck {
		return x.file.Close()
	}
	return db.Close()
}

// die ends the use of x because of err, and returns what the caller is told.
func (x *Index) die(err error) error {
	x.stuck = x.stuck || errors.As(err, new(*panicked))
	err = damage(err)
	x.dead = err
	return err
}

// panicked is a panic out of bbolt, which means damage.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// caught runs f and turns a panic or a memory fault in it into a *panicked. While *theirs is true
// (theirs may be nil), f is in the caller's own code, whose panics are left alone.
func caught(theirs *bool, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if theirs != nil && *theirs {
			return
		}
		if p := recover(); p != nil {
			err = &panicked{p}
		}
	}()
	return f()
}
