package store_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// TestModel applies random transactions and reopens at random moments: the index is always what a
// map would be (I3), and its file what bbolt's own check accepts.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	rounds := 0
	rapid.Check(t, func(rt *rapid.T) {
		rounds++
		path := filepath.Join(dir, "index"+time.Duration(rounds).String())
		if err := store.Create(path, logID); err != nil {
			rt.Fatal(err)
		}
		x, err := store.Open(path, store.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { x.Close() }()

		want := model{}
		at := position(0)
		services := rapid.SampledFrom([]string{"s", "helper", "storage", "upload_storage", "download_storage"})
		peers := rapid.Uint64Range(0, 300)
		key := rapid.Custom(func(t *rapid.T) store.Key {
			return store.Key{Service: services.Draw(t, "service"), PeerID: peerID(peers.Draw(t, "peer"))}
		})
		check := func(rt *rapid.T) {
			if got := x.Position(); got != at {
				rt.Fatalf("position %+v, want %+v", got, at)
			}
			got, err := load(x)
			if err != nil {
				rt.Fatal(err)
			}
			if !slices.EqualFunc(got, want.sorted(), same) {
				rt.Fatalf("got %d entries other than the %d wanted", len(got), len(want))
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"apply": func(rt *rapid.T) {
				at = position(at.Revision + wal.Revision(rapid.IntRange(0, 20).Draw(rt, "ahead")))
				var set []store.Entry
				if at.Revision > 0 {
					set = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) store.Entry {
						r := rapid.Uint64Range(1, uint64(at.Revision)).Draw(t, "revision")
						return entry(services.Draw(t, "service"), peers.Draw(t, "peer"), wal.Revision(r))
					}), 0, 120).Draw(rt, "set")
				}
				drop := rapid.SliceOfN(key, 0, 60).Draw(rt, "drop")
				if err := x.Apply(at, set, drop); err != nil {
					rt.Fatal(err)
				}
				want.apply(set, drop)
			},
			"drop most": func(rt *rapid.T) {
				var drop []store.Key
				keep := rapid.IntRange(1, 10).Draw(rt, "keep one in")
				for i, e := range want.sorted() {
					if i%keep != 0 {
						drop = append(drop, store.Key{Service: e.Service, PeerID: e.PeerID})
					}
				}
				if err := x.Apply(at, nil, drop); err != nil {
					rt.Fatal(err)
				}
				want.apply(nil, drop)
			},
			"reopen": func(rt *rapid.T) {
				if err := x.Close(); err != nil {
					rt.Fatal(err)
				}
				bboltCheck(rt, path)
				if x, err = store.Open(path, store.Options{}); err != nil {
					rt.Fatal(err)
				}
			},
			"build anew": func(rt *rapid.T) {
				if err := x.Close(); err != nil {
					rt.Fatal(err)
				}
				path += "'"
				all := rapid.Permutation(want.sorted()).Draw(rt, "order")
				if err := store.Build(path, at, slices.Values(all)); err != nil {
					rt.Fatal(err)
				}
				bboltCheck(rt, path)
				if x, err = store.Open(path, store.Options{}); err != nil {
					rt.Fatal(err)
				}
			},
			"": check,
		})
	})
}

func same(a, b store.Entry) bool {
	return a.Service == b.Service && a.PeerID == b.PeerID && a.State == b.State && a.Revision == b.Revision &&
		a.Seqnum == b.Seqnum && a.Announced.Equal(b.Announced) && a.FirstSeen.Equal(b.FirstSeen) &&
		a.Deadline == b.Deadline && a.Digest == b.Digest &&
		slices.Equal(a.Seed, b.Seed) && (a.Seed == nil) == (b.Seed == nil)
}

// bboltCheck asks bbolt itself whether the file is sound.
func bboltCheck(t interface{ Fatal(...any) }, path string) {
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = err
			}
		}
		return first
	}); err != nil {
		t.Fatal("bbolt's check: ", err)
	}
}

// TestGrowth goes through tens of thousands of entries, so that the tree is three pages deep, with
// long freelists: transactions of all sizes, then down to nothing.
func TestGrowth(t *testing.T) {
	path := create(t)
	x := open(t, path)
	want := model{}
	at := position(0)
	rev := wal.Revision(0)
	step := func(set []store.Entry, drop []store.Key) {
		t.Helper()
		at = position(rev)
		if err := x.Apply(at, set, drop); err != nil {
			t.Fatal(err)
		}
		want.apply(set, drop)
	}
	reopen := func() {
		t.Helper()
		x.Close()
		x = open(t, path)
		if got := x.Position(); got != at {
			t.Errorf("position %+v, want %+v", got, at)
		}
		got, err := load(x)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want.sorted(), same) {
			t.Fatalf("got %d entries other than the %d wanted", len(got), len(want))
		}
	}
	services := []string{"download_storage", "upload_storage"}
	for peer, n := uint64(0), 1; peer < 20_000; n = n*3 + 1 {
		var set []store.Entry
		for range min(n, 3000) {
			rev++
			set = append(set, entry(services[peer%2], peer/2, rev))
			peer++
		}
		step(set, nil)
	}
	reopen()
	for n, all := 1, want.sorted(); len(all) > 0; n = n*2 + 1 {
		var drop []store.Key
		for range min(n, len(all), 2000) {
			i := (n * 7919) % len(all)
			drop = append(drop, store.Key{Service: all[i].Service, PeerID: all[i].PeerID})
			all = slices.Delete(all, i, i+1)
		}
		rev++
		step([]store.Entry{entry("helper", 1, rev)}, drop)
		if len(all)%3 == 0 {
			reopen()
		}
	}
	reopen()
	x.Close()
	bboltCheck(t, path)
}
