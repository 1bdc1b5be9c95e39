package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// Inspection is a data directory that is held for a look: nobody else has it, and nothing in it is
// written to but the lock. Close it.
type Inspection struct {
	// Problem is what is wrong with the directory itself, its SCHEMA; nil: nothing.
	Problem error
	// Where the parts are, or should be.
	Schema, Log, Index, Witness string

	lock io.Closer
}

// Inspect holds the data directory at path for a look. ErrInUse, ErrNewer, ErrNotOurs or fs.ErrNotExist:
// it is not to be looked at.
func Inspect(path string, opts Options) (*Inspection, error) {
	x, err := inspection(path, opts)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	return x, nil
}

func inspection(path string, opts Options) (*Inspection, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	exists, err := inspect(root)
	switch {
	case exists && errors.Is(err, ErrNotOurs):
	case err != nil:
		return nil, err
	case !exists:
		return nil, fmt.Errorf("there is none: %w", fs.ErrNotExist)
	}
	d := Dir{root: root}
	x := &Inspection{
		Problem: err,
		Schema:  d.path(schemaName), Log: d.path(logName), Index: d.path(indexName), Witness: opts.Witness,
	}
	if x.Witness == "" {
		x.Witness = d.path(witnessName)
	}
	if x.lock, err = lock(filepath.Join(root, lockName)); err != nil {
		return nil, err
	}
	return x, nil
}

// Close lets others in again.
func (x *Inspection) Close() error { return x.lock.Close() }
