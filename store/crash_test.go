package store_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// step is the r-th transaction of a history that goes on for ever; it takes the index to revision r.
func step(r wal.Revision) (set []store.Entry, drop []store.Key) {
	rng := rand.New(rand.NewPCG(uint64(r), 0x57e9))
	services := []string{"s", "helper", "storage", "upload_storage", "download_storage"}
	for range rng.IntN(30) {
		set = append(set, entry(services[rng.IntN(5)], rng.Uint64N(100), r))
	}
	for range rng.IntN(12) {
		drop = append(drop, store.Key{Service: services[rng.IntN(5)], PeerID: peerID(rng.Uint64N(100))})
	}
	return set, drop
}

// history is what the index holds along the steps.
type history struct {
	model
	at wal.Revision
}

func newHistory() *history { return &history{model: model{}} }

// to goes forward to revision r.
func (h *history) to(r wal.Revision) {
	for h.at < r {
		h.at++
		h.apply(step(h.at))
	}
}

// wantHistory checks that x holds what it should at the revision that it says it stands at.
func wantHistory(t *testing.T, x *store.Index, h *history) {
	t.Helper()
	p := x.Position()
	if p != position(p.Revision) {
		t.Fatalf("position %+v is none of the history's", p)
	}
	if p.Revision < h.at {
		t.Fatalf("revision %d after it had been %d", p.Revision, h.at)
	}
	h.to(p.Revision)
	got, err := load(x)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, h.sorted(), same) {
		t.Fatalf("at revision %d: %d entries other than the %d wanted", p.Revision, len(got), len(h.model))
	}
}

// applyForEver is the child of TestKilled: it goes on with the history where the index stands and
// prints each revision once it has been applied.
func applyForEver(path string) {
	x, err := store.Open(path, store.Options{})
	if err != nil {
		panic(err)
	}
	for r := x.Position().Revision + 1; ; r++ {
		set, drop := step(r)
		if err := x.Apply(position(r), set, drop); err != nil {
			panic(err)
		}
		fmt.Println(r)
	}
}

// TestKilled kills a process that applies without pause, again and again: what had been applied is
// there, and the entries are exactly those of the position, which is in the same transaction.
func TestKilled(t *testing.T) {
	kills := 25
	if testing.Short() {
		kills = 5
	}
	path := create(t)
	h := newHistory()
	rng := rand.New(rand.NewPCG(1, 2))
	for range kills {
		cmd := child(t.Context(), t, "apply", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var acked wal.Revision
		lines := bufio.NewScanner(out)
		killAt := rng.IntN(40)
		for n := 0; lines.Scan(); n++ {
			r, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			acked = wal.Revision(r)
			if n == killAt {
				// The moment within the transaction is the scheduler's to choose.
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		if acked < h.at {
			t.Fatalf("the child went back to revision %d from %d", acked, h.at)
		}
		x := open(t, path)
		if got := x.Position().Revision; got < acked {
			t.Fatalf("revision %d, but %d had been applied", got, acked)
		}
		wantHistory(t, x, h)
		x.Close()
	}
	t.Logf("%d kills, %d revisions", kills, h.at)
}

// TestPowerLoss cuts the power within a transaction: the file is as before it, with any part of the
// new sectors of 512 bytes written, but the meta page, which bbolt writes after a sync; or with all
// of them and the meta page torn anywhere.
func TestPowerLoss(t *testing.T) {
	const (
		sector = 512
		page   = 4096
	)
	path := create(t)
	image := filepath.Join(t.TempDir(), "image")
	rng := rand.New(rand.NewPCG(3, 4))
	before, after := newHistory(), newHistory()
	images := 0
	check := func(b []byte, want ...*history) {
		t.Helper()
		images++
		os.Remove(image) // writing over a file makes ext4 flush it
		if err := os.WriteFile(image, b, 0o600); err != nil {
			t.Fatal(err)
		}
		x := open(t, image)
		defer x.Close()
		p := x.Position()
		for _, h := range want {
			if p == position(h.at) {
				wantHistory(t, x, h)
				return
			}
		}
		t.Fatalf("image %d: position %+v, want that of revision %d", images, p, want[0].at)
	}
	for r := wal.Revision(1); r <= 60; r++ {
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		x := open(t, path)
		set, drop := step(r)
		if err := x.Apply(position(r), set, drop); err != nil {
			t.Fatal(err)
		}
		x.Close()
		after.to(r)
		now, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		old = append(old, make([]byte, len(now)-len(old))...)

		for _, part := range []float64{0, 0.1, 0.5, 0.9, 1} {
			b := slices.Clone(old)
			for at := 2 * page; at < len(now); at += sector {
				if rng.Float64() < part {
					copy(b[at:at+sector], now[at:])
				}
			}
			check(b, before)
		}
		data := slices.Clone(now)
		copy(data, old[:2*page])
		meta := 0
		if slices.Equal(old[:page], now[:page]) {
			meta = page
		}
		for _, n := range []int{8, 16, 32, 40, 48, 56, 64, 71, 72, 73, 79} {
			b := slices.Clone(data)
			copy(b[meta:meta+n], now[meta:])
			check(b, before, after)
		}
		copy(data, now[:2*page])
		check(data, after)
		before.to(r)
	}
	t.Logf("%d images", images)
}
