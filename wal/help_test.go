package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/introducer/introducer/wal"
)

// Where the tests keep a log in a file system of their own.
const (
	logDir      = "data/log"
	witnessFile = "data/witness"
)

// Fixed things, so that bytes come out the same on every run.
var (
	testID  = wal.LogID{0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	otherID = wal.LogID{0xb0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	day     = time.Date(2026, 11, 20, 12, 0, 0, 7, time.UTC)
)

// memory returns an empty file system with a log in it.
func memory(t testing.TB) *vfs.MemFS {
	t.Helper()
	return makeLog(t, vfs.NewMem())
}

func makeLog(t testing.TB, fs *vfs.MemFS) *vfs.MemFS {
	t.Helper()
	if err := fs.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := fs.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(root.Sync(), root.Close()); err != nil {
		t.Fatal(err)
	}
	if err := wal.Create(logDir, testID, wal.Options{FS: fs}); err != nil {
		t.Fatal(err)
	}
	return fs
}

// quiet are options for fs under which a failure is an error of the test.
func quiet(t testing.TB, fs vfs.FS) wal.Options {
	return wal.Options{FS: fs, Fatal: func(err error) { t.Errorf("Fatal: %v", err) }}
}

func open(t testing.TB, opts wal.Options) *wal.Log {
	t.Helper()
	l, err := wal.Open(logDir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func closeLog(t testing.TB, l *wal.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// add appends payloads with kind 1, at a time that follows from the head's revision.
func add(t testing.TB, l *wal.Log, payloads ...string) wal.Head {
	t.Helper()
	n := l.Head().Revision
	h, err := l.Append(day.Add(time.Duration(n)*time.Second), time.Duration(n)*time.Second, entries(payloads...))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func entries(payloads ...string) []wal.Entry {
	var e []wal.Entry
	for _, p := range payloads {
		e = append(e, wal.Entry{Kind: 1, Payload: []byte(p)})
	}
	return e
}

// read returns the records from … to, and the error that ended them.
func read(l *wal.Log, from, to wal.Revision) ([]wal.Record, error) {
	var all []wal.Record
	for rec, err := range l.Records(from, to) {
		if err != nil {
			return all, err
		}
		rec.Payload = bytes.Clone(rec.Payload)
		all = append(all, rec)
	}
	return all, nil
}

// list writes records as a story: revision, kind and payload.
func list(recs []wal.Record, err error) []string {
	var s []string
	for _, r := range recs {
		s = append(s, fmt.Sprintf("%d:%d:%s", r.Revision, r.Kind, r.Payload))
	}
	if err != nil {
		s = append(s, err.Error())
	}
	return s
}

// tamper changes the store of a closed log behind its back.
func tamper(t testing.TB, fs vfs.FS, deed func(db *pebble.DB)) {
	t.Helper()
	db, err := pebble.Open(logDir, &pebble.Options{
		FS: fs, FormatMajorVersion: pebble.FormatNewest, ErrorIfNotExists: true, Logger: silent{t},
	})
	if err != nil {
		t.Fatal(err)
	}
	deed(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func set(t testing.TB, db *pebble.DB, key string, value []byte) {
	t.Helper()
	if err := db.Set([]byte(key), value, pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

// get returns the value of a key, which must be there.
func get(t testing.TB, db *pebble.DB, key string) []byte {
	t.Helper()
	v, closer, err := db.Get([]byte(key))
	if err != nil {
		t.Fatalf("key %q: %v", key, err)
	}
	defer closer.Close()
	return bytes.Clone(v)
}

// silent is a Pebble logger that says nothing unless Pebble gives up.
type silent struct{ t testing.TB }

func (silent) Infof(string, ...any)                {}
func (silent) Errorf(string, ...any)               {}
func (s silent) Fatalf(format string, args ...any) { s.t.Fatalf(format, args...) }

// files returns the content of every file under dir, by path.
func files(t testing.TB, fs vfs.FS, dir string) map[string][]byte {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			for p, b := range files(t, fs, path) {
				all[p] = b
			}
			continue
		}
		all[path] = readFile(t, fs, path)
	}
	return all
}

func readFile(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, fs vfs.FS, path string, content []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Clone(content)) // Write may change what it is given
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// restore makes a file system of these files.
func restore(t testing.TB, content map[string][]byte) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	for _, dir := range []string{"data", logDir} {
		if err := fs.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, b := range content {
		writeFile(t, fs, path, b)
	}
	return fs
}

func exists(fs vfs.FS, path string) bool {
	_, err := fs.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// reduced says whether large tests should do less.
func reduced() bool { return testing.Short() || raceBuild }
