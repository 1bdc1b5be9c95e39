package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// latest is the newest state of everything known, tombstones too.
func latest(t *testing.T, r *registry.Registry) []*registry.Peer {
	t.Helper()
	return registry.States(r)
}

func peer(t *testing.T, r *registry.Registry, key string) *registry.Peer {
	t.Helper()
	p, ok := r.View("storage").Peers.Get(registrytest.Key(key).PeerID())
	if !ok {
		t.Fatalf("%s is not served", key)
	}
	return p
}

func removeIndex(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "grid", "index")); err != nil {
		t.Fatal(err)
	}
}

// A replay holds on to what is current, however often it changed.
func TestReplayGrowsWithPeersOnly(t *testing.T) {
	key := registrytest.Key("a")
	var records []wal.Record
	for n := range 4000 {
		s := key.Sign(fmt.Appendf(nil, `{"service-name":"storage","seqnum":%d}`, n))
		payload := append(make([]byte, 8), s.PeerID...)
		payload = append(append(payload, s.Signature...), s.Message...)
		records = append(records, wal.Record{Revision: wal.Revision(n + 1), Kind: 1, Payload: payload, Time: time.Unix(1, 0)})
	}
	placed, tail, err := registry.LoaderSize(records)
	if err != nil {
		t.Fatal(err)
	}
	if placed > 1500 || tail != 1 {
		t.Errorf("of one peer %d states are held and %d for the index; want no more than 1,500 and 1", placed, tail)
	}
}

// A time to live ends at the same reading of the introducer's clock for the registry that
// accepted it, for the index and for a replay, even if the log's clock is ahead of the
// registry's own.
func TestDeadlinesSurvive(t *testing.T) {
	dir := t.TempDir()
	d, err := datadir.Open(dir, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(t.Context(), d, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Log.Beat(time.Minute)
	populate(t, r)
	deadlines := func() map[wal.Revision]time.Duration {
		all := make(map[wal.Revision]time.Duration)
		for _, p := range latest(t, r) {
			all[p.Revision] = registry.Deadline(p)
		}
		return all
	}
	want := deadlines()
	mortal := 0
	for _, d := range want {
		if d != 0 {
			mortal++
		}
	}
	// Of 59 with a time to live three were replaced, two of them by a withdrawal or eviction.
	if mortal != 56 {
		t.Fatalf("%d have a deadline, want 56", mortal)
	}
	for _, how := range []string{"from the index", "from the log", "from the index built from the log"} {
		registrytest.Close(t, r)
		if how == "from the log" {
			removeIndex(t, dir)
		}
		r = registrytest.Open(t, dir, registry.Options{})
		if diff := cmp.Diff(want, deadlines()); diff != "" {
			t.Errorf("deadlines %s (-accepted +known):\n%s", how, diff)
		}
	}
	registrytest.Close(t, r)
}

// A crash forgets no more of the running time than one heartbeat.
func TestCrashForgetsOneHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, crashed := t.TempDir(), t.TempDir()
		r := registrytest.Open(t, dir, registry.Options{Heartbeat: time.Second})
		defer registrytest.Close(t, r)
		registrytest.Publish(t, r, said(t, "a", "storage", 1, ttl(time.Minute)))
		time.Sleep(30*time.Second + 500*time.Millisecond)
		synctest.Wait()
		// What a power cut would leave: all is synced that anyone waits for.
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		again := registrytest.Open(t, crashed, registry.Options{})
		defer registrytest.Close(t, again)
		if left := time.Until(peer(t, again, "a").Expires()); left != 30*time.Second {
			t.Errorf("%v are left to live, want 30 s: the last heartbeat is half a second old", left)
		}
	})
}

// The first announcement's time stays with its peer through all that happens to it, and over
// restarts; what is known since stays apart.
func TestFirstSeenStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := registrytest.Open(t, dir, registry.Options{})
		defer func() { registrytest.Close(t, r) }()
		first := time.Now().UTC()
		registrytest.Publish(t, r, said(t, "a", "storage", 1))
		steps := []struct {
			name string
			do   func()
			want registry.State
		}{
			{"renewed", func() { registrytest.Publish(t, r, said(t, "a", "storage", 2)) }, registry.Live},
			{"withdrawn", func() { registrytest.Publish(t, r, said(t, "a", "storage", 3, withdrawn)) }, registry.Withdrawn},
			{"back", func() { registrytest.Publish(t, r, said(t, "a", "storage", 4)) }, registry.Live},
			{"evicted", func() {
				if _, err := r.Evict(t.Context(), registrytest.Key("a").PeerID()); err != nil {
					t.Fatal(err)
				}
			}, registry.Evicted},
			{"said again", func() { registrytest.Publish(t, r, said(t, "a", "storage", 4)) }, registry.Live},
			{"with a time to live", func() { registrytest.Publish(t, r, said(t, "a", "storage", 5, ttl(time.Hour))) }, registry.Live},
			{"expired", func() { synctest.Wait() }, registry.Expired},
			{"back again", func() { registrytest.Publish(t, r, said(t, "a", "storage", 6)) }, registry.Live},
		}
		for i, step := range steps {
			time.Sleep(time.Hour)
			step.do()
			changed := time.Now().UTC()
			for _, how := range []string{"at once", []string{"from the index", "from the log"}[i%2]} {
				if how != "at once" {
					registrytest.Close(t, r)
					if how == "from the log" {
						removeIndex(t, dir)
					}
					r = registrytest.Open(t, dir, registry.Options{})
				}
				all := latest(t, r)
				if len(all) != 1 || all[0].State != step.want {
					t.Fatalf("%s, %s: %d states, want one that is %v", step.name, how, len(all), step.want)
				}
				if p := all[0]; !p.FirstSeen().Equal(first) || !p.Announced().Equal(changed) {
					t.Errorf("%s, %s: first seen %v, announced %v; want %v and %v", step.name, how, p.FirstSeen(), p.Announced(), first, changed)
				}
			}
		}
	})
}

// What an index lacks at the start reaches it with the first group that follows, or it would
// be lost when that moves its position.
func TestIndexCatchesUp(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "grid", "index")
	r := registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1))
	registrytest.Close(t, r)
	behind, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	r = registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "b", "storage", 2, withdrawn), said(t, "c", "storage", 1))
	registrytest.Close(t, r)
	if err := os.WriteFile(index, behind, 0o600); err != nil {
		t.Fatal(err)
	}

	r = registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "d", "storage", 1))
	want := stateOf(t, r)
	if len(want.Peers) != 4 {
		t.Fatalf("%d states, want 4", len(want.Peers))
	}
	registrytest.Close(t, r)
	x, err := store.Open(index, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := x.Position().Revision
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if at != 5 {
		t.Errorf("the index stands at revision %d, want 5", at)
	}
	r = registrytest.Open(t, dir, registry.Options{})
	defer registrytest.Close(t, r)
	if diff := cmp.Diff(want, stateOf(t, r)); diff != "" {
		t.Errorf("state from the index (-want +got):\n%s", diff)
	}
}

// An introducer whose index cannot be built serves and publishes without, and builds it when
// it can.
func TestIndexCannotBeBuilt(t *testing.T) {
	dir := t.TempDir()
	r := registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "a", "storage", 1))
	registrytest.Close(t, r)
	removeIndex(t, dir)
	obstacle := filepath.Join(dir, "grid", "index.new-build") // as good as a full disk
	if err := os.MkdirAll(filepath.Join(obstacle, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	r = registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "b", "storage", 1))
	want := stateOf(t, r)
	if len(want.Peers) != 2 {
		t.Errorf("%d states, want 2", len(want.Peers))
	}
	registrytest.Close(t, r)
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r = registrytest.Open(t, dir, registry.Options{})
		if diff := cmp.Diff(want, stateOf(t, r)); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		registrytest.Close(t, r)
	}
	if _, err := os.Stat(filepath.Join(dir, "grid", "index")); err != nil {
		t.Errorf("the index was not built once it could be: %v", err)
	}
}

// rewriteIndex replaces the index by one that says something else.
func rewriteIndex(t *testing.T, dir string, change func(*store.Position, []store.Entry)) {
	t.Helper()
	path := filepath.Join(dir, "grid", "index")
	x, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := x.Position()
	var entries []store.Entry
	err = x.Load(func(e store.Entry) error {
		e.Seed = bytes.Clone(e.Seed)
		entries = append(entries, e)
		return nil
	})
	if err := errors.Join(err, x.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	change(&at, entries)
	err = store.Build(path, at, func(yield func(store.Entry) bool) {
		for _, e := range entries {
			if !yield(e) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// An index that saw another record at a place of the log proves that history was replaced:
// nobody's token means what it meant.
func TestOtherHistoryResumesNobody(t *testing.T) {
	dir := t.TempDir()
	r := registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1))
	id := r.Info().LogID
	registrytest.Close(t, r)
	rewriteIndex(t, dir, func(at *store.Position, _ []store.Entry) { at.Chain[0] ^= 1 })
	r = registrytest.Open(t, dir, registry.Options{})
	defer registrytest.Close(t, r)
	if lost := r.Info().Lost; lost == nil || lost.Reason != wal.ReasonOtherChain {
		t.Fatalf("lost %v, want another chain", lost)
	}
	for rev := range wal.Revision(3) {
		s, m := subscribe(t, r, nil, &registry.Token{LogID: id, Revision: rev}, registry.ResetOtherLog)
		m.catchUp(t, s)
		if len(m.peers) != 2 {
			t.Errorf("after the reset from revision %d: %d peers, want 2", rev, len(m.peers))
		}
	}
}

// An index that points to somebody else's record gets nobody another's announcement.
func TestIndexPointsElsewhere(t *testing.T) {
	dir := t.TempDir()
	r := registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1))
	registrytest.Close(t, r)
	rewriteIndex(t, dir, func(_ *store.Position, entries []store.Entry) {
		entries[0].Revision, entries[1].Revision = entries[1].Revision, entries[0].Revision
	})
	r = registrytest.Open(t, dir, registry.Options{})
	defer registrytest.Close(t, r)
	for _, key := range []string{"a", "b"} {
		if _, _, err := r.Announcement(peer(t, r, key)); !errors.Is(err, registry.ErrDamaged) {
			t.Errorf("%s: got %v, want ErrDamaged", key, err)
		}
	}
}

// That the log is closed is no damage.
func TestClosingIsNoDamage(t *testing.T) {
	r := registrytest.Open(t, t.TempDir(), registry.Options{})
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1))
	a, log := peer(t, r, "a"), r.ReadLog(t.Context(), 0, registry.Filter{})
	registrytest.Close(t, r)
	if _, _, err := r.Announcement(a); !errors.Is(err, registry.ErrClosed) || errors.Is(err, registry.ErrDamaged) {
		t.Errorf("Announcement: %v, want ErrClosed", err)
	}
	for rec, err := range log {
		if !errors.Is(err, registry.ErrClosed) || errors.Is(err, registry.ErrDamaged) {
			t.Errorf("ReadLog: revision %d, %v; want ErrClosed", rec.Revision, err)
		}
	}
	if _, err := r.Evict(t.Context(), a.ID); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Evict: %v, want ErrClosed", err)
	}
}

// An opening that was called off lets go of the directory.
func TestOpeningCalledOff(t *testing.T) {
	dir := t.TempDir()
	registrytest.Close(t, registrytest.Open(t, dir, registry.Options{}))
	d, err := datadir.Open(dir, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := registry.Open(ctx, d, registry.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v; want context.Canceled", r, err)
	}
	registrytest.Close(t, registrytest.Open(t, dir, registry.Options{}))
}

// decay flips a bit in the record at r.
func decay(t *testing.T, dir string, r wal.Revision) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, "grid", "log"), &pebble.Options{FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("r\x00\x00\x00\x00\x00\x00\x00" + string([]byte{byte(r)}))
	v, closer, err := db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	v = bytes.Clone(v)
	closer.Close()
	v[60] ^= 4
	if err := errors.Join(db.Set(key, v, pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A record that decayed below those checked at the start is named when it is read; its
// neighbours, and the lookup of its own peer, go on.
func TestDecayedDeepDown(t *testing.T) {
	dir := t.TempDir()
	r := registrytest.Open(t, dir, registry.Options{})
	items := []announce.Signed{said(t, "a", "storage", 1), said(t, "b", "storage", 1), said(t, "c", "storage", 1)}
	for n := range uint64(1024) {
		items = append(items, said(t, "busy", "helper", n))
	}
	registrytest.Publish(t, r, items...)
	registrytest.Close(t, r)
	decay(t, dir, 2)

	r = registrytest.Open(t, dir, registry.Options{})
	for _, key := range []string{"a", "c"} {
		if _, _, err := r.Announcement(peer(t, r, key)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	named := func(what string, err error) {
		t.Helper()
		var corrupt *wal.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Revision != 2 || !strings.Contains(err.Error(), "2") {
			t.Errorf("%s: got %v, want a CorruptError that names revision 2", what, err)
		}
	}
	b := peer(t, r, "b")
	_, _, err := r.Announcement(b)
	if named("Announcement", err); !errors.Is(err, registry.ErrDamaged) {
		t.Errorf("Announcement: got %v, want ErrDamaged", err)
	}
	read := 0
	for _, err = range r.ReadLog(t.Context(), 0, registry.Filter{}) {
		if err == nil {
			read++
		}
	}
	if named("ReadLog", err); !errors.Is(err, registry.ErrDamaged) || read != 1 {
		t.Errorf("ReadLog: %d records and %v; want 1 and ErrDamaged", read, err)
	}
	// Its node says something newer, and all is well with it again.
	registrytest.Publish(t, r, said(t, "b", "storage", 2))
	if _, _, err := r.Announcement(peer(t, r, "b")); err != nil {
		t.Error(err)
	}
	registrytest.Close(t, r)

	// Without the index nothing stands in for it: what it said is not guessed, and no new history is
	// written on top of one with a hole in it. The rest is served.
	removeIndex(t, dir)
	r = registrytest.Open(t, dir, registry.Options{})
	defer registrytest.Close(t, r)
	if lost := r.Info().Lost; lost == nil || lost.Reason != wal.ReasonDamaged || lost.Damage.Revision != 2 {
		t.Errorf("lost %v, want damage at revision 2", lost)
	}
	for _, key := range []string{"a", "b", "c"} {
		if _, _, err := r.Announcement(peer(t, r, key)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := r.Publish(t.Context(), items[:1]); !errors.Is(err, registry.ErrQuarantined) {
		t.Errorf("Publish: %v, want ErrQuarantined", err)
	}
	if err := r.Compact(t.Context()); !errors.Is(err, registry.ErrQuarantined) {
		t.Errorf("Compact: %v, want ErrQuarantined", err)
	}
}
