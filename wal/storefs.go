package wal

import (
	"errors"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// storeFS is the file system as Pebble gets it, with two things done otherwise.
type storeFS struct{ vfs.FS }

// Create syncs the directory before and after a marker is made. Pebble keeps the name of its current
// MANIFEST in the name of a marker file: it makes the MANIFEST, makes the new marker, removes the old
// one, and only then syncs the directory. On a file system that may keep the later of these and lose
// the earlier, a power cut leaves a marker that names nothing, or none at all: a store that doesn't
// open.
func (f storeFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !strings.HasPrefix(f.PathBase(name), "marker.") {
		return f.FS.Create(name, category)
	}
	dir := f.PathDir(name)
	if err := syncDir(f.FS, dir); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	if err := syncDir(f.FS, dir); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Lock does nothing. The lock is ours, so that it spans the several times that Open opens Pebble, and
// can be given up when Pebble never came up.
func (storeFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap is how Pebble finds the file system beneath.
func (f storeFS) Unwrap() vfs.FS { return f.FS }
