package migrations_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/migrations"
)

// schema1 is what a new log holds, sums included.
var schema1 = map[string]string{
	"m/floor":  strings.Repeat("00", 40) + "016480e6",
	"m/head":   strings.Repeat("00", 40) + "cc892c10",
	"m/schema": "00000001" + "a1ebd951",
}

func TestLog(t *testing.T) {
	db := openLog(t)
	if have, err := migrations.LogSchema(db); have != 0 || err != nil {
		t.Errorf("schema of an empty store: got %d, %v, want 0", have, err)
	}
	if err := migrations.Log(db); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(schema1, content(t, db)); diff != "" {
		t.Errorf("a new log (-want +got):\n%s", diff)
	}
	if have, err := migrations.LogSchema(db); have != migrations.LogVersion || err != nil {
		t.Errorf("its schema: got %d, %v, want %d", have, err, migrations.LogVersion)
	}

	// A second time nothing is done, whatever has become of the log.
	set(t, db, "m/head", "used")
	before := content(t, db)
	if err := migrations.Log(db); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, content(t, db)); diff != "" {
		t.Errorf("migrated twice (-before +after):\n%s", diff)
	}
}

func TestLogRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		schema string
		want   error
	}{
		"newer":      {"\x00\x00\x00\x02\xb2\xbb\x2a\xa5", migrations.ErrNewer},
		"much newer": {"\xff\xff\xff\xff\xe4\x18\xee\x6a", migrations.ErrNewer},
		"wrong sum":  {"\x00\x00\x00\x01\x00\x00\x00\x00", migrations.ErrDamaged},
		"short":      {"\x00", migrations.ErrDamaged},
		"empty":      {"", migrations.ErrDamaged},
	} {
		db := openLog(t)
		set(t, db, "m/schema", test.schema)
		before := content(t, db)
		if err := migrations.Log(db); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
		if diff := cmp.Diff(before, content(t, db)); diff != "" {
			t.Errorf("%s: the store was touched (-before +after):\n%s", name, diff)
		}
	}
}

func openLog(t *testing.T) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("log", &pebble.Options{FS: vfs.NewMem(), FormatMajorVersion: pebble.FormatNewest, Logger: noLog{t}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func set(t *testing.T, db *pebble.DB, key, value string) {
	t.Helper()
	if err := db.Set([]byte(key), []byte(value), pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

// content is all that db holds, the values in hexadecimal.
func content(t *testing.T, db *pebble.DB) map[string]string {
	t.Helper()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	all := map[string]string{}
	for ok := it.First(); ok; ok = it.Next() {
		all[string(it.Key())] = hex.EncodeToString(it.Value())
	}
	if err := it.Error(); err != nil {
		t.Fatal(err)
	}
	return all
}

// noLog is a Pebble logger that says nothing unless Pebble gives up.
type noLog struct{ t *testing.T }

func (noLog) Infof(string, ...any)                {}
func (noLog) Errorf(string, ...any)               {}
func (l noLog) Fatalf(format string, args ...any) { l.t.Fatalf(format, args...) }
