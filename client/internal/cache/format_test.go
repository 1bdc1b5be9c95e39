package cache_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client/internal/cache"
)

var update = flag.Bool("update", false, "write the golden files")

// golden are two groups with every operation in them.
func golden() [][]cache.Op {
	a, b := says(1, "storage", 5), says(2, "printer", 300)
	refused := b.announced(two)
	refused.Signed = announce.Signed{}
	early := a.raised(false)
	early.Floor.Time = time.Unix(-1, 0).UTC()
	return [][]cache.Op{
		{
			cache.Reset{Introducer: one}, a.announced(one), a.raised(false),
			cache.Stand{Introducer: one, LogID: [16]byte{0xaa, 15: 0xbb}, Revision: 300, Services: []announce.Service{"storage", "printer"}},
			a.announced(two), refused,
		},
		{
			cache.Gone{Introducer: two, Key: a.Key}, b.raised(true), early, cache.ForgetFloor{Key: a.Key},
			cache.Forget{Introducer: "http://three.example"},
		},
	}
}

// The bytes are those of the package comment, and never change: a file of today is to be read by every
// later release.
func TestGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	c, _ := open(t, path, cache.Options{Rand: bytes.NewReader([]byte("\x01marker\x02"))})
	w := newWorld()
	for _, ops := range golden() {
		ok(t, c.Append(ops...))
		w.apply(ops...)
	}
	ok(t, c.Close())
	got, err := os.ReadFile(path)
	ok(t, err)
	name := filepath.Join("testdata", "cache-1.hex")
	if *update {
		ok(t, os.WriteFile(name, []byte(hex.Dump(got)), 0o644))
	}
	want, err := os.ReadFile(name)
	ok(t, err)
	if diff := cmp.Diff(string(want), hex.Dump(got)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	s, err := cache.Load(got, verifier)
	ok(t, err)
	wantView(t, s, w.view())
}
