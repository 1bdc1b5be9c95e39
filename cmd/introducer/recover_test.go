package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
)

// A record that decayed, however deep in the log, is found and named; accepted as a loss it is gone, and
// the rest is served.
func TestRecoverFromDamage(t *testing.T) {
	dir := t.TempDir()
	r := registrytest.Open(t, dir, registry.Options{})
	var items []announce.Signed
	for n := range uint64(1100) { // more than a start looks at
		items = append(items, registrytest.Sign(t, registrytest.Key("busy"), announce.Announcement{Service: "helper", Seqnum: n}))
	}
	items[1] = registrytest.Sign(t, registrytest.Key("a"), announce.Announcement{Service: "storage", Seqnum: 1})
	registrytest.Publish(t, r, items...)
	registrytest.Close(t, r)
	db, err := pebble.Open(filepath.Join(dir, "grid", "log"), &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: silentPebble{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set([]byte("r\x00\x00\x00\x00\x00\x00\x00\x02"), []byte("decayed"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	stdout, stderr, code := runTool("", "recover", "--data", dir)
	if code != exitFailed || !strings.Contains(stdout, "records cannot be read back: the log is damaged at revision 2") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if got := tool(t, "recover", "--data", dir, "--accept-loss"); !strings.Contains(got, "The loss is accepted") {
		t.Errorf("accepting it:\n%s", got)
	}
	if got := tool(t, "recover", "--data", dir); !strings.Contains(got, "Nothing is missing") {
		t.Errorf("after it:\n%s", got)
	}
	r = registrytest.Open(t, dir, registry.Options{})
	defer registrytest.Close(t, r)
	if i := r.Info(); i.Lost != nil || i.Peers != 1 || i.Last != 1100 || r.Storage().History != 4 {
		t.Errorf("%+v, storage %+v", i, r.Storage())
	}
}

type silentPebble struct{}

func (silentPebble) Infof(string, ...any)  {}
func (silentPebble) Errorf(string, ...any) {}
func (silentPebble) Fatalf(format string, args ...any) {
	panic(format)
}
