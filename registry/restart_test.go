package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// state is all that a registry knows, in a form that compares.
type state struct {
	Info  registry.Info
	Peers []string
}

func stateOf(t *testing.T, r *registry.Registry) state {
	t.Helper()
	info := r.Info()
	info.Started, info.ReplayTime = time.Time{}, 0
	s := state{Info: info}
	for _, p := range registry.States(r) {
		line := fmt.Sprint(p.Revision, p.Service, p.ID, p.Seqnum, p.State, p.Announced(), p.FirstSeen(), p.Digest)
		if _, signed, err := r.Announcement(p); err == nil {
			line += fmt.Sprintf(" %x %s", signed.Signature, signed.Message)
		} else if !errors.Is(err, registry.ErrNoAnnouncement) {
			t.Fatal(err)
		}
		if p.State == registry.Live {
			seed, _ := r.View(p.Service).Peers.AppendSeed(nil, p.ID)
			line += fmt.Sprintf(" seed %x", seed)
		}
		s.Peers = append(s.Peers, line)
	}
	return s
}

// populate makes a history with every kind of state in it.
func populate(t *testing.T, r *registry.Registry) {
	t.Helper()
	var items []announce.Signed
	for n := range 60 {
		items = append(items, said(t, fmt.Sprint("node", n), "storage", 1, func(a *announce.Announcement) {
			a.PermutationSeed = bytes.Repeat([]byte{byte(n)}, n)
			if n == 7 {
				a.PermutationSeed = nil
			}
			a.TTL = time.Duration(n) * time.Hour
		}))
	}
	registrytest.Publish(t, r, items...)
	registrytest.Publish(t, r,
		said(t, "node1", "storage", 2), said(t, "node2", "storage", 2, withdrawn),
		said(t, "node3", "helper", 9, withdrawn), said(t, "node4", "upload_storage", 1))
	if n, err := r.Evict(t.Context(), registrytest.Key("node5").PeerID()); n != 1 || err != nil {
		t.Fatalf("Evict: %d, %v", n, err)
	}
}

// I3: the view equals the index equals the replay of the log.
func TestViewIndexAndReplayAgree(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "grid", "index")
	r := registrytest.Open(t, dir, registry.Options{})
	populate(t, r)
	want := stateOf(t, r)
	if len(want.Peers) != 62 {
		t.Fatalf("%d states, want 62", len(want.Peers))
	}
	registrytest.Close(t, r)
	old, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}

	check := func(t *testing.T, want state) {
		t.Helper()
		for _, how := range []string{"after what happened to it", "again"} {
			r := registrytest.Open(t, dir, registry.Options{})
			if diff := cmp.Diff(want, stateOf(t, r)); diff != "" {
				t.Errorf("state %s (-want +got):\n%s", how, diff)
			}
			registrytest.Close(t, r)
		}
	}
	t.Run("from the index", func(t *testing.T) { check(t, want) })
	t.Run("index missing", func(t *testing.T) {
		if err := os.Remove(index); err != nil {
			t.Fatal(err)
		}
		check(t, want)
	})
	t.Run("index damaged", func(t *testing.T) {
		b := bytes.Clone(old)
		copy(b[len(b)/2:], bytes.Repeat([]byte{0xff}, 8192))
		if err := os.WriteFile(index, b, 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, want)
	})
	t.Run("index of another log", func(t *testing.T) {
		other := t.TempDir()
		registrytest.Close(t, registrytest.Open(t, other, registry.Options{}))
		b, err := os.ReadFile(filepath.Join(other, "grid", "index"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(index, b, 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, want)
	})
	t.Run("index behind the log", func(t *testing.T) {
		r := registrytest.Open(t, dir, registry.Options{})
		registrytest.Publish(t, r, said(t, "node1", "storage", 77), said(t, "late", "late", 1), said(t, "node6", "storage", 9, withdrawn))
		want := stateOf(t, r)
		registrytest.Close(t, r)
		if err := os.WriteFile(index, old, 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, want)
	})
}

// An index that is ahead of the log has seen records that the log lost: reads go on, nothing
// is written, and the operator is told.
func TestQuarantine(t *testing.T) {
	dir := t.TempDir()
	r := registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "a", "storage", 1))
	id := r.Info().LogID
	registrytest.Close(t, r)

	x, err := store.Open(filepath.Join(dir, "grid", "index"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Apply(store.Position{LogID: id, Revision: 5}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	r = registrytest.Open(t, dir, registry.Options{})
	if r.Info().Lost == nil {
		t.Error("the loss went unnoticed")
	}
	if _, err := r.Publish(t.Context(), []announce.Signed{said(t, "b", "storage", 1)}); !errors.Is(err, registry.ErrQuarantined) {
		t.Errorf("Publish gave %v, want ErrQuarantined", err)
	}
	if n := r.View("storage").Peers.Len(); n != 1 {
		t.Errorf("%d peers are served, want 1", n)
	}
	registrytest.Close(t, r)

	// The operator accepts the loss: another log, and all of it works again.
	d, err := datadir.Open(dir, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Log.Renew(wal.LogID{42}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	r = registrytest.Open(t, dir, registry.Options{})
	defer registrytest.Close(t, r)
	if got := registrytest.Publish(t, r, said(t, "b", "storage", 1))[0]; got.Outcome != registry.Accepted || got.Revision != 2 {
		t.Errorf("after recovery: %+v", got)
	}
	s := r.Subscribe(nil, &registry.Token{LogID: id, Revision: 1})
	defer s.Close()
	if s.Reset() != registry.ResetOtherLog {
		t.Error("a token from before the recovery was not reset")
	}
}

// I5: what does not verify is not served, whoever wrote it to the disk.
func TestForgedOnDisk(t *testing.T) {
	dir := t.TempDir()
	r := registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1))
	registrytest.Close(t, r)

	// Somebody appends a record with a bad signature and all checksums right.
	d, err := datadir.Open(dir, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	forged := said(t, "c", "storage", 1)
	forged.Signature = make([]byte, 64)
	payload := append(make([]byte, 8), forged.PeerID...)
	payload = append(append(payload, forged.Signature...), forged.Message...)
	if _, err := d.Log.Append(time.Now(), time.Hour, []wal.Entry{{Kind: 1, Payload: payload}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	r = registrytest.Open(t, dir, registry.Options{})
	defer registrytest.Close(t, r)
	p, ok := r.View("storage").Peers.Get(registrytest.Key("c").PeerID())
	if !ok {
		t.Fatal("the forged record was not replayed; the test needs another way")
	}
	for range 2 {
		if _, _, err := r.Announcement(p); !errors.Is(err, registry.ErrDamaged) || !errors.Is(err, announce.ErrBadSignature) {
			t.Errorf("Announcement gave %v, want ErrDamaged for its signature", err)
		}
	}
	var last error
	n := 0
	for _, err := range r.ReadLog(t.Context(), 0, registry.Filter{}) {
		if last = err; err == nil {
			n++
		}
	}
	if n != 2 || !errors.Is(last, registry.ErrDamaged) {
		t.Errorf("ReadLog gave %d records and %v; want 2 and ErrDamaged", n, last)
	}
}

// A record whose value decayed on the disk is named, not guessed, and its neighbours are served; nothing
// is written until the operator accepts the loss, and then everything works without it.
func TestDecayedRecord(t *testing.T) {
	for _, index := range []string{"with the index", "without"} {
		t.Run(index, func(t *testing.T) {
			dir := t.TempDir()
			r := registrytest.Open(t, dir, registry.Options{})
			registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1), said(t, "c", "storage", 1))
			registrytest.Close(t, r)
			decay(t, dir, 2)
			known := 3
			if index == "without" {
				removeIndex(t, dir)
				known = 2
			}
			r = registrytest.Open(t, dir, registry.Options{})
			if lost := r.Info().Lost; lost == nil || lost.Damage == nil || lost.Damage.Revision != 2 {
				t.Errorf("lost %v, want damage at revision 2", lost)
			}
			if n := r.View("storage").Peers.Len(); n != known {
				t.Errorf("%d peers are served, want %d", n, known)
			}
			for id, p := range r.View("storage").Peers.All() {
				_, _, err := r.Announcement(p)
				if b := announce.PeerID(id) == registrytest.Key("b").PeerID(); errors.Is(err, registry.ErrDamaged) != b || err != nil && !b {
					t.Errorf("%v: %v", id, err)
				}
			}
			if _, err := r.Publish(t.Context(), []announce.Signed{said(t, "b", "storage", 2)}); !errors.Is(err, registry.ErrQuarantined) {
				t.Errorf("Publish: %v, want ErrQuarantined", err)
			}
			registrytest.Close(t, r)

			d, err := datadir.Open(dir, datadir.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(d.Log.Renew(wal.LogID{42}), d.Close()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				r = registrytest.Open(t, dir, registry.Options{})
				if lost := r.Info().Lost; lost != nil {
					t.Errorf("after recovery: lost %v", lost)
				}
				for _, key := range []string{"a", "c"} {
					if _, _, err := r.Announcement(peer(t, r, key)); err != nil {
						t.Errorf("%s: %v", key, err)
					}
				}
				registrytest.Publish(t, r, said(t, "b", "storage", 1))
				if _, _, err := r.Announcement(peer(t, r, "b")); err != nil || peer(t, r, "b").Revision != 4 {
					t.Errorf("b, who said it again: %v", err)
				}
				registrytest.Close(t, r)
				removeIndex(t, dir)
			}
		})
	}
}

// Where the record decayed at which the index stands, that is no reason to refuse the start, nor to know
// less than the index does.
func TestDecayedUnderTheIndex(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "grid", "index")
	r := registrytest.Open(t, dir, registry.Options{})
	registrytest.Publish(t, r, said(t, "a", "storage", 1), said(t, "b", "storage", 1), said(t, "c", "storage", 1))
	registrytest.Close(t, r)
	behind, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	r = registrytest.Open(t, dir, registry.Options{})
	var items []announce.Signed
	for n := range uint64(1100) { // more than a start looks at
		items = append(items, said(t, "busy", "helper", n))
	}
	registrytest.Publish(t, r, items...)
	registrytest.Close(t, r)
	decay(t, dir, 3)
	if err := os.WriteFile(index, behind, 0o600); err != nil {
		t.Fatal(err)
	}
	r = registrytest.Open(t, dir, registry.Options{})
	defer registrytest.Close(t, r)
	if lost := r.Info().Lost; lost == nil || lost.Damage == nil || lost.Damage.Revision != 3 || r.Info().Peers != 4 {
		t.Errorf("lost %v, %d peers; want damage at 3 and 4 peers", lost, r.Info().Peers)
	}
	if _, _, err := r.Announcement(peer(t, r, "b")); err != nil {
		t.Error(err)
	}
}

// The captured and reference-made announcements come back byte for byte, before and after a
// restart.
func TestRealAnnouncementsSurvive(t *testing.T) {
	var items []announce.Signed
	for _, name := range []string{"announcements_captured.json", "announcements_good.json"} {
		raw, err := os.ReadFile(filepath.Join("..", "announce", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Announcements, Vectors []struct {
				Message   []byte `json:"message_base64"`
				Signature string `json:"signature_string"`
				Key       string `json:"key_string"`
			}
		}
		if err := json.Unmarshal(raw, &file); err != nil {
			t.Fatal(err)
		}
		for _, a := range append(file.Announcements, file.Vectors...) {
			s, err := announce.FromTahoe(a.Message, a.Signature, a.Key)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := announce.Parse(s.Message); err == nil {
				items = append(items, s)
			}
		}
	}
	if len(items) < 5 {
		t.Fatalf("only %d announcements", len(items))
	}
	dir := t.TempDir()
	r := registrytest.Open(t, dir, registry.Options{})
	results := registrytest.Publish(t, r, items...)
	for range 2 {
		for i, item := range items {
			if results[i].Outcome != registry.Accepted {
				continue
			}
			found := false
			for rec, err := range r.ReadLog(t.Context(), results[i].Revision, registry.Filter{}) {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&item, rec.Signed); diff != "" {
					t.Errorf("announcement %d (-published +read):\n%s", i, diff)
				}
				found = true
				break
			}
			if !found {
				t.Errorf("announcement %d is not in the log", i)
			}
		}
		registrytest.Close(t, r)
		r = registrytest.Open(t, dir, registry.Options{})
	}
	registrytest.Close(t, r)
}

func TestWait(t *testing.T) {
	r := registrytest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Wait(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	done := make(chan wal.Revision)
	go func() {
		head, _ := r.Wait(t.Context(), 0)
		done <- head
	}()
	registrytest.Publish(t, r, said(t, "a", "storage", 1))
	if head := <-done; head != 1 {
		t.Errorf("head %d, want 1", head)
	}
}

// A reader who left is noticed also where the filter leaves everything out.
func TestReadLogEndsWithItsCaller(t *testing.T) {
	r := registrytest.New(t)
	registrytest.Publish(t, r, said(t, "a", "storage", 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range r.ReadLog(ctx, 0, registry.Filter{Service: "helper"}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		return
	}
	t.Error("the replay ran to its end")
}
