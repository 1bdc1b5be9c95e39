package store_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// TestApply tells what sets and drops mean together.
func TestApply(t *testing.T) {
	key := func(e store.Entry) store.Key { return store.Key{Service: e.Service, PeerID: e.PeerID} }
	a, b, c := entry("helper", 1, 1), entry("storage", 1, 2), entry("storage", 2, 3)
	slicesOf := func(e ...store.Entry) []store.Entry { slices.SortFunc(e, byKey); return e }
	newer := entry("storage", 1, 9)
	for _, tc := range []struct {
		name string
		set  []store.Entry
		drop []store.Key
		want []store.Entry
	}{
		{"nothing", nil, nil, slicesOf(a, b, c)},
		{"a newer one", []store.Entry{newer}, nil, slicesOf(a, newer, c)},
		{"a drop", nil, []store.Key{key(b)}, slicesOf(a, c)},
		{"the last of a service", nil, []store.Key{key(a)}, slicesOf(b, c)},
		{"all", nil, []store.Key{key(c), key(a), key(b)}, nil},
		{"a drop twice", nil, []store.Key{key(b), key(b)}, slicesOf(a, c)},
		{"a drop of an unknown peer", nil, []store.Key{{Service: "storage", PeerID: peerID(3)}}, slicesOf(a, b, c)},
		{"a drop in an unknown service", nil, []store.Key{{Service: "introducer", PeerID: peerID(1)}}, slicesOf(a, b, c)},
		{"both set and dropped", []store.Entry{newer}, []store.Key{key(b)}, slicesOf(a, newer, c)},
		{"set twice", []store.Entry{entry("storage", 1, 8), newer}, nil, slicesOf(a, newer, c)},
		{"set to the older one", []store.Entry{newer, entry("storage", 1, 8)}, nil, slicesOf(a, entry("storage", 1, 8), c)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := create(t)
			x := open(t, path)
			if err := x.Apply(position(3), []store.Entry{c, a, b}, nil); err != nil {
				t.Fatal(err)
			}
			if err := x.Apply(position(9), tc.set, tc.drop); err != nil {
				t.Fatal(err)
			}
			wantEntries(t, x, tc.want)
			x.Close()
			x = open(t, path)
			if got, want := x.Position(), position(9); got != want {
				t.Errorf("position %+v, want %+v", got, want)
			}
			wantEntries(t, x, tc.want)
			x.Close()
			// Empty services leave nothing behind.
			want := map[string]bool{}
			for _, e := range tc.want {
				want[e.Service] = true
			}
			var text strings.Builder
			dump(t, &text, path)
			for _, service := range []string{"helper", "storage", "introducer"} {
				if got := strings.Contains(text.String(), fmt.Sprintf("bucket %q", service)); got != want[service] {
					t.Errorf("bucket %s is there: %v, want %v", service, got, want[service])
				}
			}
		})
	}
}

// TestApplyRefuses: what cannot be right ends the use of the index, and leaves the file as it was.
func TestApplyRefuses(t *testing.T) {
	good := entry("helper", 1, 5)
	with := func(change func(*store.Entry)) []store.Entry {
		e := entry("helper", 2, 6)
		change(&e)
		return []store.Entry{entry("helper", 3, 6), e}
	}
	at := position(6)
	other := at
	other.LogID[0]++
	fork := position(5)
	fork.Chain[0]++
	for _, tc := range []struct {
		name string
		p    store.Position
		set  []store.Entry
		want string
	}{
		{"another log", other, nil, "on an index of log"},
		{"going back", position(4), nil, "revision 4 on an index at 5"},
		{"another history", fork, nil, "another chain value at revision 5"},
		{"an entry from the future", at, with(func(e *store.Entry) { e.Revision = 7 }), "revision 7 is beyond the position 6"},
		{"no service", at, with(func(e *store.Entry) { e.Service = "" }), "service name of 0 bytes"},
		{"a long service", at, with(func(e *store.Entry) { e.Service = strings.Repeat("s", 65) }), "service name of 65 bytes"},
		{"no state", at, with(func(e *store.Entry) { e.State = 0 }), "state 0"},
		{"an unknown state", at, with(func(e *store.Entry) { e.State = 5 }), "state 5"},
		{"a long seed", at, with(func(e *store.Entry) { e.Seed = make([]byte, 65) }), "seed of 65 bytes"},
		{"a negative deadline", at, with(func(e *store.Entry) { e.Deadline = -1 }), "deadline -1ns"},
		{"announced too early", at, with(func(e *store.Entry) { e.Announced = time.Unix(-1<<40, 0) }), "announced: time"},
		{"first seen too late", at, with(func(e *store.Entry) { e.FirstSeen = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) }), "first seen: time"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := create(t)
			x := open(t, path)
			if err := x.Apply(position(5), []store.Entry{good}, nil); err != nil {
				t.Fatal(err)
			}
			err := x.Apply(tc.p, tc.set, nil)
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(fmt.Sprint(err), tc.want) {
				t.Errorf("Apply: %v, want ErrDamaged with %q", err, tc.want)
			}
			if err := x.Apply(at, nil, nil); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("Apply afterwards: %v, want ErrDamaged", err)
			}
			if _, err := load(x); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("Load afterwards: %v, want ErrDamaged", err)
			}
			if got, want := x.Position(), position(5); got != want {
				t.Errorf("position %+v, want %+v", got, want)
			}
			if err := x.Close(); err != nil {
				t.Error(err)
			}
			x = open(t, path)
			if got, want := x.Position(), position(5); got != want {
				t.Errorf("position when opened again %+v, want %+v", got, want)
			}
			wantEntries(t, x, []store.Entry{good})
		})
	}
}

// TestCallersMemory: what the caller does with its memory after a call, or between two entries of a
// sequence, does not reach the file, nor what Load gave out before.
func TestCallersMemory(t *testing.T) {
	var want []store.Entry
	seed, scratch := make([]byte, 52), store.Entry{}
	reused := func(yield func(store.Entry) bool) {
		for i := range 500 {
			scratch = entry("storage", uint64(i), wal.Revision(i+1))
			kept := scratch
			kept.Seed = slices.Repeat([]byte{byte(i)}, 52)
			want = append(want, kept)
			copy(seed, kept.Seed)
			scratch.Seed = seed
			if !yield(scratch) {
				return
			}
			clear(seed)
		}
	}
	path := filepath.Join(t.TempDir(), "index")
	if err := store.Build(path, position(500), reused); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want, byKey)
	x := open(t, path)
	wantEntries(t, x, want)

	set := slices.Clone(want)
	for i := range set {
		set[i].Revision += 500
		set[i].Seed = slices.Repeat([]byte{byte(i + 1)}, 32)
	}
	want = slices.Clone(set)
	for i := range want {
		want[i].Seed = slices.Clone(set[i].Seed)
	}
	drop := []store.Key{{Service: "storage", PeerID: peerID(1000)}}
	if err := x.Apply(position(1000), set, drop); err != nil {
		t.Fatal(err)
	}
	for i := range set {
		clear(set[i].Seed)
		set[i].PeerID[0]++
	}
	drop[0] = store.Key{Service: "storage", PeerID: want[0].PeerID}
	wantEntries(t, x, want)

	before, err := load(x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range before { // extending one seed must not reach the next
		_ = append(before[i].Seed, 0xee)
	}
	if err := x.Apply(position(1001), nil, nil); err != nil { // the editor's memory is used again
		t.Fatal(err)
	}
	x.Close()
	if d := gocmp.Diff(want, before); d != "" {
		t.Errorf("what was loaded before (-want +got):\n%s", d)
	}
	wantEntries(t, open(t, path), want)
}

// TestLoadStops: the caller's errors, panics and exits pass through Load and leave the index usable.
func TestLoadStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	p, want := golden()
	if err := store.Build(path, p, slices.Values(want)); err != nil {
		t.Fatal(err)
	}
	x := open(t, path)

	enough := errors.New("enough")
	n := 0
	err := x.Load(func(store.Entry) error {
		if n++; n == 2 {
			return enough
		}
		return nil
	})
	if err != enough || n != 2 {
		t.Errorf("Load: %v after %d entries, want %v after 2", err, n, enough)
	}

	func() {
		defer func() {
			if got := recover(); got != "mine" {
				t.Errorf("recovered %v, want the caller's own panic", got)
			}
		}()
		x.Load(func(store.Entry) error { panic("mine") })
		t.Error("Load returned from the caller's panic")
	}()

	wantEntries(t, x, want)
	if err := x.Apply(p, nil, []store.Key{{Service: "s", PeerID: want[3].PeerID}}); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, x, want[:3])
}

// TestBuildOrders builds of more entries than one transaction takes, in and out of order, with keys
// that come twice, far apart.
func TestBuildOrders(t *testing.T) {
	const n = 40_000
	rng := rand.New(rand.NewPCG(7, 8))
	var ascending []store.Entry
	for i := range n {
		ascending = append(ascending, entry([]string{"download_storage", "upload_storage"}[i%2], uint64(i), wal.Revision(i+1)))
	}
	slices.SortFunc(ascending, byKey)
	random := slices.Clone(ascending)
	rng.Shuffle(n, func(i, j int) { random[i], random[j] = random[j], random[i] })
	descending := slices.Clone(ascending)
	slices.Reverse(descending)
	changed := slices.Clone(random)
	for i := range changed {
		changed[i].Seqnum++
		changed[i].Revision += n
	}
	late := slices.Concat(ascending[:n-1000], random[n-1000:]) // keys twice, all but some keys once
	for _, tc := range []struct {
		name    string
		entries []store.Entry
	}{
		{"ascending", ascending},
		{"random", random},
		{"descending", descending},
		{"ascending, then random", late},
		{"the same key each time", slices.Repeat(ascending[:1], 20_000)},
		{"all twice, the second time otherwise", slices.Concat(ascending, changed)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := model{}
			want.apply(tc.entries, nil)
			path := filepath.Join(t.TempDir(), "index")
			if err := store.Build(path, position(2*n), slices.Values(tc.entries)); err != nil {
				t.Fatal(err)
			}
			x := open(t, path)
			got, err := load(x)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got, want.sorted(), same) || x.Len() != len(want) {
				t.Errorf("got %d entries other than the %d wanted", len(got), len(want))
			}
		})
	}
}

// TestBuildStops: a Build that cannot end leaves nothing; neither does it touch what is there.
func TestBuildStops(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "index")
	bad := entry("helper", 1, 2)
	bad.State = 9
	err := store.Build(path, position(2), slices.Values([]store.Entry{entry("helper", 0, 1), bad}))
	if err == nil || errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "state 9") {
		t.Errorf("Build with a bad entry: %v", err)
	}
	func() {
		defer func() { recover() }()
		store.Build(path, position(2), func(func(store.Entry) bool) { panic("source") })
	}()
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}

	if err := os.WriteFile(path, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(path, logID); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a file: %v, want fs.ErrExist", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "something" {
		t.Errorf("the file that was there holds %q, %v", got, err)
	}
	if err := store.Create(filepath.Join(dir, "none", "index"), logID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create in no directory: %v, want fs.ErrNotExist", err)
	}
}

// TestMaxSize: an index that may not grow refuses, dies, and is what it was when opened again.
func TestMaxSize(t *testing.T) {
	path := create(t)
	x, err := store.Open(path, store.Options{MaxSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var want []store.Entry
	rev := wal.Revision(0)
	for err == nil {
		var set []store.Entry
		for range 100 {
			rev++
			set = append(set, entry("storage", uint64(rev), rev))
		}
		if err = x.Apply(position(rev), set, nil); err == nil {
			want = append(want, set...)
		}
		if rev > 100_000 {
			t.Fatal("it never refused")
		}
	}
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Apply: %v, want ErrDamaged", err)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 256<<10 {
		t.Errorf("the file has grown to %d bytes, %v", info.Size(), err)
	}
	x = open(t, path)
	slices.SortFunc(want, byKey)
	wantEntries(t, x, want)
	if got, want := x.Position(), position(rev-100); got != want {
		t.Errorf("position %+v, want %+v", got, want)
	}
}
