package store_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// An outcome is how one damaged file fared.
const (
	outcomeRefused = "refused" // Open or Load said ErrDamaged
	outcomeRight   = "right"   // exactly the entries of its position: what was damaged didn't matter
	outcomeWrong   = "WRONG"
)

// TestDamage damages an index in thousands of ways and opens it in a child process, which may not
// hang, die or believe anything wrong. Files that come out right take one more transaction, since
// damage to what only writing uses shows there.
func TestDamage(t *testing.T) {
	scale := 6
	if testing.Short() {
		scale = 1
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := child(ctx, t, "damage", t.TempDir(), fmt.Sprint(scale))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The child says which trial it begins, so that one that it doesn't outlive has a name.
	var last string
	counts := map[string]map[string]int{} // :: kind of damage → outcome → trials
	for lines := bufio.NewScanner(out); lines.Scan(); {
		last = lines.Text()
		if text, ok := strings.CutPrefix(last, "counts "); ok {
			if err := json.Unmarshal([]byte(text), &counts); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(last, outcomeWrong) && len(counts) == 0 {
			t.Error(last)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the child did not outlive %q: %v (%v)", last, err, context.Cause(ctx))
	}
	total := 0
	for kind, outcomes := range counts {
		if n := outcomes[outcomeWrong]; n > 0 {
			t.Errorf("%s: %d wrong", kind, n)
		}
		for _, n := range outcomes {
			total += n
		}
		t.Logf("%-28s %v", kind, outcomes)
	}
	if want := 700 * scale; total < want {
		t.Errorf("%d trials, want at least %d", total, want)
	}
	t.Logf("%d trials", total)
}

// damageTrials is the child of TestDamage. args: directory, scale.
func damageTrials(args []string) {
	var scale int
	if _, err := fmt.Sscan(args[1], &scale); err != nil {
		panic(err)
	}
	d := &damager{
		dir: args[0], rng: rand.New(rand.NewPCG(5, 6)),
		states: map[wal.Revision][]store.Entry{}, counts: map[string]map[string]int{},
	}
	d.prepare()
	for _, k := range []struct {
		kind   string
		trials int
		damage func(b []byte) []byte
	}{
		{"nothing", 1, func(b []byte) []byte { return b }},
		{"one bit", 300 * scale, func(b []byte) []byte {
			b[d.rng.IntN(len(b))] ^= 1 << d.rng.IntN(8)
			return b
		}},
		{"one bit in a page header", 60 * scale, func(b []byte) []byte {
			b[d.rng.IntN(len(b)/page)*page+d.rng.IntN(16)] ^= 1 << d.rng.IntN(8)
			return b
		}},
		{"one byte", 100 * scale, func(b []byte) []byte {
			b[d.rng.IntN(len(b))] = byte(d.rng.Uint32())
			return b
		}},
		{"16 random bytes", 50 * scale, func(b []byte) []byte {
			for i, at := 0, d.rng.IntN(len(b)-16); i < 16; i++ {
				b[at+i] = byte(d.rng.Uint32())
			}
			return b
		}},
		{"a page of zeros", 10 * scale, func(b []byte) []byte {
			clear(d.page(b))
			return b
		}},
		{"a sector of zeros", 30 * scale, func(b []byte) []byte {
			at := d.rng.IntN(len(b)/512) * 512
			clear(b[at : at+512])
			return b
		}},
		{"cut anywhere", 20 * scale, func(b []byte) []byte { return b[:d.rng.IntN(len(b))] }},
		{"cut between pages", 10 * scale, func(b []byte) []byte { return b[:d.rng.IntN(len(b)/page)*page] }},
		{"two pages changed over", 30 * scale, func(b []byte) []byte {
			p, q := d.page(b), d.page(b)
			kept := slices.Clone(p)
			copy(p, q)
			copy(q, kept)
			return b
		}},
		{"a page over another, renamed", 50 * scale, func(b []byte) []byte {
			p := d.page(b)
			id := slices.Clone(p[:8])
			copy(p, d.page(b))
			copy(p, id)
			return b
		}},
		{"an old copy of a page", 40 * scale, func(b []byte) []byte {
			old := d.copies[d.rng.IntN(len(d.copies))]
			at := d.rng.IntN(min(len(old), len(b))/page) * page
			copy(b[at:at+page], old[at:])
			return b
		}},
		{"an old copy of half the file", 10 * scale, func(b []byte) []byte {
			old := d.copies[d.rng.IntN(len(d.copies))]
			copy(b[:len(b)/2], old)
			return b
		}},
		{"an old copy", 2 * scale, func([]byte) []byte {
			return slices.Clone(d.copies[d.rng.IntN(len(d.copies))])
		}},
		{"another meta page, sealed", 50 * scale, func(b []byte) []byte {
			// Whatever it says, root, freelist or number of pages, its checksum is right.
			field := []int{16 + 16, 16 + 32, 16 + 40}[d.rng.IntN(3)]
			for _, meta := range [][]byte{b[:page], b[page : 2*page]} {
				binary.NativeEndian.PutUint64(meta[field:], d.rng.Uint64N(uint64(len(b)/page)+3))
				h := fnv.New64a()
				h.Write(meta[16 : 16+56])
				binary.NativeEndian.PutUint64(meta[16+56:], h.Sum64())
			}
			return b
		}},
		{"a branch that leads to itself", 1, func(b []byte) []byte {
			for at := 2 * page; at < len(b); at += page { // all of them: the one in use among them
				if p := b[at : at+page]; binary.NativeEndian.Uint16(p[8:]) == 1 {
					binary.NativeEndian.PutUint64(p[16+8:], binary.NativeEndian.Uint64(p))
				}
			}
			return b
		}},
		{"a child's page number", 50 * scale, func(b []byte) []byte {
			// Somewhere in a branch page, so that trees join, break or go in a circle.
			for range 1000 {
				p := d.page(b)
				if binary.NativeEndian.Uint16(p[8:]) != 1 {
					continue
				}
				n := int(binary.NativeEndian.Uint16(p[10:]))
				at := 16 + d.rng.IntN(n)*16 + 8
				binary.NativeEndian.PutUint64(p[at:], d.rng.Uint64N(uint64(len(b)/page)))
				return b
			}
			panic("no branch page")
		}},
	} {
		d.counts[k.kind] = map[string]int{}
		for i := range k.trials {
			fmt.Println("trial", i, "of", k.kind)
			outcome, detail := d.trial(k.damage(slices.Clone(d.good)))
			d.counts[k.kind][outcome]++
			if outcome == outcomeWrong {
				fmt.Printf("trial %d of %s: %s: %s\n", i, k.kind, outcome, detail)
			}
		}
	}
	text, err := json.Marshal(d.counts)
	if err != nil {
		panic(err)
	}
	fmt.Println("counts", string(text))
}

const page = 4096

type damager struct {
	dir    string
	rng    *rand.Rand
	good   []byte
	copies [][]byte // older states of the file
	states map[wal.Revision][]store.Entry
	counts map[string]map[string]int
}

// page is a page of b at random.
func (d *damager) page(b []byte) []byte {
	at := d.rng.IntN(len(b)/page) * page
	return b[at : at+page : at+page]
}

// prepare makes the good file: some hundred entries in large and small buckets, and with free pages.
func (d *damager) prepare() {
	path := filepath.Join(d.dir, "good")
	if err := store.Create(path, logID); err != nil {
		panic(err)
	}
	h := newHistory()
	d.states[0] = nil
	const steps = 40
	for r := wal.Revision(1); r <= steps+1; r++ {
		h.to(r)
		d.states[r] = h.sorted()
		if r > steps {
			break // the state after the transaction that a trial adds
		}
		x, err := store.Open(path, store.Options{})
		if err != nil {
			panic(err)
		}
		set, drop := step(r)
		if err := errors.Join(x.Apply(position(r), set, drop), x.Close()); err != nil {
			panic(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		d.copies = append(d.copies, b)
	}
	d.good = d.copies[len(d.copies)-1]
	d.copies = d.copies[:len(d.copies)-1]
}

// trial opens a file that holds b.
func (d *damager) trial(b []byte) (outcome, detail string) {
	path := filepath.Join(d.dir, "trial")
	os.Remove(path) // writing over a file makes ext4 flush it
	if err := os.WriteFile(path, b, 0o600); err != nil {
		panic(err)
	}
	for again := range 2 {
		x, err := store.Open(path, store.Options{})
		if err != nil {
			return refused(err)
		}
		defer x.Close()
		got, err := load(x)
		if err != nil {
			return refused(err)
		}
		p := x.Position()
		want, ok := d.states[p.Revision]
		if !ok || p != position(p.Revision) {
			return outcomeWrong, fmt.Sprintf("position %+v", p)
		}
		if !slices.EqualFunc(got, want, same) {
			return outcomeWrong, fmt.Sprintf("%d entries at revision %d", len(got), p.Revision)
		}
		if again == 0 {
			next := p.Revision + 1
			set, drop := step(next)
			if err := x.Apply(position(next), set, drop); err != nil {
				return refused(err)
			}
			if err := x.Close(); err != nil {
				return outcomeWrong, err.Error()
			}
		}
	}
	return outcomeRight, ""
}

func refused(err error) (outcome, detail string) {
	if errors.Is(err, store.ErrDamaged) {
		return outcomeRefused, ""
	}
	return outcomeWrong, err.Error()
}
