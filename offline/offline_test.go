package offline_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/introducer/introducer/backup"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/offline"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

func TestVerifyFindsNothing(t *testing.T) {
	g := newGrid(t)
	for i, run := range g.story() {
		run()
		before := contents(t, g.dir)
		r := verify(t, g.dir)
		if r.Findings != nil {
			t.Errorf("after run %d: got findings %+v", i, r.Findings)
		}
		if diff := cmp.Diff(contents(t, g.dir), before); diff != "" {
			t.Errorf("after run %d: verifying changed the directory (-after +before):\n%s", i, diff)
		}
		s := mustState(t, g.dir)
		want := offline.Report{LogID: s.LogID, Head: s.Last, Peers: s.Peers, Digest: s.Digest}
		if diff := cmp.Diff(r, want, cmpopts.IgnoreFields(offline.Report{}, "HeadTime", "Records")); diff != "" {
			t.Errorf("after run %d: report (-got +want):\n%s", i, diff)
		}
	}
	if r, s := verify(t, g.dir), mustState(t, g.dir); r.Records >= uint64(s.Last) || s.First == 1 {
		t.Errorf("%d records up to revision %d, resumed from %d: compaction did nothing", r.Records, s.Last, s.First)
	}
}

// An index that lags is no finding: the next start brings it up to date.
func TestVerifyAnIndexThatLags(t *testing.T) {
	g := newGrid(t)
	g.first()
	index := filepath.Join(g.dir, "grid", "index")
	old, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	g.second()
	g.third()
	if err := os.WriteFile(index, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, g.dir); r.Findings != nil {
		t.Errorf("got findings %+v", r.Findings)
	}

	// It may know of some who left since and are forgotten.
	r := registrytest.Open(t, g.dir, registry.Options{Now: g.now, RetainTombstones: -1})
	if err := r.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	registrytest.Close(t, r)
	if err := os.WriteFile(index, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, g.dir); r.Findings != nil {
		t.Errorf("got findings %+v", r.Findings)
	}
}

func TestCannotLook(t *testing.T) {
	g := newGrid(t)
	g.first()
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "mail"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "newer")
	copyTree(t, g.dir, newer)
	if err := os.WriteFile(filepath.Join(newer, "grid", "SCHEMA"), []byte("introducer data directory\nlog 99\nindex 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		name, dir string
		want      error
	}{
		{"missing", missing, fs.ErrNotExist},
		{"foreign", foreign, datadir.ErrNotOurs},
		{"newer", newer, datadir.ErrNewer},
	} {
		if _, err := offline.Verify(t.Context(), c.dir, offline.Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s: Verify gives %v, want %v", c.name, err, c.want)
		}
		if _, err := offline.RebuildIndex(t.Context(), c.dir, offline.Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s: RebuildIndex gives %v, want %v", c.name, err, c.want)
		}
		if _, _, err := offline.Backup(t.Context(), io.Discard, c.dir, offline.Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s: Backup gives %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Error("looking made a directory")
	}

	g.run(func(*registry.Registry) {
		if _, err := offline.Verify(t.Context(), g.dir, offline.Options{}); !errors.Is(err, datadir.ErrInUse) {
			t.Errorf("in use: Verify gives %v", err)
		}
		if _, err := offline.RebuildIndex(t.Context(), g.dir, offline.Options{}); !errors.Is(err, datadir.ErrInUse) {
			t.Errorf("in use: RebuildIndex gives %v", err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := offline.Verify(ctx, g.dir, offline.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: Verify gives %v", err)
	}
}

func TestRebuildIndex(t *testing.T) {
	g := newGrid(t)
	for _, run := range g.story() {
		run()
	}
	index := filepath.Join(g.dir, "grid", "index")
	want := entries(t, index)
	for _, c := range []struct {
		name  string
		spoil func() error
	}{
		{"good", func() error { return nil }},
		{"gone", func() error { return os.Remove(index) }},
		{"empty", func() error { return os.Truncate(index, 0) }},
		{"rubbish", func() error { return os.WriteFile(index, bytes.Repeat([]byte("no index"), 4096), 0o600) }},
		{"of another log", func() error {
			return errors.Join(os.Remove(index), store.Create(index, wal.LogID{1}))
		}},
	} {
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		r, err := offline.RebuildIndex(t.Context(), g.dir, offline.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(entries(t, index), want); diff != "" {
			t.Errorf("%s: index (-got +want):\n%s", c.name, diff)
		}
		if r.Entries != len(want) {
			t.Errorf("%s: got %d entries, want %d", c.name, r.Entries, len(want))
		}
		if r := verify(t, g.dir); r.Findings != nil {
			t.Errorf("%s: findings afterwards: %+v", c.name, r.Findings)
		}
	}
}

// entries is all that an index holds.
func entries(t *testing.T, path string) []store.Entry {
	t.Helper()
	x, err := store.Open(path, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var all []store.Entry
	err = x.Load(func(e store.Entry) error {
		e.Seed = bytes.Clone(e.Seed)
		all = append(all, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRestore(t *testing.T) {
	g := newGrid(t)
	for i, run := range g.story() {
		run()
		file := backupOf(t, g.dir)
		dir := filepath.Join(t.TempDir(), "a", "new", "one")
		r := restore(t, bytes.NewReader(file), dir)
		if found := verify(t, dir).Findings; found != nil {
			t.Errorf("after run %d: findings %+v", i, found)
		}
		got, want := mustState(t, dir), mustState(t, g.dir)
		if got.LogID == want.LogID || got.LogID != r.LogID {
			t.Errorf("after run %d: log id %v, said %v, the old one was %v", i, got.LogID, r.LogID, want.LogID)
		}
		got.LogID = want.LogID
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("after run %d: state (-restored +backed up):\n%s", i, diff)
		}
		if r.Head.Revision != want.Last || r.Peers != want.Peers {
			t.Errorf("after run %d: said revision %d and %d peers", i, r.Head.Revision, r.Peers)
		}
		checked, err := offline.Check(t.Context(), bytes.NewReader(file), offline.Options{})
		if diff := cmp.Diff(checked.Summary, r.Summary); err != nil || diff != "" || checked.Peers != r.Peers {
			t.Errorf("after run %d: checking gives %v (-checked +restored):\n%s", i, err, diff)
		}
	}
}

// What can be read of a damaged directory is read, and what can't is told.
func TestReadGoesOnAfterDamage(t *testing.T) {
	g := newGrid(t)
	g.first()
	g.second()
	read := func() (good, wrong, bad int, head wal.Revision) {
		head, err := offline.Read(t.Context(), g.dir, offline.Options{}, func(s registry.Step) {
			if s.Err != nil {
				wrong++
			} else {
				good++
			}
		}, func(error) { bad++ })
		if err != nil {
			t.Fatal(err)
		}
		return good, wrong, bad, head
	}
	head := mustState(t, g.dir).Last
	if good, wrong, bad, at := read(); good != int(head) || wrong != 0 || bad != 0 || at != head {
		t.Errorf("whole: %d good, %d wrong, %d bad, head %d of %d", good, wrong, bad, at, head)
	}
	remove(t, g.dir, "witness")
	appendForged(t, g.dir)
	remove(t, g.dir, "witness")
	if good, wrong, bad, at := read(); good != int(head) || wrong != 1 || bad != 1 || at != head+1 {
		t.Errorf("a forged record and no witness: %d good, %d wrong, %d bad, head %d", good, wrong, bad, at)
	}
}

// What is live goes on living as long as it would have: the introducer's clock comes along.
func TestRestoreKeepsTheClock(t *testing.T) {
	g := newGrid(t)
	g.first()
	g.second()
	dir := filepath.Join(t.TempDir(), "data")
	restore(t, bytes.NewReader(backupOf(t, g.dir)), dir)
	got, want := entries(t, filepath.Join(dir, "grid", "index")), entries(t, filepath.Join(g.dir, "grid", "index"))
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("index (-restored +backed up):\n%s", diff)
	}
	clock := func(dir string) (c int64) {
		log, err := wal.Open(filepath.Join(dir, "grid", "log"), wal.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		return int64(log.Clock())
	}
	if got, want := clock(dir), clock(g.dir); got != want {
		t.Errorf("the clock stands at %d, want %d", got, want)
	}
}

func TestRestoreRefuses(t *testing.T) {
	g := newGrid(t)
	g.first()
	file := backupOf(t, g.dir)
	full, foreign := newGrid(t), t.TempDir()
	full.first()
	if err := os.WriteFile(filepath.Join(foreign, "mail"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dir string
		from      []byte
		want      error
	}{
		{"there is one", full.dir, file, datadir.ErrExists},
		{"foreign", foreign, file, datadir.ErrNotOurs},
		{"no backup", filepath.Join(t.TempDir(), "x"), []byte("rubbish"), backup.ErrNotBackup},
		{"cut short", filepath.Join(t.TempDir(), "x", "y"), file[:len(file)-1], backup.ErrDamaged},
		{"forged", filepath.Join(t.TempDir(), "x"), forged(t), registry.ErrDamaged},
	} {
		before := map[string]string{}
		if _, err := os.Stat(c.dir); err == nil {
			before = contents(t, c.dir)
		}
		_, err := offline.Restore(t.Context(), bytes.NewReader(c.from), c.dir, offline.Options{})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
		}
		after := map[string]string{}
		if _, err := os.Stat(c.dir); err == nil {
			after = contents(t, c.dir)
		}
		if diff := cmp.Diff(after, before); diff != "" {
			t.Errorf("%s: the directory changed (-after +before):\n%s", c.name, diff)
		}
		if _, err := os.Stat(c.dir); len(before) == 0 && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was made: %v", c.name, err)
		}
	}
	// An empty directory, as a mount point is, may be there.
	restore(t, bytes.NewReader(file), t.TempDir())
}

// forged is a whole backup of a log in which somebody wrote what nobody signed.
func forged(t *testing.T) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	g := &grid{t: t, dir: dir}
	g.first()
	appendForged(t, dir)
	return backupOf(t, dir)
}

// appendForged appends the log's first record once more, with another message and a greater seqnum.
func appendForged(t *testing.T, dir string) {
	t.Helper()
	log, err := wal.Open(filepath.Join(dir, "grid", "log"), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := log.Get(1)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(rec.Payload), `"seqnum":1`, `"seqnum":9`, 1)
	if text == string(rec.Payload) {
		t.Fatalf("no seqnum in %q", text)
	}
	if _, err := log.Append(rec.Time, rec.Clock, []wal.Entry{{Kind: rec.Kind, Payload: []byte(text)}}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
