package cache_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client/internal/cache"
)

// sample is a small file, and where its groups end.
type sample struct {
	bytes []byte
	ends  []int // :: group → where it ends in bytes
	ops   [][]cache.Op
}

func newSample(t *testing.T) *sample {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peers")
	c, _ := open(t, path, cache.Options{})
	a, b, newer := says(1, "storage", 5), says(2, "storage", 1), says(1, "storage", 6)
	s := &sample{ops: [][]cache.Op{
		{}, // that the file was made
		{a.announced(one), a.raised(false), b.announced(one), b.raised(false), cache.Stand{Introducer: one, LogID: [16]byte{1}, Revision: 2}},
		{a.announced(two), cache.Stand{Introducer: two, LogID: [16]byte{2}, Revision: 1}},
		{newer.announced(one), newer.raised(false), cache.Stand{Introducer: one, LogID: [16]byte{1}, Revision: 3}},
		{cache.Gone{Introducer: one, Key: b.Key}, says(2, "storage", 2).raised(true), cache.Stand{Introducer: one, LogID: [16]byte{1}, Revision: 4}},
	}}
	for _, ops := range s.ops {
		ok(t, c.Append(ops...))
		ok(t, c.Flush(t.Context()))
		info, err := os.Stat(path)
		ok(t, err)
		s.ends = append(s.ends, int(info.Size()))
	}
	var err error
	s.bytes, err = os.ReadFile(path)
	ok(t, err)
	return s
}

// without is what should be left when the groups that hit names are lost. tokens: whether they stay.
func (s *sample) without(hit func(group int) bool, tokens bool) view {
	w := newWorld()
	seen := map[cache.Digest]bool{}
	for i, ops := range s.ops {
		for _, op := range ops {
			if a, ok := op.(cache.Announced); ok {
				// The bytes are in the group that first had them, and nowhere else.
				if seen[a.Digest] {
					a.Signed = announce.Signed{}
				}
				seen[a.Digest] = true
				op = a
			}
			if !hit(i) {
				w.apply(op)
			}
		}
	}
	v := w.view()
	if !tokens {
		v = v.withoutTokens()
	}
	return v
}

// begin is where the group begins.
func (s *sample) begin(group int) int {
	if group == 0 {
		return cache.HeaderSize
	}
	return s.ends[group-1]
}

// load reads bytes that hold want, and notes are expected or not.
func (s *sample) load(t *testing.T, what string, b []byte, want view, notes bool) {
	t.Helper()
	got, err := cache.Load(b, verifier)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	wantView(t, got, want)
	if (got.Notes != nil) != notes {
		t.Fatalf("%s: notes %q", what, got.Notes)
	}
	// Written anew, it is sound and holds the same.
	anew, err := cache.Rewrite(b, verifier)
	ok(t, err)
	got, err = cache.Load(anew, verifier)
	ok(t, err)
	wantView(t, got, want)
	if got.Notes != nil {
		t.Fatalf("%s: after it was written anew: %q", what, got.Notes)
	}
}

// A bit of each byte in turn is flipped: what its group said is lost, and with it the tokens unless it was the
// last. Nothing else is. The header can be done without.
func TestDamagedBytes(t *testing.T) {
	s := newSample(t)
	last := len(s.ops) - 1
	for i := range s.bytes {
		b := bytes.Clone(s.bytes)
		b[i] ^= 1 << (i % 8)
		hit := -1
		for g := range s.ops {
			if s.begin(g) <= i && i < s.ends[g] {
				hit = g
			}
		}
		s.load(t, fmt.Sprintf("byte %d", i), b, s.without(func(g int) bool { return g == hit }, hit == last || hit < 0), true)
	}
}

// A range of bytes is lost, as when a sector cannot be read or was never written.
func TestDamagedRanges(t *testing.T) {
	s := newSample(t)
	for _, n := range []int{2, 64, 512} {
		for i := 0; i < len(s.bytes); i += 13 {
			b := bytes.Clone(s.bytes)
			clear(b[i:min(i+n, len(b))])
			hit := func(g int) bool { return !bytes.Equal(b[s.begin(g):s.ends[g]], s.bytes[s.begin(g):s.ends[g]]) }
			lost, middle := false, false
			for g := range s.ops {
				middle = middle || lost && !hit(g)
				lost = lost || hit(g)
			}
			s.load(t, fmt.Sprintf("%d zeros from byte %d", n, i), b, s.without(hit, !middle), lost || i < cache.HeaderSize)
		}
	}
}

// A file that is cut off anywhere is a file of the past.
func TestCutOff(t *testing.T) {
	s := newSample(t)
	for n := range s.bytes {
		whole := n == cache.HeaderSize
		for _, end := range s.ends {
			whole = whole || n == end
		}
		s.load(t, fmt.Sprintf("cut off at %d", n), s.bytes[:n], s.without(func(g int) bool { return s.ends[g] > n }, true), !whole)
	}
}

// Bytes that belong to nobody lie between the groups, some of them looking like the beginning of one.
func TestInserted(t *testing.T) {
	s := newSample(t)
	at := s.ends[1]
	for name, junk := range map[string][]byte{
		"noise":                      []byte("noise"),
		"markers":                    bytes.Repeat(s.bytes[cache.HeaderSize:cache.HeaderSize+8], 5),
		"half a group":               s.bytes[s.begin(1) : s.ends[1]-9],
		"a group of another file":    cache.Wrapped(nil)[cache.HeaderSize:],
		"a group that says it is 4G": append(bytes.Clone(s.bytes[cache.HeaderSize:cache.HeaderSize+8]), 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0),
	} {
		b := bytes.Join([][]byte{s.bytes[:at], junk, s.bytes[at:]}, nil)
		s.load(t, name, b, s.without(func(int) bool { return false }, false), true)
	}
}

// Open mends the file: what it found is said once, what is appended behind it is found.
func TestMended(t *testing.T) {
	s := newSample(t)
	for name, damage := range map[string]struct {
		do     func(b []byte) []byte
		lost   int
		tokens bool
		note   string
	}{
		"header":      {func(b []byte) []byte { b[3] ^= 4; return b }, -1, true, "header"},
		"first group": {func(b []byte) []byte { b[50] ^= 4; return b }, 0, false, "bytes 36 to"},
		"a later one": {func(b []byte) []byte { b[s.ends[1]+9] ^= 4; return b }, 2, false, "damaged"},
		"last group":  {func(b []byte) []byte { b[len(b)-1] ^= 4; return b }, 4, true, "ends in the middle"},
		"cut":         {func(b []byte) []byte { return b[:len(b)-1] }, 4, true, "ends in the middle"},
		"emptied":     {func(b []byte) []byte { return nil }, 100, true, "cut off in its header"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "peers")
			ok(t, os.WriteFile(path, damage.do(bytes.Clone(s.bytes)), 0o600))
			want := s.without(func(g int) bool { return g == damage.lost || damage.lost == 100 }, damage.tokens)
			c, got := open(t, path, cache.Options{})
			wantView(t, got, want)
			if text := strings.Join(got.Notes, "\n"); !strings.Contains(text, damage.note) {
				t.Errorf("notes %q say nothing of %q", text, damage.note)
			}
			more := says(3, "printer", 1)
			ok(t, c.Append(more.raised(false)))
			ok(t, c.Close())
			want.Floors[more.Key] = more.raised(false).Floor
			got = reopen(t, path)
			wantView(t, got, want)
			if got.Notes != nil {
				t.Errorf("still notes: %q", got.Notes)
			}
		})
	}
}

// An announcement that does not verify is dropped, and so are the tokens of those who announced it, since
// their sets are not what they were. All else stays.
func TestUnverifiable(t *testing.T) {
	good, bad := says(1, "storage", 1), says(2, "storage", 1)
	forge := func(change func(*announce.Signed)) said {
		s := announce.Signed{Message: bytes.Clone(bad.Message), Signature: bytes.Clone(bad.Signature), PeerID: bytes.Clone(bad.PeerID)}
		change(&s)
		return said{Key: bad.Key, Digest: s.Digest(), Signed: s}
	}
	for name, forged := range map[string]said{
		"signature":       forge(func(s *announce.Signed) { s.Signature[0] ^= 1 }),
		"short signature": forge(func(s *announce.Signed) { s.Signature = s.Signature[:63] }),
		"message":         forge(func(s *announce.Signed) { s.Message[20] ^= 1 }),
		"peer id":         forge(func(s *announce.Signed) { s.PeerID = good.PeerID }),
		"short peer id":   forge(func(s *announce.Signed) { s.PeerID = s.PeerID[:31] }),
		"no message":      forge(func(s *announce.Signed) { s.Message = []byte{} }),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "peers")
			c, _ := open(t, path, cache.Options{})
			w := newWorld()
			for _, ops := range [][]cache.Op{
				{good.announced(one), cache.Stand{Introducer: one, LogID: [16]byte{1}, Revision: 1}, good.raised(false)},
				{good.announced(two), forged.announced(two), cache.Stand{Introducer: two, LogID: [16]byte{1}, Revision: 2}},
			} {
				ok(t, c.Append(ops...))
				w.apply(ops...)
			}
			ok(t, c.Close())
			w.apply(cache.Gone{Introducer: two, Key: forged.Key}, cache.Stand{Introducer: two})

			s := reopen(t, path)
			wantView(t, s, w.view())
			if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "do not verify are dropped, 1 of") {
				t.Errorf("notes %q", s.Notes)
			}
			s = reopen(t, path)
			wantView(t, s, w.view())
			if s.Notes != nil {
				t.Errorf("still notes: %q", s.Notes)
			}
		})
	}
}

// Bytes of an announcement that lie under another digest than their own are never found by it.
func TestWrongDigest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	c, _ := open(t, path, cache.Options{})
	a := says(1, "storage", 1).announced(one)
	a.Digest[0] ^= 1
	ok(t, c.Append(a))
	ok(t, c.Close())
	a.Signed = announce.Signed{}
	w := newWorld()
	w.apply(a)
	wantView(t, reopen(t, path), w.view())
}

// Operations whose sum is right but which are none: a release that wrote more than this one knows, or a
// program's mistake. The group is left out whole.
func TestUnknownOperations(t *testing.T) {
	valid := "\x09\x01x" + strings.Repeat("p", 32)
	for name, ops := range map[string]string{
		"operation 0":                   "\x00",
		"operation 11":                  valid + "\x0b",
		"about no introducer":           "\x05",
		"key cut off":                   "\x09\x01x" + strings.Repeat("p", 31),
		"text longer than what follows": "\x01\x05abcd",
		"length without an end":         "\x01\xff\xff",
		"length over 64 bits":           "\x01" + strings.Repeat("\xff", 10) + "\x01",
		"services without an end":       "\x01\x01u\x06" + strings.Repeat("l", 16) + "\x01\xff\xff\xff\xff\x0f\x01s",
		"floor with another flag":       "\x08\x01x" + strings.Repeat("p", 32) + "\x01" + strings.Repeat("d", 32) + "\x02\x00",
		"digest cut off":                "\x01\x01u\x03\x01x" + strings.Repeat("p", 32) + "d",
	} {
		s, err := cache.Load(cache.Wrapped([]byte(valid+ops)), verifier)
		ok(t, err)
		if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "this release does not know") {
			t.Errorf("%s: notes %q", name, s.Notes)
		}
		wantView(t, s, newWorld().view())
	}
}

// A damaged file on a disk that takes nothing: what is good of it serves this run, and stays for the next.
func TestMendingFails(t *testing.T) {
	s := newSample(t)
	s.bytes[s.ends[1]+9] ^= 4
	path := filepath.Join(t.TempDir(), "peers")
	ok(t, os.WriteFile(path, s.bytes, 0o600))
	d := disk{before: func(string) error { return errFull }}
	c, got := open(t, path, d.options())
	want := s.without(func(g int) bool { return g == 2 }, false)
	wantView(t, got, want)
	if err := c.Append(group(1)...); !errors.Is(err, cache.ErrStopped) || !errors.Is(err, errFull) {
		t.Errorf("Append: got %v, want ErrStopped", err)
	}
	c.Close()
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, s.bytes) {
		t.Errorf("the file was changed (%v)", err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a part of a new file is left: %v", err)
	}
	wantView(t, reopen(t, path), want)
}
