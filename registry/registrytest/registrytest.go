// Package registrytest gives tests a real registry, on real stores in a temporary directory,
// and announcements to put into it. Nothing in it is a stand-in: the stores are Pebble and bbolt
// on the disk, and every announcement is signed. A helper that fails ends the test that called
// it. Keys are derived from names, so that a failing test fails again with the same peers.
package registrytest

import (
	"context"
	"crypto/sha256"
	"testing"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
)

// New opens a registry in a directory of its own, closed when the test ends.
func New(t testing.TB) *registry.Registry {
	t.Helper()
	r := Open(t, t.TempDir(), registry.Options{})
	t.Cleanup(func() { Close(t, r) })
	return r
}

// Open opens a registry on dir; the caller closes it.
func Open(t testing.TB, dir string, opts registry.Options) *registry.Registry {
	t.Helper()
	d, err := datadir.Open(dir, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(context.Background(), d, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Close closes r.
func Close(t testing.TB, r *registry.Registry) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Errorf("closing the registry: %v", err)
	}
}

// Key is a node's key, the same for the same name.
func Key(name string) *announce.Key {
	return announce.NewKeyFromSeed(sha256.Sum256([]byte("registrytest " + name)))
}

// Sign composes and signs an announcement.
func Sign(t testing.TB, k *announce.Key, a announce.Announcement) announce.Signed {
	t.Helper()
	message, err := a.Message()
	if err != nil {
		t.Fatal(err)
	}
	return k.Sign(message)
}

// Publish publishes and returns the results.
func Publish(t testing.TB, r *registry.Registry, items ...announce.Signed) []registry.Result {
	t.Helper()
	results, err := r.Publish(context.Background(), items)
	if err != nil {
		t.Fatal(err)
	}
	return results
}
