// Package datadir is the directory that an introducer keeps its state in: it makes it whole
// or not at all, guards it against a second process, and hands out the log and the index.
//
// Layout:
//
//	DIR/LOCK               held by the process that uses DIR
//	DIR/grid/              made whole under another name, then renamed into place
//	DIR/grid/SCHEMA        "introducer data directory\nlog 1\nindex 1\n"
//	DIR/grid/log/          the log (package wal)
//	DIR/grid/witness       how far the log had come (package wal), unless put elsewhere
//	DIR/grid/index         the index (package store)
//	DIR/grid/index.bad-T   an index that was damaged, put aside at Unix time T
//	DIR/grid.new-*         a creation that did not finish; removed at the next start
//
// The state lies one level below DIR, so that DIR may be a mount point. SCHEMA is read before
// anything is opened: a directory of a newer release is refused without a byte changed.
package datadir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/introducer/introducer/migrations"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// Errors that say why a directory cannot be used; nothing in it was touched.
var (
	ErrInUse   = errors.New("in use by another introducer")
	ErrNotOurs = errors.New("not an introducer's data directory")
	ErrNewer   = errors.New("written by a newer introducer")
)

// Options are the settings; the zero value works.
type Options struct {
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
	// Fatal is called when the log can no longer be written; see wal.Options.
	Fatal func(error)
	// Witness is the path of the witness, best on another disk; "" is DIR/grid/witness.
	Witness string
	// StrictWitness has every group of publishes wait for the witness too; see wal.Options.
	StrictWitness bool
	// MustExist refuses to make a directory that is not there, with fs.ErrNotExist.
	MustExist bool
}

// Dir is an open data directory. Close it once.
type Dir struct {
	Log *wal.Log
	// Index is nil when it has to be built anew from the log; Rebuild then says why.
	Index   *store.Index
	Rebuild string
	// Opening is what Open took.
	Opening time.Duration

	root string
	lock io.Closer
}

const (
	gridName    = "grid"
	newInfix    = ".new-"
	lockName    = "LOCK"
	schemaName  = "SCHEMA"
	logName     = "log"
	indexName   = "index"
	witnessName = "witness"
)

// Open opens the data directory at path, and makes it first where there is none.
func Open(path string, opts Options) (_ *Dir, err error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	d := &Dir{root: root}
	began := time.Now()
	if err := d.open(opts); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, errors.Join(err, d.Close()))
	}
	d.Opening = time.Since(began)
	return d, nil
}

func (d *Dir) open(opts Options) error {
	exists, err := inspect(d.root)
	switch {
	case err != nil:
		return err
	case !exists && opts.MustExist:
		return fmt.Errorf("there is none: %w", fs.ErrNotExist)
	}
	if err := makeDir(d.root); err != nil {
		return err
	}
	if d.lock, err = lock(filepath.Join(d.root, lockName)); err != nil {
		return err
	}
	if err := removeUnfinished(d.root); err != nil {
		return err
	}
	// Looked at again now that nobody else can be making it.
	if exists, err = inspect(d.root); err != nil {
		return err
	}
	if !exists {
		if err := create(d.root, opts); err != nil {
			return fmt.Errorf("making it: %w", err)
		}
	}
	d.Log, err = wal.Open(d.path(logName), opts.wal())
	if err != nil {
		return err
	}
	for _, w := range d.Log.Warnings() {
		opts.Logger.Warn("opening the log", "warning", w)
	}
	return d.openIndex(opts)
}

// openIndex opens the index if it is of this log and whole as far as that shows before it is
// loaded. An index that knows of more than the log is a witness too: the log is quarantined.
func (d *Dir) openIndex(opts Options) error {
	x, err := store.Open(d.path(indexName), store.Options{Logger: opts.Logger})
	switch {
	case errors.Is(err, store.ErrDamaged):
		d.Rebuild = err.Error()
		return nil
	case err != nil:
		return err
	}
	at := x.Position()
	var damage *wal.CorruptError
	switch err := d.Log.Check(at.Revision, at.Chain); {
	case at.LogID != d.Log.ID():
		d.Rebuild = fmt.Sprintf("the index is of log %s", at.LogID)
	case at.Revision+1 < d.Log.First():
		// What was compacted since may be the very tombstones that this index lacks.
		d.Rebuild = fmt.Sprintf("the index stands at revision %d, the log begins at %d", at.Revision, d.Log.First())
	case errors.Is(err, wal.ErrAhead):
		d.Log.Quarantine(wal.Mark{LogID: at.LogID, Revision: at.Revision, Chain: at.Chain}, wal.ReasonBehind)
		d.Rebuild = "the index is " + err.Error()
	case errors.Is(err, wal.ErrDiffers):
		d.Log.Quarantine(wal.Mark{LogID: at.LogID, Revision: at.Revision, Chain: at.Chain}, wal.ReasonOtherChain)
		d.Rebuild = "the index is " + err.Error()
	case errors.As(err, &damage):
		// The index knows more than can be read: it is the better of the two.
		d.Log.QuarantineDamage(damage)
		d.Index = x
		return nil
	case err != nil:
		return errors.Join(err, x.Close())
	default:
		d.Index = x
		return nil
	}
	return x.Close()
}

// DropIndex gives up on the index because of what was found while loading it. That closing a
// damaged file may fail as well is of no interest.
func (d *Dir) DropIndex(why error) {
	d.Rebuild = why.Error()
	d.Index.Close()
	d.Index = nil
}

// BuildIndex puts a damaged index aside and writes another that holds entries at position p.
// It is in place when it is whole, and d.Index is open on it.
func (d *Dir) BuildIndex(p store.Position, entries iter.Seq[store.Entry]) error {
	path, building := d.path(indexName), d.path(indexName)+newInfix+"build"
	if err := os.Remove(building); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("building the index: %w", err)
	}
	if err := store.Build(building, p, entries); err != nil {
		return fmt.Errorf("building the index: %w", err)
	}
	if _, err := store.Quarantine(path, time.Now()); err != nil {
		return fmt.Errorf("building the index: %w", err)
	}
	if err := os.Rename(building, path); err != nil {
		return fmt.Errorf("building the index: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("building the index: %w", err)
	}
	x, err := store.Open(path, store.Options{})
	if err != nil {
		return fmt.Errorf("opening the new index: %w", err)
	}
	d.Index, d.Rebuild = x, ""
	return nil
}

// Close closes the stores and lets another process in.
func (d *Dir) Close() error {
	var errs []error
	if d.Index != nil {
		errs = append(errs, d.Index.Close())
	}
	if d.Log != nil {
		errs = append(errs, d.Log.Close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

func (d *Dir) path(name string) string { return filepath.Join(d.root, gridName, name) }

func (o Options) wal() wal.Options {
	return wal.Options{Logger: o.Logger, Fatal: o.Fatal, WitnessPath: o.Witness, StrictWitness: o.StrictWitness}
}

// inspect says whether root holds an introducer's state, without changing anything: not what
// is missing or empty; ErrNotOurs or ErrNewer for what is neither.
func inspect(root string) (exists bool, err error) {
	names, err := os.ReadDir(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	for _, n := range names {
		switch name := n.Name(); {
		case name == gridName:
			exists = true
		case name == lockName, name == "lost+found", strings.HasPrefix(name, gridName+newInfix):
		default:
			return false, fmt.Errorf("%w: it holds %q; give an empty or a new directory", ErrNotOurs, name)
		}
	}
	if !exists {
		return false, nil
	}
	return true, checkSchema(filepath.Join(root, gridName, schemaName))
}

const schemaFormat = "introducer data directory\nlog %d\nindex %d\n"

func checkSchema(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotOurs, err)
	}
	var log, index int
	if _, err := fmt.Sscanf(string(text), schemaFormat, &log, &index); err != nil || log < 1 || index < 1 {
		return fmt.Errorf("%w: %s says %q", ErrNotOurs, schemaName, text)
	}
	if fmt.Sprintf(schemaFormat, log, index) != string(text) {
		return fmt.Errorf("%w: %s says more than this release understands: %q", ErrNewer, schemaName, text)
	}
	if log > migrations.LogVersion || index > migrations.IndexVersion {
		return fmt.Errorf("%w: its log is of schema %d and its index of %d, this release knows %d and %d",
			ErrNewer, log, index, migrations.LogVersion, migrations.IndexVersion)
	}
	return nil
}

// create makes the state under another name, with both stores opened and closed and all of it
// synced, and renames it into place. A crash before the rename leaves no introducer, one after
// it a whole one, since the parent is synced before anyone is served.
//
// A witness that lies elsewhere is moved there last: if it came first, a creation that was cut
// off could not be told from a log that vanished from under its witness, which is refused.
func create(root string, opts Options) error {
	if err := witnessMustBeFree(opts); err != nil {
		return err
	}
	building, err := os.MkdirTemp(root, gridName+newInfix)
	if err != nil {
		return err
	}
	id, err := wal.NewLogID(rand.Reader)
	if err != nil {
		return err
	}
	w := opts.wal()
	w.WitnessPath = filepath.Join(building, witnessName)
	if err := wal.Create(filepath.Join(building, logName), id, w); err != nil {
		return err
	}
	if err := store.Create(filepath.Join(building, indexName), id); err != nil {
		return err
	}
	return settle(root, building, opts)
}

// settle puts state that is whole but for its schema into place.
func settle(root, building string, opts Options) error {
	schema := fmt.Sprintf(schemaFormat, migrations.LogVersion, migrations.IndexVersion)
	if err := writeSynced(filepath.Join(building, schemaName), schema); err != nil {
		return err
	}
	if err := syncDir(building); err != nil {
		return err
	}
	if err := os.Rename(building, filepath.Join(root, gridName)); err != nil {
		return err
	}
	if err := syncDir(root); err != nil {
		return err
	}
	if opts.Witness == "" {
		return nil
	}
	grid := filepath.Join(root, gridName)
	if err := moveWitness(filepath.Join(grid, witnessName), opts.Witness); err != nil {
		// Nobody has it yet. Under the other name the next start removes what a crash leaves of it.
		return errors.Join(err, os.Rename(grid, building), os.RemoveAll(building))
	}
	return nil
}

// witnessMustBeFree refuses a witness of a log that isn't there.
func witnessMustBeFree(opts Options) error {
	if opts.Witness == "" {
		return nil
	}
	if _, err := os.Stat(opts.Witness); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the witness %s is there, but not the log that it saw: put the log back, or remove the witness (%v)", opts.Witness, err)
	}
	return nil
}

// moveWitness moves the witness of a new log to another disk. Cut off, it leaves a log without
// a witness where one is looked for, which the next start makes anew.
func moveWitness(from, to string) error {
	mark, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	err = writeSynced(to, string(mark))
	if errors.Is(err, fs.ErrExist) {
		return err // it is not ours
	}
	if err == nil {
		err = syncDir(filepath.Dir(to))
	}
	if err == nil {
		err = os.Remove(from)
	}
	if err != nil {
		os.Remove(to)
	}
	return err
}

// lock keeps other processes out. That it could not be had is told from that it could not be
// asked for: the file cannot be made, or the file system has no locks.
func lock(path string) (io.Closer, error) {
	l, err := vfs.Default.Lock(path)
	var file *fs.PathError
	switch {
	case err == nil:
		return l, nil
	case errors.As(err, &file) || errors.Is(err, syscall.ENOLCK):
		return nil, fmt.Errorf("locking it: %w", err)
	}
	return nil, fmt.Errorf("%w (%w)", ErrInUse, err)
}

func removeUnfinished(root string) error {
	names, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !strings.HasPrefix(n.Name(), gridName+newInfix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, n.Name())); err != nil {
			return fmt.Errorf("removing a creation that did not finish: %w", err)
		}
	}
	return nil
}

// makeDir makes root and what is missing above it, each synced in its parent: state in a
// directory whose own name was never synced is lost with it.
func makeDir(root string) error {
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	parent := filepath.Dir(root)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := vfs.Default.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
