package permute_test

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/permute"
)

// The vectors were recorded from Tahoe-LAFS (allmydata.storage_client, allmydata.util.hashutil).

var tahoeBase32 = base32.StdEncoding.WithPadding(base32.NoPadding)

func fromBase32(t *testing.T, s string) []byte {
	t.Helper()
	b, err := tahoeBase32.DecodeString(strings.ToUpper(s))
	if err != nil {
		t.Fatalf("decoding base32 %q: %v", s, err)
	}
	return b
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("decoding hex %q: %v", s, err)
	}
	return b
}

// keyOf makes a key of a server id: that of a v0 id, else the id's own bytes.
func keyOf(t *testing.T, id string) permute.Key {
	t.Helper()
	var k permute.Key
	if s, ok := strings.CutPrefix(id, "v0-"); ok {
		copy(k[:], fromBase32(t, s))
	} else {
		copy(k[:], id)
	}
	return k
}

func readVector(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("reading %s: %v", path, err)
	}
}

// member is a server of the vectors.
type member struct {
	id   string
	seed []byte
}

// tables builds the members' table for each kernel.
func tables(t *testing.T, members []member) map[string]*permute.Table[string] {
	ts := make(map[string]*permute.Table[string])
	for _, k := range permute.Kernels() {
		e := permute.EmptyOn[string](k).Edit()
		for _, m := range members {
			e.Set(keyOf(t, m.id), m.seed, m.id)
		}
		ts[k] = e.Table()
	}
	return ts
}

// orders asks for the ids in every way there is.
func orders(table *permute.Table[string], si []byte, preferred []permute.Key) map[string][]string {
	got := make(map[string][]string)
	q := permute.Query{Preferred: preferred}
	for _, r := range table.Append(nil, si, q, nil) {
		got["Append"] = append(got["Append"], r.Value)
	}
	for r := range table.Permuted(si, preferred) {
		got["Permuted"] = append(got["Permuted"], r.Value)
	}
	table.Batch([][]byte{si}, q, nil, nil, func(_ int, ranked []permute.Ranked[string]) bool {
		for _, r := range ranked {
			got["Batch"] = append(got["Batch"], r.Value)
		}
		return true
	})
	return got
}

func checkOrder(t *testing.T, members []member, si []byte, preferred []permute.Key, want []string) {
	t.Helper()
	for kernel, table := range tables(t, members) {
		for way, got := range orders(table, si, preferred) {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s: order of storage index %x (-want +got):\n%s", kernel, way, si, diff)
			}
		}
	}
	if len(preferred) > 0 {
		return
	}
	var peers []permute.Peer
	for _, m := range members {
		peers = append(peers, permute.Peer{Key: keyOf(t, m.id), Seed: m.seed})
	}
	permute.Sort(peers, si)
	for i, p := range peers {
		if p.Key != keyOf(t, want[i]) {
			t.Fatalf("Sort: place %d of storage index %x has key %x, want %x", i, si, p.Key, keyOf(t, want[i]))
		}
	}
}

func TestReferenceGrids(t *testing.T) {
	paths, err := filepath.Glob("testdata/permutation_*[0-9]_*.json")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(paths), 6; got != want {
		t.Fatalf("found %d grids, want %d", got, want)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var v struct {
				Servers []struct {
					ID      string
					SeedHex string `json:"seed_hex"`
				}
				Cases []struct {
					StorageIndexHex string `json:"storage_index_hex"`
					Order           []int
					OrderSHA256     string   `json:"order_sha256"`
					HashHex         []string `json:"hash_hex_by_server"`
				}
			}
			readVector(t, path, &v)
			if len(v.Cases) != 8 {
				t.Fatalf("found %d cases, want 8", len(v.Cases))
			}
			var members []member
			for _, s := range v.Servers {
				members = append(members, member{s.ID, fromHex(t, s.SeedHex)})
			}
			for _, c := range v.Cases {
				var want []string
				for _, i := range c.Order {
					want = append(want, v.Servers[i].ID)
				}
				if got := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(want, "\n")))); got != c.OrderSHA256 {
					t.Fatalf("order of the vector has digest %s, want %s", got, c.OrderSHA256)
				}
				for i, want := range c.HashHex { // the largest grid was recorded without
					m := members[i]
					if got := permute.Hash(fromHex(t, c.StorageIndexHex), m.seed); fmt.Sprintf("%x", got) != want {
						t.Errorf("permuted id of %s is %x, want %s", m.id, got, want)
					}
				}
				checkOrder(t, members, fromHex(t, c.StorageIndexHex), nil, want)
			}
		})
	}
}

func TestReferenceKnownAnswers(t *testing.T) {
	var v struct {
		Hash []struct {
			Index string `json:"peer_selection_index_ascii"`
			Seed  string `json:"seed_base32"`
			SHA1  string `json:"sha1_base32"`
		}
		Small []struct {
			Index     string   `json:"psi_ascii"`
			Members   []string `json:"ids_and_seeds_ascii"`
			Preferred []string
			Order     []string
		}
		Mixed []struct {
			Servers []struct {
				ID      string
				SeedHex string `json:"effective_seed_hex"`
			}
			StorageIndexHex string   `json:"storage_index_hex"`
			Order           []string `json:"order_ids"`
		}
		Preferred50 []struct {
			File            string `json:"servers_file"`
			StorageIndexHex string `json:"storage_index_hex"`
			Preferred       []int  `json:"preferred_indexes"`
			Order           []int
		} `json:"preferred_50"`
	}
	readVector(t, "testdata/permutation_known.json", &v)
	if got, want := [...]int{len(v.Hash), len(v.Small), len(v.Mixed), len(v.Preferred50)}, [...]int{1, 10, 4, 4}; got != want {
		t.Fatalf("numbers of known answers are %v, want %v", got, want)
	}
	for _, h := range v.Hash {
		id := permute.Hash([]byte(h.Index), fromBase32(t, h.Seed))
		if got := strings.ToLower(tahoeBase32.EncodeToString(id[:])); got != h.SHA1 {
			t.Errorf("permuted id is %s, want %s", got, h.SHA1)
		}
	}
	for _, s := range v.Small {
		var members []member
		for _, id := range s.Members {
			members = append(members, member{id, []byte(id)})
		}
		var preferred []permute.Key
		for _, id := range s.Preferred {
			preferred = append(preferred, keyOf(t, id))
		}
		checkOrder(t, members, []byte(s.Index), preferred, s.Order)
	}
	for _, m := range v.Mixed {
		var members []member
		for _, s := range m.Servers {
			members = append(members, member{s.ID, fromHex(t, s.SeedHex)})
		}
		checkOrder(t, members, fromHex(t, m.StorageIndexHex), nil, m.Order)
	}
	for _, p := range v.Preferred50 {
		var grid struct {
			Servers []struct {
				ID      string
				SeedHex string `json:"seed_hex"`
			}
		}
		readVector(t, filepath.Join("testdata", p.File), &grid)
		var members []member
		for _, s := range grid.Servers {
			members = append(members, member{s.ID, fromHex(t, s.SeedHex)})
		}
		var preferred []permute.Key
		for _, i := range p.Preferred {
			preferred = append(preferred, keyOf(t, members[i].id))
		}
		var want []string
		for _, i := range p.Order {
			want = append(want, members[i].id)
		}
		checkOrder(t, members, fromHex(t, p.StorageIndexHex), preferred, want)
	}
}
