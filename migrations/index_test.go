package migrations_test

import (
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/introducer/introducer/migrations"
)

// openIndex opens a bbolt file, made if it isn't there.
func openIndex(t *testing.T, path string, readOnly bool) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: readOnly, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// buckets are all buckets, keys and values of a database, as text.
func buckets(t *testing.T, db *bbolt.DB) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{} // :: bucket → key → value
	if err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			all[string(name)] = map[string]string{}
			return b.ForEach(func(k, v []byte) error {
				all[string(name)][string(k)] = string(v)
				return nil
			})
		})
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestIndex makes an index of the newest schema out of nothing. This is the fixture of schema 1.
func TestIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := openIndex(t, path, false)
	if v, err := migrations.IndexSchema(db); v != 0 || err != nil {
		t.Errorf("schema of an empty database: %d, %v; want 0", v, err)
	}
	if err := migrations.Index(db); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]string{
		"meta":     {"schema": "\x00\x00\x00\x01\xb8\x08\x5c\xc6"},
		"services": {},
	}
	if d := cmp.Diff(want, buckets(t, db)); d != "" {
		t.Errorf("an empty index (-want +got):\n%s", d)
	}
	if v, err := migrations.IndexSchema(db); v != migrations.IndexVersion || err != nil {
		t.Errorf("schema: %d, %v; want %d", v, err, migrations.IndexVersion)
	}
	db.Close()

	// Up to date, nothing is written: a read-only database would refuse.
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := migrations.Index(openIndex(t, path, true)); err != nil {
		t.Error(err)
	}
	if err := migrations.Index(openIndex(t, path+"2", false)); err != nil {
		t.Error(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the file has changed")
	}
}

// TestIndexRefuses: what is not an index, or not one of ours to change, is left as it is.
func TestIndexRefuses(t *testing.T) {
	sealed := func(number string) string {
		table := crc32.MakeTable(crc32.Castagnoli)
		sum := crc32.Checksum([]byte("schema"+number), table)
		return number + string([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	}
	for _, tc := range []struct {
		name   string
		bucket string
		schema string
		newer  bool
		text   string
	}{
		{"a newer release's", "meta", sealed("\x00\x00\x00\x02"), true, "schema 2, this release knows up to 1"},
		{"someone else's", "members", "", false, "no bucket meta"},
		{"a damaged number", "meta", "\x00\x00\x00\x02" + sealed("\x00\x00\x00\x01")[4:], false, "schema is damaged"},
		{"a short number", "meta", "\x00\x01", false, "schema is damaged"},
		{"no number", "meta", "", false, "schema is damaged"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			db := openIndex(t, filepath.Join(t.TempDir(), "index"), false)
			if err := db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucket([]byte(tc.bucket))
				if err != nil || tc.schema == "" {
					return err
				}
				return b.Put([]byte("schema"), []byte(tc.schema))
			}); err != nil {
				t.Fatal(err)
			}
			before := buckets(t, db)
			err := migrations.Index(db)
			if err == nil || errors.Is(err, migrations.ErrNewer) != tc.newer || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Index: %v, want an error with %q; ErrNewer: %v", err, tc.text, tc.newer)
			}
			if d := cmp.Diff(before, buckets(t, db)); d != "" {
				t.Errorf("it was changed (-before +after):\n%s", d)
			}
		})
	}
}
