package datadir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// ErrExists is returned by Build: there is something already.
var ErrExists = errors.New("it holds an introducer's state already; give an empty or a new directory")

// Build makes the data directory at path, which must be empty or not be there, with a log that fill has
// filled and the index that goes with it, at the log's head. It is there when it is whole; after an error
// there is none, as after a crash. The log that fill gets has a new id and no records.
func Build(path string, opts Options, fill func(*wal.Log) (iter.Seq[store.Entry], error)) error {
	root, err := filepath.Abs(path)
	if err == nil {
		err = build(root, opts, fill)
	}
	if err != nil {
		return fmt.Errorf("making data directory %s: %w", path, err)
	}
	return nil
}

func build(root string, opts Options, fill func(*wal.Log) (iter.Seq[store.Entry], error)) (err error) {
	if err := mustBeFree(root, opts); err != nil {
		return err
	}
	_, err = os.Stat(root)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := makeDir(root); err != nil {
		return err
	}
	held, err := lock(filepath.Join(root, lockName))
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, held.Close())
		if err != nil && fresh {
			// What was made for nothing; not if someone has put something there meanwhile.
			os.Remove(filepath.Join(root, lockName))
			os.Remove(root)
		}
	}()
	// Looked at again now that nobody else can be making it.
	if err := mustBeFree(root, opts); err != nil {
		return err
	}
	if err := removeUnfinished(root); err != nil {
		return err
	}
	building, err := os.MkdirTemp(root, gridName+newInfix)
	if err != nil {
		return err
	}
	if err := fillState(building, opts, fill); err != nil {
		return errors.Join(err, os.RemoveAll(building))
	}
	return settle(root, building, opts)
}

func mustBeFree(root string, opts Options) error {
	exists, err := inspect(root)
	switch {
	case exists:
		return ErrExists
	case err != nil:
		return err
	}
	return witnessMustBeFree(opts)
}

// fillState makes log, witness and index in building.
func fillState(building string, opts Options, fill func(*wal.Log) (iter.Seq[store.Entry], error)) error {
	id, err := wal.NewLogID(rand.Reader)
	if err != nil {
		return err
	}
	w := opts.wal()
	w.WitnessPath = filepath.Join(building, witnessName)
	w.Fatal = func(error) {} // Append and Close say it too, and nobody was promised anything yet
	dir := filepath.Join(building, logName)
	if err := wal.Create(dir, id, w); err != nil {
		return err
	}
	log, err := wal.Open(dir, w)
	if err != nil {
		return err
	}
	entries, err := fill(log)
	head := log.Head()
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	at := store.Position{LogID: id, Revision: head.Revision, Chain: head.Chain}
	return store.Build(filepath.Join(building, indexName), at, entries)
}
