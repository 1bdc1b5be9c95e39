package cache_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/client/internal/cache"
)

// FuzzLoad: whatever a file holds, loading it does not panic, gives nothing that does not verify, and
// writing it anew gives a sound file that says the same. With whole set, the bytes are the operations of
// a group whose sums are right.
func FuzzLoad(f *testing.F) {
	path := filepath.Join(f.TempDir(), "peers")
	c, _, err := cache.Open(path, cache.Options{Rand: bytes.NewReader([]byte("\x01marker\x02"))})
	if err != nil {
		f.Fatal(err)
	}
	for _, ops := range golden() {
		if err := c.Append(ops...); err != nil {
			f.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file, false)
	f.Add(file[cache.HeaderSize:], false)
	f.Add(cache.HeaderOf(2), false)
	f.Add(file[cache.HeaderSize+cache.FrameSize:], true)
	f.Fuzz(func(t *testing.T, b []byte, whole bool) {
		if whole {
			b = cache.Wrapped(b)
		}
		s, err := cache.Load(b, verifier)
		if err != nil {
			return
		}
		for d, a := range s.Announcements {
			if a.Signed.Digest() != d {
				t.Fatalf("announcement %x is under %x", a.Signed.Digest(), d)
			}
			if said, _, err := verifier.Open(a.Signed); err != nil || !cmp.Equal(said, a.Said) {
				t.Fatalf("announcement %x says %+v, not %+v (%v)", d, a.Said, said, err)
			}
		}
		anew, err := cache.Rewrite(b, verifier)
		ok(t, err)
		again, err := cache.Load(anew, verifier)
		ok(t, err)
		if again.Notes != nil {
			t.Fatalf("written anew, it is damaged: %q", again.Notes)
		}
		wantView(t, again, viewOf(s))
	})
}
