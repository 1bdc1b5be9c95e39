package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/introducer/introducer/migrations"
	"github.com/introducer/introducer/store"
)

func TestCreate(t *testing.T) {
	path := create(t)
	x := open(t, path)
	if got, want := x.Position(), (store.Position{LogID: logID}); got != want {
		t.Errorf("position %+v, want %+v", got, want)
	}
	wantEntries(t, x, nil)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

// TestOpenRefuses shows what is no index, and that none of it is changed by the attempt.
func TestOpenRefuses(t *testing.T) {
	// other makes a bbolt file that is not, or not quite, ours.
	other := func(change func(*bbolt.Tx) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 4096, Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(change), db.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	ours := func(change func(*bbolt.Tx) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := store.Create(path, logID); err != nil {
				t.Fatal(err)
			}
			other(change)(t, path)
		}
	}
	meta := func(key string, value []byte) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte(key), value) }
	}
	schema := func(version uint32) []byte {
		v := binary.BigEndian.AppendUint32(nil, version)
		return binary.BigEndian.AppendUint32(v, crc32.Checksum(append([]byte("schema"), v...), crc32.MakeTable(crc32.Castagnoli)))
	}
	file := func(content string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name string
		make func(t *testing.T, path string)
		err  error
		text string
	}{
		{"nothing there", func(*testing.T, string) {}, store.ErrDamaged, "no such file"},
		{"nothing there, by its other name", func(*testing.T, string) {}, fs.ErrNotExist, "no such file"},
		{"an empty file", file(""), store.ErrDamaged, "empty"},
		{"a short file", file("hello"), store.ErrDamaged, ""},
		{"another file", file(strings.Repeat("hello, world; ", 5000)), store.ErrDamaged, ""},
		{"a directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, store.ErrDamaged, "not a file"},
		{"an empty bbolt file", other(func(*bbolt.Tx) error { return nil }), store.ErrDamaged, "empty database"},
		{"someone else's bbolt file", other(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("members"))
			return err
		}), store.ErrDamaged, "no bucket meta"},
		{"someone else's bucket meta", other(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("meta"))
			return err
		}), store.ErrDamaged, "schema is damaged"},
		{"pages of another size", func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 8192, Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(migrations.Index(db), db.Close()); err != nil {
				t.Fatal(err)
			}
		}, store.ErrDamaged, "pages of 8192 bytes"},
		{"a newer schema", ours(meta("schema", schema(migrations.IndexVersion+1))), migrations.ErrNewer, "schema 2, this release knows up to 1"},
		{"the newest schema there can be", ours(meta("schema", schema(1<<32-1))), migrations.ErrNewer, "schema 4294967295"},
		{"a schema with a wrong sum", ours(meta("schema", append(schema(2)[:4:4], schema(1)[4:]...))), store.ErrDamaged, "schema is damaged"},
		{"no position", ours(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Delete([]byte("position")) }), store.ErrDamaged, "not finished"},
		{"a short position", ours(meta("position", make([]byte, 75))), store.ErrDamaged, "75 bytes, want 76"},
		{"a position with a wrong sum", ours(meta("position", make([]byte, 76))), store.ErrDamaged, "position: wrong checksum"},
		{"no services", ours(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("services")) }), store.ErrDamaged, "no bucket services"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index")
			tc.make(t, path)
			before, _ := os.ReadFile(path)
			for _, readOnly := range []bool{true, false} {
				x, err := store.Open(path, store.Options{ReadOnly: readOnly})
				if err == nil {
					x.Close()
				}
				if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("Open: %v, want %v with %q", err, tc.err, tc.text)
				}
				if errors.Is(err, migrations.ErrNewer) && errors.Is(err, store.ErrDamaged) {
					t.Errorf("Open: %v, which would have a newer index thrown away", err)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file has changed")
			}
		})
	}
}

// TestLoadRefuses shows what Open cannot see: entries that are valid pages of bbolt and wrong.
func TestLoadRefuses(t *testing.T) {
	p, entries := golden()
	for _, tc := range []struct {
		name   string
		change func(services *bbolt.Bucket) error
		text   string
	}{
		{"an entry gone", func(b *bbolt.Bucket) error {
			return b.Bucket([]byte("download_storage")).Delete(entries[0].PeerID[:])
		}, "3 entries"},
		{"a service gone", func(b *bbolt.Bucket) error { return b.DeleteBucket([]byte("s")) }, "3 entries"},
		{"an older entry, valid in itself", func(b *bbolt.Bucket) error {
			e := entries[2]
			e.Revision--
			v, err := store.AppendEntry(nil, &e)
			return errors.Join(err, b.Bucket([]byte("helper")).Put(e.PeerID[:], v))
		}, "4 entries that add up to"},
		{"an entry under another key", func(b *bbolt.Bucket) error {
			h := b.Bucket([]byte("helper"))
			v := bytes.Clone(h.Get(entries[2].PeerID[:]))
			return errors.Join(h.Delete(entries[2].PeerID[:]), h.Put(entries[0].PeerID[:], append(v, 0)[:len(v)]),
				h.Put(entries[1].PeerID[:], v))
		}, "wrong checksum"},
		{"an entry from the future", func(b *bbolt.Bucket) error {
			e := entries[2]
			e.Revision = p.Revision + 1
			v, err := store.AppendEntry(nil, &e)
			return errors.Join(err, b.Bucket([]byte("helper")).Put(e.PeerID[:], v))
		}, "is beyond the position"},
		{"a short key", func(b *bbolt.Bucket) error { return b.Bucket([]byte("s")).Put([]byte("key"), make([]byte, 78)) }, "key of 3 bytes"},
		{"an empty value", func(b *bbolt.Bucket) error { return b.Bucket([]byte("s")).Put(entries[0].PeerID[:], nil) }, "value of 0 bytes"},
		{"a bucket for an entry", func(b *bbolt.Bucket) error {
			_, err := b.Bucket([]byte("s")).CreateBucket(entries[0].PeerID[:])
			return err
		}, "value of 0 bytes"},
		{"a value for a service", func(b *bbolt.Bucket) error { return b.Put([]byte("storage"), []byte("value")) }, "is not a service"},
		{"a long service", func(b *bbolt.Bucket) error {
			_, err := b.CreateBucket(bytes.Repeat([]byte("s"), 65))
			return err
		}, "is not a service"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index")
			if err := store.Build(path, p, slices.Values(entries)); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(path, 0, &bbolt.Options{Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(func(tx *bbolt.Tx) error {
				return tc.change(tx.Bucket([]byte("services")))
			}), db.Close()); err != nil {
				t.Fatal(err)
			}
			x := open(t, path)
			if _, err := load(x); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Load: %v, want ErrDamaged with %q", err, tc.text)
			}
			if err := x.Apply(p, nil, nil); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("Apply afterwards: %v, want ErrDamaged", err)
			}
		})
	}
}

func TestLocked(t *testing.T) {
	path := create(t)
	x := open(t, path)
	for _, readOnly := range []bool{true, false} {
		opts := store.Options{ReadOnly: readOnly, Timeout: time.Millisecond}
		if _, err := store.Open(path, opts); !errors.Is(err, store.ErrLocked) || errors.Is(err, store.ErrDamaged) {
			t.Errorf("Open of an open index, read-only %v: %v, want ErrLocked", readOnly, err)
		}
	}
	x.Close()

	// Readers stand one another, but no writer.
	r1, err1 := store.Open(path, store.Options{ReadOnly: true})
	r2, err2 := store.Open(path, store.Options{ReadOnly: true})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer r1.Close()
	defer r2.Close()
	if _, err := store.Open(path, store.Options{Timeout: time.Millisecond}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Open of an index that is being read: %v, want ErrLocked", err)
	}
	wantEntries(t, r1, nil)
	wantEntries(t, r2, nil)
	if err := r1.Apply(position(1), nil, nil); err == nil {
		t.Error("a read-only index was written to")
	}
}

// TestNoWay: where the system won't let us, another index would not help, and none is called bad.
func TestNoWay(t *testing.T) {
	path := filepath.Join(create(t), "index") // a file for a directory
	_, err := store.Open(path, store.Options{})
	if err == nil || errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrLocked) {
		t.Errorf("Open: %v, want the system's own word", err)
	}
}

func TestForbidden(t *testing.T) {
	path := create(t)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Open(path); err == nil {
		f.Close()
		t.Skip("nothing is forbidden to this user")
	}
	if _, err := store.Open(path, store.Options{}); !errors.Is(err, fs.ErrPermission) || errors.Is(err, store.ErrDamaged) {
		t.Errorf("Open: %v, want fs.ErrPermission alone: another file would not help", err)
	}
}

func TestClosed(t *testing.T) {
	x := open(t, create(t))
	for range 2 {
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := load(x); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Load: %v, want fs.ErrClosed", err)
	}
	if err := x.Apply(position(1), nil, nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Apply: %v, want fs.ErrClosed", err)
	}
	if got, want := x.Position(), position(0); got != want {
		t.Errorf("position %+v, want %+v", got, want)
	}
}

func TestLogger(t *testing.T) {
	var text bytes.Buffer
	x, err := store.Open(create(t), store.Options{
		Logger: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if !strings.Contains(text.String(), "index opened") || !strings.Contains(text.String(), "entries=0") {
		t.Errorf("logged %q", text.String())
	}
}

// TestCutWhileOpen cuts the file short under an open index, as a failing disk may: the memory
// faults become ErrDamaged, closing does not hang, and another index can be built in its place.
func TestCutWhileOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be cut short there")
	}
	for _, deed := range []string{"Load", "Apply"} {
		for _, left := range []int64{0, 4096, 4 * 4096, 50 * 4096} {
			path := filepath.Join(t.TempDir(), "index")
			p, all := realistic(2000)
			if err := store.Build(path, p, all); err != nil {
				t.Fatal(err)
			}
			x := open(t, path)
			if err := os.Truncate(path, left); err != nil {
				t.Fatal(err)
			}
			var err error
			if deed == "Load" {
				_, err = load(x)
			} else {
				var set []store.Entry
				for e := range all {
					set = append(set, e)
				}
				err = x.Apply(p, set, nil)
			}
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%s with %d bytes left: %v, want ErrDamaged", deed, left, err)
			}
			if err := x.Close(); err != nil {
				t.Errorf("Close with %d bytes left: %v", left, err)
			}
			if _, err := store.Quarantine(path, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if err := store.Build(path, p, all); err != nil {
				t.Fatal(err)
			}
			wantEntries(t, open(t, path), slices.Collect(all))
		}
	}
}

func TestQuarantine(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "index")
	if aside, err := store.Quarantine(path, time.Unix(5, 0)); aside != "" || err != nil {
		t.Errorf("with nothing there: %q, %v", aside, err)
	}
	others := []string{"index.bad-", "index.bad-notes", "index2.bad-4", "witness"}
	for _, name := range append(others, "index.bad-7") {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, content := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		now := time.Unix(int64(1_800_000_000+i), 5)
		aside, err := store.Quarantine(path, now)
		want := path + []string{".bad-1800000000", ".bad-1800000001"}[i]
		if aside != want || err != nil {
			t.Fatalf("Quarantine: %q, %v; want %q", aside, err, want)
		}
		if got, err := os.ReadFile(aside); err != nil || string(got) != content {
			t.Errorf("%s holds %q, %v; want %q", aside, got, err, content)
		}
		var got []string
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range names {
			got = append(got, d.Name())
		}
		wantNames := append(slices.Clone(others), filepath.Base(want))
		slices.Sort(wantNames)
		if d := gocmp.Diff(wantNames, got); d != "" {
			t.Errorf("directory (-want +got):\n%s", d)
		}
	}

	// A directory in the way is put aside like a file.
	if err := os.MkdirAll(filepath.Join(path, "something"), 0o700); err != nil {
		t.Fatal(err)
	}
	aside, err := store.Quarantine(path, time.Unix(1_900_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(aside, "something")); err != nil {
		t.Error(err)
	}
}
