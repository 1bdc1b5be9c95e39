package store_test

import (
	"cmp"
	"encoding/binary"
	"iter"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

var logID = wal.LogID{0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xb0}

// position makes a position of the test log; the chain value follows from the revision.
func position(r wal.Revision) store.Position {
	p := store.Position{LogID: logID, Revision: r}
	if r > 0 {
		binary.BigEndian.PutUint64(p.Chain[24:], uint64(r))
	}
	return p
}

// model is what an index shall hold.
type model map[store.Key]store.Entry

func (m model) apply(set []store.Entry, drop []store.Key) {
	for _, k := range drop {
		delete(m, k)
	}
	for _, e := range set {
		m[store.Key{Service: e.Service, PeerID: e.PeerID}] = e
	}
}

// sorted are the entries in the order in which Load gives them.
func (m model) sorted() []store.Entry {
	return slices.SortedFunc(maps.Values(m), byKey)
}

func byKey(a, b store.Entry) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), slices.Compare(a.PeerID[:], b.PeerID[:]))
}

// load returns all entries of x.
func load(x *store.Index) ([]store.Entry, error) {
	var all []store.Entry
	err := x.Load(func(e store.Entry) error {
		all = append(all, e)
		return nil
	})
	return all, err
}

// wantEntries checks what x holds and that it says how much that is.
func wantEntries(t testing.TB, x *store.Index, want []store.Entry) {
	t.Helper()
	got, err := load(x)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Fatalf("entries (-want +got):\n%s", d)
	}
	if got, want := x.Len(), len(want); got != want {
		t.Errorf("Len = %d, want %d", got, want)
	}
}

// open opens an index that must be good, and closes it with the test.
func open(t testing.TB, path string) *store.Index {
	t.Helper()
	x, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// create makes an empty index in a new directory.
func create(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "index")
	if err := store.Create(path, logID); err != nil {
		t.Fatal(err)
	}
	return path
}

// entry makes an entry for peer of service at revision r, whose other fields follow from these.
func entry(service string, peer uint64, r wal.Revision) store.Entry {
	rng := rand.New(rand.NewPCG(peer, uint64(r)))
	e := store.Entry{
		Service:   service,
		PeerID:    peerID(peer),
		State:     store.State(1 + rng.IntN(4)),
		Revision:  r,
		Seqnum:    rng.Uint64(),
		Announced: time.Unix(1_700_000_000+rng.Int64N(1e8), rng.Int64N(1e9)).UTC(),
		FirstSeen: time.Unix(1_600_000_000+rng.Int64N(1e8), rng.Int64N(1e9)).UTC(),
		Deadline:  time.Duration(rng.Int64N(2) * rng.Int64()),
	}
	for i := range e.Digest {
		e.Digest[i] = byte(rng.Uint32())
	}
	switch n := []int{-1, 0, 20, 32, 52, 64}[rng.IntN(6)]; n {
	case -1:
	default:
		e.Seed = make([]byte, n)
		for i := range e.Seed {
			e.Seed[i] = byte(rng.Uint32())
		}
	}
	return e
}

// peerID spreads peers over the key space as real keys are.
func peerID(peer uint64) (id [32]byte) {
	rng := rand.New(rand.NewPCG(peer, 0x1d))
	for i := 0; i < len(id); i += 8 {
		binary.BigEndian.PutUint64(id[i:], rng.Uint64())
	}
	return id
}

// realistic gives n live entries of one service as a large grid has them: 52-byte seeds, sorted.
func realistic(n int) (store.Position, iter.Seq[store.Entry]) {
	all := make([]store.Entry, n)
	for i := range all {
		e := &all[i]
		*e = store.Entry{
			Service: "upload_storage", PeerID: peerID(uint64(i)), State: store.Live,
			Revision: wal.Revision(i + 1), Seqnum: uint64(i),
			Announced: time.Unix(1_700_000_000, int64(i)).UTC(), FirstSeen: time.Unix(1_600_000_000, int64(i)).UTC(),
			Digest: peerID(uint64(i) << 32), Seed: make([]byte, 52),
		}
		copy(e.Seed, e.Digest[:])
	}
	slices.SortFunc(all, byKey)
	return position(wal.Revision(n)), slices.Values(all)
}
