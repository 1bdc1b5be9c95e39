package permute_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/introducer/introducer/permute"
)

type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, 0))} }

func (r random) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// checkTable compares what table holds with the model.
func checkTable(t interface {
	Helper()
	Fatalf(string, ...any)
}, table *permute.Table[peer], model map[permute.Key]peer) {
	t.Helper()
	if got, want := table.Len(), len(model); got != want {
		t.Fatalf("Len is %d, want %d", got, want)
	}
	var keys []permute.Key
	for k, v := range table.All() {
		if want, ok := model[k]; !ok || v != want {
			t.Fatalf("All has %x: %v, want %v", k, v, want)
		}
		keys = append(keys, k)
	}
	if len(keys) != len(model) {
		t.Fatalf("All yields %d peers, want %d", len(keys), len(model))
	}
	if !slices.IsSortedFunc(keys, func(a, b permute.Key) int { return bytes.Compare(a[:], b[:]) }) {
		t.Fatalf("All is not in key order")
	}
	for k, want := range model {
		if got, ok := table.Get(k); !ok || got != want {
			t.Fatalf("Get(%x) is %v, %v, want %v", k, got, ok, want)
		}
		if got, ok := table.AppendSeed([]byte("x"), k); !ok || string(got) != "x"+want.seed {
			t.Fatalf("AppendSeed(%x) is %x, %v, want x and %x", k, got, ok, want.seed)
		}
	}
	for i, n := range table.Pages() {
		if n == 0 || n > permute.PageSize {
			t.Fatalf("page %d has %d peers", i, n)
		}
	}
}

func TestTableEqualsModel(t *testing.T) {
	kernels := permute.Kernels()
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			table *permute.Table[peer]
			model map[permute.Key]peer
		}
		rnd := newRandom(rapid.Uint64().Draw(t, "random"))
		kernel := rapid.SampledFrom(kernels).Draw(t, "kernel")
		versions := []version{{permute.EmptyOn[peer](kernel), map[permute.Key]peer{}}}
		turn := 0
		for range rapid.IntRange(1, 6).Draw(t, "edits") {
			// Any version may be the base of the next.
			base := versions[rapid.IntRange(0, len(versions)-1).Draw(t, "base")]
			e, model := base.table.Edit(), maps.Clone(base.model)
			changes := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 900)).Draw(t, "changes")
			kind := rapid.SampledFrom([]string{"random", "ascending", "shrinking", "values"}).Draw(t, "kind")
			for i := range changes {
				turn++
				k := permute.Key{0: byte(rnd.IntN(8)), 31: byte(rnd.IntN(256))}
				p := peer{string(rnd.bytes(rnd.IntN(permute.MaxSeed + 1))), turn}
				switch {
				case kind == "ascending":
					k = permute.Key{0: 8, 1: byte(i >> 8), 2: byte(i)}
				case kind == "shrinking" || kind == "random" && rnd.IntN(3) == 0:
					_, want := model[k]
					if got := e.Delete(k); got != want {
						t.Fatalf("Delete(%x) is %v, want %v", k, got, want)
					}
					delete(model, k)
					continue
				case kind == "values":
					old, ok := model[k]
					if !ok {
						continue
					}
					p.seed = old.seed
				}
				seed := []byte(p.seed)
				e.Set(k, seed, p)
				clear(seed) // Set has copied it
				model[k] = p
				if got, ok := e.Get(k); !ok || got != p {
					t.Fatalf("Edit.Get(%x) is %v, %v, want %v", k, got, ok, p)
				}
			}
			if got, want := e.Len(), len(model); got != want {
				t.Fatalf("Edit.Len is %d, want %d", got, want)
			}
			versions = append(versions, version{e.Table(), model})
		}
		// Every version is still what it was.
		si := rnd.bytes(16)
		for _, v := range versions {
			checkTable(t, v.table, v.model)
			want := oracle(v.model, si, nil)
			if got := v.table.Append([]ranked{}, si, permute.Query{}, nil); !slices.Equal(got, want) {
				t.Fatalf("order of %d peers differs from the oracle's", len(want))
			}
			k := permute.Key{0: byte(rnd.IntN(9)), 31: byte(rnd.IntN(256))}
			n := 0
			for got := range v.table.From(k) {
				if bytes.Compare(got[:], k[:]) < 0 {
					t.Fatalf("From(%x) yields %x", k, got)
				}
				n++
			}
			for have := range v.model {
				if bytes.Compare(have[:], k[:]) >= 0 {
					n--
				}
			}
			if n != 0 {
				t.Fatalf("From(%x) yields %+d peers too many", k, n)
			}
		}
	})
}

func TestEmptyTable(t *testing.T) {
	var table permute.Table[int]
	checks := 0
	for range table.All() {
		checks++
	}
	for range table.Permuted([]byte("si"), []permute.Key{{1}}) {
		checks++
	}
	got := table.Append(nil, []byte("0123456789abcdef"), permute.Query{Limit: 3, Preferred: []permute.Key{{1}}}, nil)
	if _, ok := table.Get(permute.Key{}); ok || checks+len(got)+table.Len() != 0 {
		t.Errorf("the zero Table is not empty")
	}
	if seed, ok := table.AppendSeed(nil, permute.Key{}); ok || seed != nil {
		t.Errorf("AppendSeed found a peer in an empty table")
	}
	if table.Edit().Delete(permute.Key{}) {
		t.Errorf("Delete found a peer in an empty table")
	}
}

// TestAscendingKeysFillPages: a bulk build leaves no page half empty.
func TestAscendingKeysFillPages(t *testing.T) {
	var table permute.Table[int]
	e := table.Edit()
	const n = 3*permute.PageSize + 1
	for i := range n {
		e.Set(permute.Key{0: byte(i >> 8), 1: byte(i)}, nil, i)
	}
	if got, want := e.Table().Pages(), []int{permute.PageSize, permute.PageSize, permute.PageSize, 1}; !slices.Equal(got, want) {
		t.Errorf("pages have %d peers, want %d", got, want)
	}
}

// TestDeletesMergePages: what shrinks does not stay in as many pages.
func TestDeletesMergePages(t *testing.T) {
	var table permute.Table[int]
	e := table.Edit()
	const n = 32 * permute.PageSize
	key := func(i int) permute.Key { return permute.Key{0: byte(i >> 8), 1: byte(i)} }
	for i := range n {
		e.Set(key(i), nil, i)
	}
	for _, i := range newRandom(1).Perm(n)[:n-100] {
		e.Delete(key(i))
	}
	if got := len(e.Table().Pages()); got > 4 {
		t.Errorf("100 peers are left in %d pages, want at most 4", got)
	}
}

func TestLimitsPanic(t *testing.T) {
	var table permute.Table[int]
	for name, f := range map[string]func(){
		"seed":          func() { table.Edit().Set(permute.Key{}, make([]byte, permute.MaxSeed+1), 0) },
		"storage index": func() { table.Append(nil, make([]byte, permute.MaxStorageIndex+1), permute.Query{}, nil) },
		"used edit": func() {
			e := table.Edit()
			e.Table()
			e.Set(permute.Key{}, nil, 0)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("with the race detector crypto/sha1 allocates")
	}
	rnd := newRandom(4)
	si := rnd.bytes(16)
	for _, kernel := range permute.Kernels() {
		e := permute.EmptyOn[int](kernel).Edit()
		var preferred []permute.Key
		for i := range 3000 {
			k := permute.Key(rnd.bytes(32))
			e.Set(k, rnd.bytes(20+32*(i%2)), i)
			if i%1000 == 0 {
				preferred = append(preferred, k)
			}
		}
		table := e.Table()
		var s permute.Scratch
		dst := make([]permute.Ranked[int], 0, table.Len())
		for _, q := range []permute.Query{{}, {Limit: 10}, {Limit: 10, Preferred: preferred}, {Preferred: preferred}} {
			table.Append(dst, si, q, &s)
			if got := testing.AllocsPerRun(20, func() { table.Append(dst, si, q, &s) }); got != 0 {
				t.Errorf("%s: Append of first %d allocates %v times, want 0", kernel, q.Limit, got)
			}
			sis := [][]byte{si, si}
			if got := testing.AllocsPerRun(20, func() {
				table.Batch(sis, q, dst, &s, func(int, []permute.Ranked[int]) bool { return true })
			}); got != 0 {
				t.Errorf("%s: Batch of first %d allocates %v times, want 0", kernel, q.Limit, got)
			}
		}
	}
	if got := testing.AllocsPerRun(20, func() { permute.Hash(si, si) }); got != 0 {
		t.Errorf("Hash allocates %v times, want 0", got)
	}
}
