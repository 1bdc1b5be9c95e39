package store

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/introducer/introducer/migrations"
	"github.com/introducer/introducer/wal"
)

// Create makes an empty index of log id at path, before the log's first record. The file is closed
// and synced, its directory too. It is an error (fs.ErrExist) if there is anything at path.
func Create(path string, id wal.LogID) error {
	return Build(path, Position{LogID: id}, nil)
}

// Build makes an index at path that stands at p with the given entries; nil: none. They may come in
// any order, and of several with one key the last counts. As long as they ascend by service and peer
// id it keeps 16,384 of them at a time; from the first one that doesn't, it keeps all that follow,
// some hundreds of bytes each, and sorts them. The file is closed and synced, its directory too. It is an
// error (fs.ErrExist) if there is anything at path.
//
// To replace an index, build the new one under another name in the same directory, rename it and
// sync the directory. An unfinished file is removed after an error; left behind by a crash, Open
// calls it damaged. A source that fails part of the way ends its sequence and leaves it to the
// caller to remove the file.
func Build(path string, p Position, entries iter.Seq[Entry]) error {
	if err := build(path, p, entries); err != nil {
		return fmt.Errorf("building index %s: %w", path, err)
	}
	return nil
}

const (
	// buildBatch is how many entries go into one transaction of a Build; more saves nothing.
	buildBatch = 1 << 14
	// buildFill leaves some room in the pages for what is announced later.
	buildFill = 0.9
)

func build(path string, p Position, entries iter.Seq[Entry]) (err error) {
	var file *os.File
	o := options()
	o.Timeout = defaultTimeout
	// One sync at the end is enough: until then the file has no position, and nobody takes it for an
	// index.
	o.NoSync, o.NoGrowSync = true, true
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag|os.O_EXCL, mode)
		file = f
		return f, err
	}
	db, err := bbolt.Open(path, fileMode, o)
	if err != nil {
		if file != nil {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	finished := false
	defer func() {
		if !finished { // an error, or a panic in entries
			db.Close()
			err = errors.Join(err, os.Remove(path))
		}
	}()

	if err := fill(db, p, entries); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	finished = true
	return syncDir(filepath.Dir(path))
}

// fill makes an index in an empty database. Entries in random order would have every transaction
// write nearly every page again: that took 50 s for a million of them, and sorted it takes 3 s.
func fill(db *bbolt.DB, p Position, entries iter.Seq[Entry]) error {
	if err := migrations.Index(db); err != nil {
		return err
	}
	if entries == nil {
		entries = func(func(Entry) bool) {}
	}
	at := standing{Position: p}
	var w editor
	var last Key
	ascending := true
	for e := range entries {
		if err := w.set(&e, p); err != nil {
			return err
		}
		key := Key{e.Service, e.PeerID}
		ascending = ascending && last.compare(key) < 0
		last = key
		if ascending && len(w.edits) == buildBatch {
			if err := flush(db, &w, &at); err != nil {
				return err
			}
		}
	}
	if err := flush(db, &w, &at); err != nil {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error { return writeStanding(tx, &at) })
}

// flush writes w's edits and empties it.
func flush(db *bbolt.DB, w *editor, at *standing) error {
	w.sort()
	for edits := range slices.Chunk(w.edits, buildBatch) {
		err := db.Update(func(tx *bbolt.Tx) error { return w.write(tx, edits, at, buildFill) })
		if err != nil {
			return err
		}
	}
	w.edits, w.values = w.edits[:0], w.values[:0]
	return nil
}

// syncDir makes what was created, renamed or removed in dir durable. Windows has no such call, and
// does it by itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return &fs.PathError{Op: "sync", Path: dir, Err: err}
	}
	return nil
}
