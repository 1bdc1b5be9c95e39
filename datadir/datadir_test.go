package datadir_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/wal"
)

func open(t *testing.T, path string, opts datadir.Options) *datadir.Dir {
	t.Helper()
	d, err := datadir.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func closeDir(t *testing.T, d *datadir.Dir) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// snapshot is every file below root with its content.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestCreateAndReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some", "where", "data")
	d := open(t, path, datadir.Options{})
	id := d.Log.ID()
	if d.Index == nil || d.Index.Position().LogID != id {
		t.Fatal("the index is missing or of another log")
	}
	if _, err := d.Log.Append(time.Now(), 0, []wal.Entry{{Kind: 1, Payload: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	closeDir(t, d)
	d = open(t, path, datadir.Options{MustExist: true})
	defer closeDir(t, d)
	if d.Log.ID() != id || d.Log.Head().Revision != 1 {
		t.Errorf("log %v at %d, want %v at 1", d.Log.ID(), d.Log.Head().Revision, id)
	}
	var names []string
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"LOCK", "grid"}, names); diff != "" {
		t.Errorf("layout (-want +got):\n%s", diff)
	}
}

// What cannot be used is refused with the right error and left as it was.
func TestRefusals(t *testing.T) {
	write := func(t *testing.T, root, name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		make func(t *testing.T, root string)
		opts datadir.Options
		want error
	}{
		{"somebody's files", func(t *testing.T, root string) { write(t, root, "thesis.tex", "x") }, datadir.Options{}, datadir.ErrNotOurs},
		{"ours and somebody's", func(t *testing.T, root string) {
			closeDir(t, open(t, root, datadir.Options{}))
			write(t, root, "thesis.tex", "x")
		}, datadir.Options{}, datadir.ErrNotOurs},
		{"no schema", func(t *testing.T, root string) { write(t, root, "grid/log/x", "x") }, datadir.Options{}, datadir.ErrNotOurs},
		{"garbled schema", func(t *testing.T, root string) { write(t, root, "grid/SCHEMA", "hello") }, datadir.Options{}, datadir.ErrNotOurs},
		{"newer log", func(t *testing.T, root string) {
			closeDir(t, open(t, root, datadir.Options{}))
			write(t, root, "grid/SCHEMA", "introducer data directory\nlog 99\nindex 1\n")
		}, datadir.Options{}, datadir.ErrNewer},
		{"newer index", func(t *testing.T, root string) {
			closeDir(t, open(t, root, datadir.Options{}))
			write(t, root, "grid/SCHEMA", "introducer data directory\nlog 1\nindex 99\n")
		}, datadir.Options{}, datadir.ErrNewer},
		{"missing, and must exist", func(t *testing.T, root string) {}, datadir.Options{MustExist: true}, fs.ErrNotExist},
		{"a file", func(t *testing.T, root string) {
			if err := os.Remove(root); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Dir(root), filepath.Base(root), "x")
		}, datadir.Options{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(root, 0o700); err != nil {
				t.Fatal(err)
			}
			tt.make(t, root)
			before := snapshot(t, root)
			d, err := datadir.Open(root, tt.opts)
			if err == nil {
				closeDir(t, d)
				t.Fatal("it was opened")
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if diff := cmp.Diff(before, snapshot(t, root)); diff != "" {
				t.Errorf("it was touched (-before +after):\n%s", diff)
			}
		})
	}
}

func TestInUse(t *testing.T) {
	root := t.TempDir()
	d := open(t, root, datadir.Options{})
	before := snapshot(t, root)
	if _, err := datadir.Open(root, datadir.Options{}); !errors.Is(err, datadir.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	after := snapshot(t, root)
	if !maps.Equal(before, after) {
		t.Error("the directory in use was touched")
	}
	closeDir(t, d)
	closeDir(t, open(t, root, datadir.Options{}))
}

// A creation that was cut off leaves nothing but what the next start removes.
func TestUnfinishedCreation(t *testing.T) {
	root := t.TempDir()
	left := filepath.Join(root, "grid.new-123")
	if err := os.MkdirAll(filepath.Join(left, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	closeDir(t, open(t, root, datadir.Options{}))
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unfinished creation is still there: %v", err)
	}
}

func TestWitnessElsewhere(t *testing.T) {
	root, witness := t.TempDir(), filepath.Join(t.TempDir(), "witness")
	d := open(t, root, datadir.Options{Witness: witness, StrictWitness: true})
	if _, err := d.Log.Append(time.Now(), 0, []wal.Entry{{Kind: 1}}); err != nil {
		t.Fatal(err)
	}
	closeDir(t, d)
	if _, err := os.Stat(filepath.Join(root, "grid", "witness")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a witness in the directory too: %v", err)
	}
	d = open(t, root, datadir.Options{Witness: witness})
	defer closeDir(t, d)
	if d.Log.Lost() != nil || len(d.Log.Warnings()) != 0 {
		t.Errorf("lost %v, warnings %v", d.Log.Lost(), d.Log.Warnings())
	}
}
