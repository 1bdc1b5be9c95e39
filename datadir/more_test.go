package datadir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/wal"
)

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

// A path is a name, never a pattern.
func TestPatternCharactersInThePath(t *testing.T) {
	base := t.TempDir()
	theirs := filepath.Join(base, "grid1", "grid.new-7")
	mkdir(t, theirs)
	for _, name := range []string{"grid[12]", "a[b", "g*", "grid?"} {
		ours := filepath.Join(base, name)
		left := filepath.Join(ours, "grid.new-7")
		mkdir(t, left)
		closeDir(t, open(t, ours, datadir.Options{}))
		closeDir(t, open(t, ours, datadir.Options{MustExist: true}))
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the unfinished creation stays (%v)", name, err)
		}
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Errorf("another directory was cleaned: %v", err)
	}
}

// A creation with the witness elsewhere may be cut off anywhere: the next start makes a whole
// introducer, with the witness where it belongs.
func TestCreationCutOffWithWitnessElsewhere(t *testing.T) {
	tests := []struct {
		name string
		cut  func(t *testing.T, root, witness string)
	}{
		{"before the rename", func(t *testing.T, root, _ string) {
			building := filepath.Join(root, "grid.new-1")
			mkdir(t, building)
			opts := wal.Options{WitnessPath: filepath.Join(building, "witness")}
			if err := wal.Create(filepath.Join(building, "log"), wal.LogID{1}, opts); err != nil {
				t.Fatal(err)
			}
		}},
		{"before the witness is moved", func(t *testing.T, root, _ string) {
			closeDir(t, open(t, root, datadir.Options{}))
		}},
		{"while the witness is copied", func(t *testing.T, root, witness string) {
			closeDir(t, open(t, root, datadir.Options{}))
			if err := os.WriteFile(witness, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"before the first copy is removed", func(t *testing.T, root, witness string) {
			closeDir(t, open(t, root, datadir.Options{}))
			b, err := os.ReadFile(filepath.Join(root, "grid", "witness"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(witness, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, witness := t.TempDir(), filepath.Join(t.TempDir(), "witness")
			tt.cut(t, root, witness)
			closeDir(t, open(t, root, datadir.Options{Witness: witness}))
			d := open(t, root, datadir.Options{Witness: witness, MustExist: true})
			defer closeDir(t, d)
			if d.Log.Lost() != nil || len(d.Log.Warnings()) != 0 {
				t.Errorf("the second start: lost %v, warnings %v", d.Log.Lost(), d.Log.Warnings())
			}
		})
	}
}

// A witness without its log is the sign that a disk is missing: nothing new is made beside it.
func TestWitnessOfAMissingLog(t *testing.T) {
	root, witness := t.TempDir(), filepath.Join(t.TempDir(), "witness")
	closeDir(t, open(t, root, datadir.Options{Witness: witness}))
	seen, err := os.ReadFile(witness)
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir() // the mount point, without the disk
	if d, err := datadir.Open(empty, datadir.Options{Witness: witness}); err == nil {
		closeDir(t, d)
		t.Fatal("an empty introducer was made beside the witness of a full one")
	}
	if now, err := os.ReadFile(witness); err != nil || string(now) != string(seen) {
		t.Errorf("the witness was touched (%v)", err)
	}
	closeDir(t, open(t, root, datadir.Options{Witness: witness}))
}

// A lock that cannot be asked for is not one that somebody holds.
func TestLockCannotBeMade(t *testing.T) {
	root := t.TempDir()
	mkdir(t, filepath.Join(root, "LOCK")) // stands for a file system that takes no files
	d, err := datadir.Open(root, datadir.Options{})
	if err == nil {
		closeDir(t, d)
		t.Fatal("it was opened without a lock")
	}
	if errors.Is(err, datadir.ErrInUse) {
		t.Errorf("got %v; nobody uses it", err)
	}
}

// A schema with lines that this release does not know is a newer one's.
func TestSchemaWithMoreLines(t *testing.T) {
	root := t.TempDir()
	closeDir(t, open(t, root, datadir.Options{}))
	schema := "introducer data directory\nlog 1\nindex 1\nblobs 1\n"
	if err := os.WriteFile(filepath.Join(root, "grid", "SCHEMA"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := datadir.Open(root, datadir.Options{})
	if err == nil {
		closeDir(t, d)
	}
	if !errors.Is(err, datadir.ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}
