package datadir_test

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// one fills a log with one record, and an index with one entry.
func one(log *wal.Log) (iter.Seq[store.Entry], error) {
	h, err := log.Append(time.Unix(1, 0), time.Second, []wal.Entry{{Kind: 1, Payload: []byte("payload")}})
	return slices.Values([]store.Entry{{Service: "storage", State: store.Live, Revision: h.Revision}}), err
}

func TestBuild(t *testing.T) {
	for name, opts := range map[string]datadir.Options{
		"within":    {},
		"elsewhere": {Witness: filepath.Join(t.TempDir(), "witness")},
	} {
		path := filepath.Join(t.TempDir(), "not", "there")
		if err := datadir.Build(path, opts, one); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d, err := datadir.Open(path, opts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d.Log.Head().Revision != 1 || d.Log.Lost() != nil || d.Log.Warnings() != nil || d.Index == nil || d.Index.Len() != 1 ||
			d.Index.Position().Revision != 1 || d.Index.Position().LogID != d.Log.ID() {
			t.Errorf("%s: got head %+v, lost %v, warnings %v, index %+v", name, d.Log.Head(), d.Log.Lost(), d.Log.Warnings(), d.Index)
		}
		if err := datadir.Build(path, opts, one); !errors.Is(err, datadir.ErrExists) {
			t.Errorf("%s: a second time: got %v", name, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What could not be made whole is not there, and what was there stays.
func TestBuildFails(t *testing.T) {
	broken := errors.New("broken")
	fails := func(log *wal.Log) (iter.Seq[store.Entry], error) {
		if _, err := one(log); err != nil {
			t.Error(err)
		}
		return nil, broken
	}
	path := filepath.Join(t.TempDir(), "new")
	if err := datadir.Build(path, datadir.Options{}, fails); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}

	path = t.TempDir() // a mount point, say
	if err := datadir.Build(path, datadir.Options{}, fails); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if names := names(t, path); !slices.Equal(names, []string{"LOCK"}) {
		t.Errorf("left behind: %v", names)
	}
	// What a crash left behind goes.
	if err := os.MkdirAll(filepath.Join(path, "grid.new-1", "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := datadir.Build(path, datadir.Options{}, one); err != nil {
		t.Fatal(err)
	}
	if names := names(t, path); !slices.Equal(names, []string{"LOCK", "grid"}) {
		t.Errorf("got %v", names)
	}

	witness := filepath.Join(t.TempDir(), "witness")
	if err := os.WriteFile(witness, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "new")
	if err := datadir.Build(path, datadir.Options{Witness: witness}, one); err == nil {
		t.Error("built beside the witness of something else")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
	nowhere := filepath.Join(t.TempDir(), "no", "witness")
	if err := datadir.Build(path, datadir.Options{Witness: nowhere}, one); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with a witness that can't be put there: got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range all {
		names = append(names, d.Name())
	}
	return names
}

func TestInspect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if _, err := datadir.Inspect(path, datadir.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where there is none: got %v", err)
	}
	if err := datadir.Build(path, datadir.Options{}, one); err != nil {
		t.Fatal(err)
	}
	x, err := datadir.Inspect(path, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{x.Schema, x.Log, x.Index, x.Witness} {
		if _, err := os.Stat(part); err != nil {
			t.Error(err)
		}
	}
	if _, err := datadir.Inspect(path, datadir.Options{}); !errors.Is(err, datadir.ErrInUse) {
		t.Errorf("twice: got %v", err)
	}
	if _, err := datadir.Open(path, datadir.Options{}); !errors.Is(err, datadir.ErrInUse) {
		t.Errorf("opened while it is looked at: got %v", err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(x.Schema); err != nil {
		t.Fatal(err)
	}
	if x, err = datadir.Inspect(path, datadir.Options{Witness: "elsewhere"}); err != nil {
		t.Fatal(err)
	}
	if x.Problem == nil || x.Witness != "elsewhere" {
		t.Errorf("without its schema: got %+v", x)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}
