package permute_test

import (
	"bytes"
	"crypto/sha1"
	"maps"
	"slices"
	"sort"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/introducer/introducer/permute"
)

// peer is what the tests keep in tables: the seed and which Set it came from.
type peer struct {
	seed string
	turn int
}

type ranked = permute.Ranked[peer]

// oracle is the permutation as the rule says it, with nothing clever.
func oracle(peers map[permute.Key]peer, si []byte, preferred []permute.Key) []ranked {
	keys := slices.SortedFunc(maps.Keys(peers), func(a, b permute.Key) int { return bytes.Compare(a[:], b[:]) })
	rs := []ranked{}
	for _, k := range keys {
		id := sha1.Sum(append(slices.Clone(si), peers[k].seed...))
		rs = append(rs, ranked{ID: id, Key: k, Value: peers[k]})
	}
	sort.SliceStable(rs, func(i, j int) bool {
		if a, b := slices.Contains(preferred, rs[i].Key), slices.Contains(preferred, rs[j].Key); a != b {
			return a
		}
		return bytes.Compare(rs[i].ID[:], rs[j].ID[:]) < 0
	})
	return rs
}

var exportRanked = cmp.AllowUnexported(peer{})

// checkLookups compares every way to look up in table with the oracle.
func checkLookups(t interface {
	Helper()
	Fatalf(string, ...any)
}, name string, table *permute.Table[peer], peers map[permute.Key]peer, si []byte, preferred []permute.Key, s *permute.Scratch) {
	t.Helper()
	want := oracle(peers, si, preferred)
	check := func(way string, got, want []ranked) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Fatalf("%s, %s over %d peers, storage index %x, %d preferred (-want +got):\n%s",
				name, way, len(peers), si, len(preferred), cmp.Diff(want, got, exportRanked))
		}
	}
	n := len(want)
	for _, limit := range []int{0, 1, 2, 10, n / 3, n - 1, n, n + 1} {
		q := permute.Query{Limit: limit, Preferred: preferred}
		first := want
		if limit > 0 {
			first = want[:min(n, limit)]
		}
		before := []ranked{{Value: peer{turn: -1}}}
		got := table.Append(before, si, q, s)
		check("Append", got[1:], first)
		if got[0] != before[0] {
			t.Fatalf("%s: Append changed what was in dst", name)
		}
		other := append([]byte("other"), si[min(len(si), 5):]...)
		sis := [][]byte{si, other, si}
		table.Batch(sis, q, got, s, func(i int, got []ranked) bool {
			if i != 1 {
				check("Batch", got, first)
			}
			return true
		})
	}
	check("Permuted", slices.AppendSeq([]ranked{}, table.Permuted(si, preferred)), want)
	var some []ranked
	for r := range table.Permuted(si, preferred) {
		if some = append(some, r); len(some) >= n/2 {
			break
		}
	}
	check("Permuted, first half", some, want[:len(some)])
}

func TestOrderEqualsOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A small alphabet of keys and seeds makes repeats of both; sizes reach over several pages.
		n := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, 700)).Draw(t, "n")
		seedBytes := rapid.SliceOfN(rapid.Byte(), 0, permute.MaxSeed)
		common := rapid.SliceOfN(seedBytes, 1, 4).Draw(t, "common seeds")
		random := rapid.Uint64().Draw(t, "random")
		mix := rapid.IntRange(0, 3).Draw(t, "mix")
		rnd := newRandom(random)
		peers := make(map[permute.Key]peer)
		var keys []permute.Key
		edits := make(map[string]*permute.Edit[peer])
		for _, k := range permute.Kernels() {
			edits[k] = permute.EmptyOn[peer](k).Edit()
		}
		for turn := range n {
			var k permute.Key
			k[31], k[0] = byte(rnd.IntN(256)), byte(rnd.IntN(4))
			var seed []byte
			switch {
			case mix == 0 || mix == 1 && rnd.IntN(2) == 0:
				seed = common[rnd.IntN(len(common))]
			case mix == 2:
				seed = rnd.bytes([]int{20, 32, 52}[rnd.IntN(3)])
			default:
				seed = rnd.bytes(rnd.IntN(permute.MaxSeed + 1))
			}
			p := peer{string(seed), turn}
			peers[k] = p
			keys = append(keys, k)
			for _, e := range edits {
				e.Set(k, seed, p)
			}
		}
		si := rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 16, 16),
			rapid.SliceOfN(rapid.Byte(), 1, permute.MaxStorageIndex),
		).Draw(t, "storage index")
		var preferred []permute.Key
		for range rapid.IntRange(0, 20).Draw(t, "preferred") {
			k := permute.Key{31: byte(rnd.IntN(256))}
			if len(keys) > 0 && rnd.IntN(4) > 0 {
				k = keys[rnd.IntN(len(keys))]
			}
			preferred = append(preferred, k)
		}
		var s permute.Scratch
		for name, e := range edits {
			checkLookups(t, name, e.Table(), peers, si, preferred, &s)
		}
	})
}

// TestEveryLength has each pair of lengths, alone and in company, since where the padding falls
// decides how many blocks there are.
func TestEveryLength(t *testing.T) {
	rnd := newRandom(1)
	var s permute.Scratch
	for _, kernel := range permute.Kernels() {
		all := make(map[permute.Key]peer)
		together := permute.EmptyOn[peer](kernel).Edit()
		var singles []*permute.Table[peer]
		for n := range permute.MaxSeed + 1 {
			p := peer{seed: string(rnd.bytes(n)), turn: n}
			k := permute.Key(rnd.bytes(32))
			all[k] = p
			together.Set(k, []byte(p.seed), p)
			e := permute.EmptyOn[peer](kernel).Edit()
			e.Set(k, []byte(p.seed), p)
			singles = append(singles, e.Table())
		}
		table := together.Table()
		for n := range permute.MaxStorageIndex + 1 {
			si := rnd.bytes(n)
			checkLookups(t, kernel, table, all, si, nil, &s)
			for _, single := range singles {
				for k, p := range single.All() {
					checkLookups(t, kernel, single, map[permute.Key]peer{k: p}, si, nil, &s)
				}
			}
		}
	}
}

// TestChosenSeeds: seeds made to fall into one band, or equal, cost time and nothing else.
func TestChosenSeeds(t *testing.T) {
	si := []byte("0123456789abcdef")
	rnd := newRandom(2)
	for _, kernel := range permute.Kernels() {
		peers := make(map[permute.Key]peer)
		e := permute.EmptyOn[peer](kernel).Edit()
		for turn := range 3000 {
			seed := rnd.bytes(20)
			switch turn % 3 {
			case 0:
				for sha1.Sum(append([]byte(si), seed...))[0] != 7 {
					seed = rnd.bytes(20)
				}
			case 1:
				seed = []byte("the same seed")
			}
			k, p := permute.Key(rnd.bytes(32)), peer{string(seed), turn}
			peers[k] = p
			e.Set(k, seed, p)
		}
		checkLookups(t, kernel, e.Table(), peers, si, nil, new(permute.Scratch))
	}
}

func FuzzOrder(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), []byte("one two three"), uint8(3), uint8(1))
	f.Add([]byte("x"), bytes.Repeat([]byte{7, 0}, 400), uint8(52), uint8(0))
	f.Fuzz(func(t *testing.T, si, data []byte, width, wanted uint8) {
		si = si[:min(len(si), permute.MaxStorageIndex)]
		peers := make(map[permute.Key]peer)
		var preferred []permute.Key
		var seeds [][]byte
		for len(data) > 0 && len(seeds) < 600 {
			n := min(len(data), 1+int(width)%(permute.MaxSeed+1))
			seeds = append(seeds, data[1:n])
			k := permute.Key{data[0], byte(len(seeds) / 8)}
			peers[k] = peer{seed: string(data[1:n])}
			if len(preferred) < int(wanted) {
				preferred = append(preferred, k)
			}
			data = data[n:]
		}
		for _, kernel := range permute.Kernels() {
			e := permute.EmptyOn[peer](kernel).Edit()
			for k, p := range peers {
				e.Set(k, []byte(p.seed), p)
			}
			checkLookups(t, kernel, e.Table(), peers, si, preferred, new(permute.Scratch))
		}
	})
}

func TestSortEqualsOracle(t *testing.T) {
	rnd := newRandom(3)
	si := rnd.bytes(16)
	peers := make(map[permute.Key]peer)
	var list []permute.Peer
	for range 300 {
		k, seed := permute.Key(rnd.bytes(32)), rnd.bytes(rnd.IntN(3))
		peers[k] = peer{seed: string(seed)}
		list = append(list, permute.Peer{Key: k, Seed: seed})
	}
	permute.Sort(list, si)
	for i, want := range oracle(peers, si, nil) {
		if list[i].Key != want.Key || string(list[i].Seed) != want.Value.seed {
			t.Fatalf("place %d has key %x, want %x", i, list[i].Key, want.Key)
		}
	}
}
