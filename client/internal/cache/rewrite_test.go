package cache_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/introducer/introducer/client/internal/cache"
)

// The file stays in proportion to what it holds, and so does what is written for each change, however
// many there are.
func TestLinear(t *testing.T) {
	written := func(changes uint64) int64 {
		path := filepath.Join(t.TempDir(), "peers")
		var d disk
		const slack = 20_000
		c, _ := open(t, path, d.options().WithSlack(slack))
		longest := int64(0)
		for r := range changes {
			ok(t, c.Append(group(r+1)...))
			ok(t, c.Flush(t.Context()))
			info, err := os.Stat(path)
			ok(t, err)
			longest = max(longest, info.Size())
		}
		ok(t, c.Close())
		file, err := os.ReadFile(path)
		ok(t, err)
		live, err := cache.Rewrite(file, verifier)
		ok(t, err)
		// What it holds changes on the way, but hardly beyond its double.
		if most := 4*int64(len(live)) + slack; longest > most {
			t.Errorf("after %d changes: the file was %d bytes long, and holds %d", changes, longest, len(live))
		}
		if d.files.Load() < 4 {
			t.Errorf("after %d changes: the file was never written anew", changes)
		}
		wantView(t, reopen(t, path), history(changes).view())
		return d.written.Load()
	}
	few, many := written(500), written(2000)
	if many > 6*few {
		t.Errorf("500 changes wrote %d bytes, 2,000 wrote %d: more than in proportion", few, many)
	}
}

// Runs that end before they have written much do not let the file grow for ever.
func TestShortRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	opts := cache.Options{}.WithSlack(1000)
	longest := int64(0)
	for range 60 {
		c, _ := open(t, path, opts)
		for range 3 {
			ok(t, c.Append(group(1)...))
			ok(t, c.Append(group(2)...))
			ok(t, c.Flush(t.Context()))
		}
		ok(t, c.Close())
		info, err := os.Stat(path)
		ok(t, err)
		longest = max(longest, info.Size())
	}
	file, err := os.ReadFile(path)
	ok(t, err)
	live, err := cache.Rewrite(file, verifier)
	ok(t, err)
	if most := 5*int64(len(live)) + 1000; longest > most {
		t.Errorf("the file was %d bytes long, and holds %d", longest, len(live))
	}
	wantView(t, reopen(t, path), history(2).view())
}

// A file that is damaged while it is in use must not be written anew as if all were well: the tokens
// that are appended afterwards would be for more than it holds.
func TestDamagedInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	c, _ := open(t, path, cache.Options{}.WithSlack(2000))
	ok(t, c.Append(group(1)...))
	ok(t, c.Flush(t.Context()))
	file, err := os.ReadFile(path)
	ok(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	ok(t, err)
	_, err = f.WriteAt([]byte{^file[cache.HeaderSize+2]}, int64(cache.HeaderSize+2))
	ok(t, errors.Join(err, f.Close()))

	r := uint64(1)
	for err == nil && r < 1000 {
		r++
		if err = c.Append(group(r)...); err == nil {
			err = c.Flush(t.Context())
		}
	}
	if !errors.Is(err, cache.ErrStopped) || !strings.Contains(err.Error(), "damaged since it was opened: bytes 36 to") {
		t.Fatalf("after %d groups: got %v", r, err)
	}
	if err := c.Close(); !errors.Is(err, cache.ErrStopped) {
		t.Errorf("Close: got %v, want ErrStopped", err)
	}
	s := reopen(t, path)
	for url, h := range s.Introducers {
		if h.LogID != ([16]byte{}) {
			t.Errorf("%s still has a token", url)
		}
	}
	if s.Notes == nil {
		t.Error("nothing is said of the damage")
	}
}

// Announcements that lie in the file only as garbage are written again when they are announced again
// while the file is written anew.
func TestAnnouncedAgainMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	a := says(1, "storage", 1)
	var c *cache.Cache
	var again func()
	d := disk{}
	d.before = func(string) error {
		if again != nil && d.files.Load() > 2 { // the new file is being written
			again()
			again = nil
		}
		return nil
	}
	c, _ = open(t, path, d.options().WithSlack(2000))
	again = func() { ok(t, c.Append(a.announced(one))) }
	ok(t, c.Append(a.announced(one)))
	ok(t, c.Append(cache.Gone{Introducer: one, Key: a.Key}))
	for again != nil && d.files.Load() < 4 {
		ok(t, c.Append(cache.Forget{Introducer: two}))
		ok(t, c.Flush(t.Context()))
	}
	ok(t, c.Close())
	w := newWorld()
	w.apply(a.announced(one))
	wantView(t, reopen(t, path), w.view())
	file, err := os.ReadFile(path)
	ok(t, err)
	if n := bytes.Count(file, a.Message); n != 1 {
		t.Errorf("the announcement is in the file %d times", n)
	}
}

// An announcement's bytes are written once, whoever announces it: before and after the file was written
// anew, and in the next run.
func TestBytesOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	a := says(1, "storage", 1)
	var d disk
	opts := d.options().WithSlack(1000)
	c, _ := open(t, path, opts)
	add := func(introducer string) {
		t.Helper()
		ok(t, c.Append(a.announced(introducer)))
		ok(t, c.Flush(t.Context()))
		file, err := os.ReadFile(path)
		ok(t, err)
		if n := bytes.Count(file, a.Message); n != 1 {
			t.Errorf("announced by %s, it is in the file %d times", introducer, n)
		}
	}
	add(one)
	add(two)
	for made := d.files.Load(); d.files.Load() == made; {
		ok(t, c.Append(cache.Forget{Introducer: "three"}))
		ok(t, c.Flush(t.Context()))
	}
	add("four")
	ok(t, c.Close())
	c, _ = open(t, path, opts)
	add("five")
}
