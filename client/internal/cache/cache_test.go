package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client/internal/cache"
)

// What each operation leaves behind for the next run, after a fixed beginning.
func TestOperations(t *testing.T) {
	a, b, newer := says(1, "storage", 5), says(2, "storage", 1), says(1, "storage", 6)
	token := cache.Stand{Introducer: one, LogID: [16]byte{1, 2}, Revision: 7, Services: []announce.Service{"storage", "helper"}}
	before := []cache.Op{a.announced(one), b.announced(one), a.announced(two), token, a.raised(false), b.raised(true)}
	keys := func(ss ...said) map[cache.Key]cache.Digest {
		m := map[cache.Key]cache.Digest{}
		for _, s := range ss {
			m[s.Key] = s.Digest
		}
		return m
	}
	bytes := func(ss ...said) map[cache.Digest]announce.Signed {
		m := map[cache.Digest]announce.Signed{}
		for _, s := range ss {
			m[s.Digest] = s.Signed
		}
		return m
	}
	type sets = map[string]map[cache.Key]cache.Digest
	tokens := map[string]cache.Stand{one: token}
	floors := map[cache.Key]cache.Floor{a.Key: a.raised(false).Floor, b.Key: b.raised(true).Floor}
	refused := newer.announced(two)
	refused.Signed = announce.Signed{}
	later := a.raised(false)
	later.Floor.Time = later.Floor.Time.AddDate(0, 0, 1)
	moved := token
	moved.Revision, moved.Services = 1<<64-1, nil

	tests := []struct {
		name string
		ops  []cache.Op
		want view
	}{
		{"nothing", nil,
			view{sets{one: keys(a, b), two: keys(a)}, tokens, bytes(a, b), floors}},
		{"a newer announcement", []cache.Op{newer.announced(one)},
			view{sets{one: keys(newer, b), two: keys(a)}, tokens, bytes(a, b, newer), floors}},
		{"a newer announcement everywhere", []cache.Op{newer.announced(one), newer.announced(two)},
			view{sets{one: keys(newer, b), two: keys(newer)}, tokens, bytes(b, newer), floors}},
		{"a refused announcement", []cache.Op{refused},
			view{sets{one: keys(a, b), two: keys(newer)}, tokens, bytes(a, b), floors}},
		{"gone from one of two", []cache.Op{cache.Gone{Introducer: one, Key: a.Key}},
			view{sets{one: keys(b), two: keys(a)}, tokens, bytes(a, b), floors}},
		{"gone from both", []cache.Op{cache.Gone{Introducer: one, Key: a.Key}, cache.Gone{Introducer: two, Key: a.Key}},
			view{sets{one: keys(b), two: keys()}, tokens, bytes(b), floors}},
		{"gone and come again", []cache.Op{cache.Gone{Introducer: one, Key: b.Key}, b.announced(one)},
			view{sets{one: keys(a, b), two: keys(a)}, tokens, bytes(a, b), floors}},
		{"gone from an introducer that is not known", []cache.Op{cache.Gone{Introducer: "three", Key: a.Key}},
			view{sets{one: keys(a, b), two: keys(a)}, tokens, bytes(a, b), floors}},
		{"a reset", []cache.Op{cache.Reset{Introducer: one}},
			view{sets{one: keys(), two: keys(a)}, map[string]cache.Stand{}, bytes(a), floors}},
		{"a token moved on", []cache.Op{moved},
			view{sets{one: keys(a, b), two: keys(a)}, map[string]cache.Stand{one: moved}, bytes(a, b), floors}},
		{"a token taken back", []cache.Op{cache.Stand{Introducer: one, Revision: 3}},
			view{sets{one: keys(a, b), two: keys(a)}, map[string]cache.Stand{}, bytes(a, b), floors}},
		{"an introducer forgotten", []cache.Op{cache.Forget{Introducer: one}},
			view{sets{two: keys(a)}, map[string]cache.Stand{}, bytes(a), floors}},
		{"a floor raised", []cache.Op{newer.raised(false)},
			view{sets{one: keys(a, b), two: keys(a)}, tokens, bytes(a, b),
				map[cache.Key]cache.Floor{a.Key: newer.raised(false).Floor, b.Key: floors[b.Key]}}},
		{"a floor cannot be lowered", []cache.Op{newer.raised(true), newer.raised(false), a.raised(true)},
			view{sets{one: keys(a, b), two: keys(a)}, tokens, bytes(a, b),
				map[cache.Key]cache.Floor{a.Key: newer.raised(true).Floor, b.Key: floors[b.Key]}}},
		{"a floor's time", []cache.Op{later},
			view{sets{one: keys(a, b), two: keys(a)}, tokens, bytes(a, b),
				map[cache.Key]cache.Floor{a.Key: later.Floor, b.Key: floors[b.Key]}}},
		{"a floor forgotten", []cache.Op{cache.ForgetFloor{Key: a.Key}},
			view{sets{one: keys(a, b), two: keys(a)}, tokens, bytes(a, b), map[cache.Key]cache.Floor{b.Key: floors[b.Key]}}},
		{"a floor of no time", []cache.Op{cache.Raise{Key: cache.Key{Service: "x"}}},
			view{sets{one: keys(a, b), two: keys(a)}, tokens, bytes(a, b),
				map[cache.Key]cache.Floor{a.Key: floors[a.Key], b.Key: floors[b.Key], {Service: "x"}: {}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "peers")
			c, s := open(t, path, cache.Options{})
			wantView(t, s, newWorld().view())
			ok(t, c.Append(before...))
			ok(t, c.Append(test.ops...))
			ok(t, c.Close())
			s = reopen(t, path)
			wantView(t, s, test.want)
			if s.Notes != nil {
				t.Errorf("a sound file is said to be damaged: %q", s.Notes)
			}
			for d, a := range s.Announcements {
				parsed, err := announce.Parse(a.Signed.Message)
				ok(t, err)
				if diff := cmp.Diff(parsed, a.Said); diff != "" {
					t.Errorf("announcement %x says (-want +got):\n%s", d, diff)
				}
				if want := (cache.Key{Service: parsed.Service, ID: announce.PeerID(a.Signed.PeerID)}); a.Key() != want {
					t.Errorf("announcement %x is of %v, want %v", d, a.Key(), want)
				}
			}
			// Written anew, the file says the same.
			old, err := os.ReadFile(path)
			ok(t, err)
			anew, err := cache.Rewrite(old, verifier)
			ok(t, err)
			s, err = cache.Load(anew, verifier)
			ok(t, err)
			wantView(t, s, test.want)
		})
	}
}

// Only the owner may read what is kept: announcements may say how to reach a server that is nobody
// else's business.
func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes here")
	}
	path := filepath.Join(t.TempDir(), "a", "b", "peers")
	open(t, path, cache.Options{})
	got := map[string]fs.FileMode{}
	for _, name := range []string{"a", "a/b", "a/b/peers", "a/b/peers.lock"} {
		info, err := os.Stat(filepath.Join(path, "../../..", name))
		ok(t, err)
		got[name] = info.Mode().Perm()
	}
	if diff := cmp.Diff(map[string]fs.FileMode{"a": 0o700, "a/b": 0o700, "a/b/peers": 0o600, "a/b/peers.lock": 0o600}, got); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}

// What is refused is left as it is, says what to do, and bars nobody's way once it is gone.
func TestRefused(t *testing.T) {
	sound := cache.Wrapped(nil)
	newer := cache.HeaderOf(2)
	tests := []struct {
		name, file string
		want       error
	}{
		{"a text", "# my notes on the peers that I have met so far\n", cache.ErrNotOurs},
		{"a short text", "hello", cache.ErrNotOurs},
		{"zeros", strings.Repeat("\x00", 100), cache.ErrNotOurs},
		{"our header's beginning, then something else", "introducer's peer list is a long story that begins here", cache.ErrNotOurs},
		{"a newer version", string(newer) + "whatever that has", cache.ErrNewer},
		{"version 0", string(cache.HeaderOf(0)), cache.ErrNotOurs},
		{"another magic with a right sum", string(cache.OtherHeader()) + string(sound), cache.ErrNotOurs},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "peers")
			ok(t, os.WriteFile(path, []byte(test.file), 0o600))
			c, s, err := cache.Open(path, cache.Options{})
			if !errors.Is(err, test.want) || c != nil || s != nil || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want %v and the path", err, test.want)
			}
			got, err := os.ReadFile(path)
			ok(t, err)
			if string(got) != test.file {
				t.Errorf("the file was changed to %q", got)
			}
			ok(t, os.Remove(path))
			open(t, path, cache.Options{})
		})
	}
	t.Run("a directory", func(t *testing.T) {
		if _, _, err := cache.Open(t.TempDir(), cache.Options{}); err == nil {
			t.Error("it was opened")
		}
	})
	t.Run("below a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		ok(t, os.WriteFile(path, nil, 0o600))
		if _, _, err := cache.Open(filepath.Join(path, "peers"), cache.Options{}); err == nil {
			t.Error("it was opened")
		}
	})
}

func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	c, _ := open(t, path, cache.Options{})
	ok(t, c.Append(group(1)...))
	if _, _, err := cache.Open(path, cache.Options{}); !errors.Is(err, cache.ErrInUse) {
		t.Errorf("opened twice: got %v, want ErrInUse", err)
	}
	ok(t, c.Close())
	wantView(t, reopen(t, path), history(1).view())
}

// Many append and flush at once; what one appended is in its order.
func TestConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	c, _ := open(t, path, cache.Options{}.WithSlack(2000))
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			url := fmt.Sprintf("https://%d.example", n)
			for r := range uint64(40) {
				s := says(n, "storage", r%7)
				if err := c.Append(s.announced(url), s.raised(false), cache.Stand{Introducer: url, LogID: [16]byte{1}, Revision: r + 1}); err != nil {
					t.Error(err)
				}
				if r%10 == 0 {
					if err := c.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	ok(t, c.Close())
	w := newWorld()
	for n := range 8 {
		url := fmt.Sprintf("https://%d.example", n)
		last, top := says(n, "storage", 39%7), says(n, "storage", 6)
		w.apply(last.announced(url), top.raised(false), cache.Stand{Introducer: url, LogID: [16]byte{1}, Revision: 40})
	}
	wantView(t, reopen(t, path), w.view())
}

func TestClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	c, _ := open(t, path, cache.Options{})
	ok(t, c.Append())
	ok(t, c.Append(group(1)...))
	var closing sync.WaitGroup
	for range 3 {
		closing.Go(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closing.Wait()
	if err := c.Append(group(2)...); err != cache.ErrClosed {
		t.Errorf("Append after Close: got %v, want ErrClosed", err)
	}
	if err := c.Flush(context.Background()); err != cache.ErrClosed {
		t.Errorf("Flush after Close: got %v, want ErrClosed", err)
	}
	wantView(t, reopen(t, path), history(1).view())
}

// A process that is killed while it writes the file anew leaves the old file and a part of the new one.
func TestLeftover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	c, _ := open(t, path, cache.Options{})
	ok(t, c.Append(group(1)...))
	ok(t, c.Close())
	ok(t, os.WriteFile(path+".new", []byte("introducer's peer ca"), 0o600))
	wantView(t, reopen(t, path), history(1).view())
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the part of the new file is still there: %v", err)
	}
}
