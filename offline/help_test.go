package offline_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/offline"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/wal"
)

// grid is a data directory in which something of everything happened, over some runs.
type grid struct {
	t     testing.TB
	dir   string
	clock atomic.Int64 // ns after began
}

var began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func newGrid(t testing.TB) *grid { return &grid{t: t, dir: filepath.Join(t.TempDir(), "data")} }

func (g *grid) now() time.Time { return began.Add(time.Duration(g.clock.Load())) }

// run opens the introducer for one run.
func (g *grid) run(do func(r *registry.Registry)) {
	g.t.Helper()
	r := registrytest.Open(g.t, g.dir, registry.Options{Now: g.now})
	do(r)
	registrytest.Close(g.t, r)
}

func (g *grid) publish(r *registry.Registry, name string, a announce.Announcement) {
	g.t.Helper()
	g.clock.Add(int64(time.Minute))
	if a.Service == "" {
		a.Service = announce.Storage
	}
	for _, res := range registrytest.Publish(g.t, r, registrytest.Sign(g.t, registrytest.Key(name), a)) {
		if res.Outcome.Refused() {
			g.t.Fatalf("publishing for %s: %v %s", name, res.Outcome, res.Reason)
		}
	}
}

// names are the peers that first announces.
var names = []string{"a", "b", "c", "d", "e", "f", "g", "h"}

// first is a run in which all appear.
func (g *grid) first() {
	g.run(func(r *registry.Registry) {
		for _, n := range names {
			g.publish(r, n, announce.Announcement{Seqnum: 1, Nickname: "node " + n, Endpoints: []string{"https://" + n + ".test"}})
			g.publish(r, n, announce.Announcement{Service: "download_storage", Seqnum: 1, PermutationSeed: []byte(n)})
		}
	})
}

// second is a run in which some come again and some leave, in each of the ways there are.
func (g *grid) second() {
	g.run(func(r *registry.Registry) {
		g.publish(r, "a", announce.Announcement{Seqnum: 2, Nickname: "again"})
		g.publish(r, "b", announce.Announcement{Seqnum: 5, Withdrawn: true})
		g.publish(r, "i", announce.Announcement{Seqnum: 1, TTL: time.Hour})
		g.publish(r, "j", announce.Announcement{Seqnum: 1, TTL: 1000 * time.Hour})
		if n, err := r.Evict(g.t.Context(), registrytest.Key("c").PeerID(), announce.Storage); n != 1 || err != nil {
			g.t.Fatalf("evicting: %d, %v", n, err)
		}
		// i expires with the next that is written.
		g.clock.Add(int64(2 * time.Hour))
		g.publish(r, "d", announce.Announcement{Seqnum: 3})
	})
}

// third is a run in which some of those who left are back.
func (g *grid) third() {
	g.run(func(r *registry.Registry) {
		g.publish(r, "c", announce.Announcement{Seqnum: 1, Nickname: "node c", Endpoints: []string{"https://c.test"}})
		g.publish(r, "b", announce.Announcement{Seqnum: 6, Nickname: "back"})
		g.publish(r, "h", announce.Announcement{Service: "download_storage", Seqnum: 2, Withdrawn: true})
	})
}

// compact is a run that drops all that need not stay.
func (g *grid) compact() {
	g.t.Helper()
	r := registrytest.Open(g.t, g.dir, registry.Options{Now: g.now, RetainHistory: -1, RetainTombstones: -1})
	if err := r.Compact(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	registrytest.Close(g.t, r)
}

// compactHistory is one that keeps tombstones.
func (g *grid) compactHistory() {
	g.t.Helper()
	r := registrytest.Open(g.t, g.dir, registry.Options{Now: g.now, RetainHistory: -1})
	if err := r.Compact(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	registrytest.Close(g.t, r)
}

// story is all that happens to a grid, in order.
func (g *grid) story() []func() {
	return []func(){
		func() { g.run(func(*registry.Registry) {}) },
		g.first, g.second, g.compactHistory, g.third, g.compact,
		func() {
			g.run(func(r *registry.Registry) { // below seqnums that are forgotten
				g.publish(r, "h", announce.Announcement{Service: "download_storage", Seqnum: 1})
				g.publish(r, "e", announce.Announcement{Seqnum: 2, Withdrawn: true})
			})
		},
	}
}

// state is what a subscriber to everything holds, and where the log stands.
type state struct {
	LogID  wal.LogID
	First  wal.Revision
	Last   wal.Revision
	Peers  int
	Lost   bool
	Digest [32]byte
	Gone   []string // tombstones, "service peer revision state"
}

// stateOf starts an introducer on dir and asks it.
func stateOf(t testing.TB, dir string) (s state, err error) {
	t.Helper()
	d, err := datadir.Open(dir, datadir.Options{MustExist: true, Fatal: func(error) {}})
	if err != nil {
		return s, err
	}
	r, err := registry.Open(t.Context(), d, registry.Options{Now: func() time.Time { return began }})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	i := r.Info()
	s = state{LogID: i.LogID, First: i.First, Last: i.Last, Peers: i.Peers, Lost: i.Lost != nil}
	// From revision 0 and not from nothing: tombstones are told, too.
	sub := r.Subscribe(nil, &registry.Token{LogID: i.LogID, Revision: i.First - 1})
	defer sub.Close()
	for {
		b, err := sub.Next(t.Context(), time.Hour)
		if err != nil {
			return s, err
		}
		for _, p := range b.Changes {
			if p.State != registry.Live {
				s.Gone = append(s.Gone, string(p.Service)+" "+p.ID.String()+" "+p.State.String())
				continue
			}
			if _, _, err := r.Announcement(p); err != nil {
				return s, err
			}
		}
		if b.AtHead {
			s.Digest = b.Digest
			return s, nil
		}
	}
}

func mustState(t testing.TB, dir string) state {
	t.Helper()
	s, err := stateOf(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// copyTree copies a directory.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// files are the paths below dir of all that it holds, in order.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path[len(dir)+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// contents is every file below dir, but for locks. :: path → bytes
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range files(t, dir) {
		if filepath.Base(name) == "LOCK" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(b)
	}
	return all
}

func verify(t testing.TB, dir string) offline.Report {
	t.Helper()
	r, err := offline.Verify(t.Context(), dir, offline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// backupOf is a backup of a directory.
func backupOf(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, _, err := offline.Backup(t.Context(), &b, dir, offline.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func restore(t testing.TB, from io.Reader, dir string) offline.Restored {
	t.Helper()
	r, err := offline.Restore(context.Background(), from, dir, offline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
