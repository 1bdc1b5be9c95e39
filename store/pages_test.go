package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/introducer/introducer/store"
)

// TestCheckPages damages a file in one chosen way at a time, and wants it named.
func TestCheckPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	p, all := realistic(2000)
	entries := slices.Collect(all)
	entries = append(entries, entry("helper", 1, 1), entry("s", 1, 1)) // buckets inside a page
	if err := store.Build(path, p, slices.Values(entries)); err != nil {
		t.Fatal(err)
	}
	x := open(t, path)
	if err := x.Apply(p, []store.Entry{entry("helper", 2, 2)}, nil); err != nil { // pages become free
		t.Fatal(err)
	}
	x.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CheckPages(bytes.NewReader(good), int64(len(good))); err != nil {
		t.Fatalf("the good file: %v", err)
	}

	u16, u32, u64 := binary.NativeEndian.Uint16, binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	put16, put32, put64 := binary.NativeEndian.PutUint16, binary.NativeEndian.PutUint32, binary.NativeEndian.PutUint64
	metas := func(b []byte, change func(meta []byte)) {
		for _, m := range [][]byte{b[16:80], b[page+16 : page+80]} {
			change(m)
			h := fnv.New64a()
			h.Write(m[:56])
			put64(m[56:], h.Sum64())
		}
	}
	newest := good[16:80]
	if u64(good[page+16+48:]) > u64(newest[48:]) {
		newest = good[page+16 : page+80]
	}
	freelist := u64(newest[32:])
	free := map[uint64]bool{}
	for i := range u16(good[freelist*page+10:]) {
		free[u64(good[freelist*page+16+uint64(i)*8:])] = true
	}
	// used finds a page in use by its flags that satisfies ok.
	used := func(b []byte, flags uint16, ok func(p []byte) bool) []byte {
		t.Helper()
		for id := uint64(2); id < u64(newest[40:]); id++ {
			if p := b[id*page:][:page]; !free[id] && u16(p[8:]) == flags && ok(p) {
				return p
			}
		}
		t.Fatal("no such page")
		return nil
	}
	every := func([]byte) bool { return true }
	many := func(p []byte) bool { return u16(p[10:]) > 3 }
	branch := func(b []byte) []byte { return used(b, 1, many) }
	leaf := func(b []byte) []byte { return used(b, 2, many) }
	// inline finds the value of a bucket that lies in its parent's page.
	inline := func(b []byte) []byte {
		var value []byte
		used(b, 2, func(p []byte) bool {
			for i := range int(u16(p[10:])) {
				e := p[16+i*16:]
				from := u32(e[4:]) + u32(e[8:])
				if v := e[from:]; u32(e) == 1 && u64(v) == 0 {
					value = v[:u32(e[12:])]
					return true
				}
			}
			return false
		})
		return value
	}
	for _, tc := range []struct {
		name   string
		damage func(b []byte) []byte
		want   string
	}{
		{"nothing", func(b []byte) []byte { return nil }, "no valid meta page"},
		{"half a page", func(b []byte) []byte { return b[:2000] }, "pages in a file of 2000 bytes"},
		{"cut", func(b []byte) []byte { return b[:len(b)/2] }, "pages in a file of"},
		{"both meta pages", func(b []byte) []byte { b[40]++; b[page+40]++; return b }, "no valid meta page: wrong checksum"},
		{"another page size", func(b []byte) []byte { metas(b, func(m []byte) { put32(m[8:], 8192) }); return b }, "pages of 8192 bytes"},
		{"another page size in one meta page", func(b []byte) []byte {
			metas(b, func(m []byte) {
				if u64(m[48:]) != u64(newest[48:]) {
					put32(m[8:], 0)
				}
			})
			return b
		}, "pages of 0 bytes"},
		{"too few pages", func(b []byte) []byte { metas(b, func(m []byte) { put64(m[40:], 3) }); return b }, "3 pages in a file"},
		{"too many pages", func(b []byte) []byte { metas(b, func(m []byte) { put64(m[40:], 1<<60) }); return b }, "pages in a file"},
		{"root out of range", func(b []byte) []byte { metas(b, func(m []byte) { put64(m[16:], 1) }); return b }, "root: leads to page 1"},
		{"root at the freelist", func(b []byte) []byte { metas(b, func(m []byte) { copy(m[16:24], m[32:40]) }); return b }, "freelist: leads to page"},
		{"no freelist", func(b []byte) []byte { metas(b, func(m []byte) { put64(m[32:], 1<<64-1) }); return b }, "freelist: at page 18446744073709551615"},
		{"freelist in the tree", func(b []byte) []byte {
			id := u64(leaf(b))
			metas(b, func(m []byte) { put64(m[32:], id) })
			return b
		}, "freelist: page"},
		{"long freelist", func(b []byte) []byte { put16(b[freelist*page+10:], 600); return b }, "600 free pages, room for 510"},
		{"very long freelist", func(b []byte) []byte {
			f := b[freelist*page:]
			put16(f[10:], 0xFFFF)
			put64(f[16:], 1<<62)
			return b
		}, "4611686018427387904 free pages, room for 509"},
		{"freelist out of order", func(b []byte) []byte {
			f := b[freelist*page+16:]
			put64(f, u64(f[8:]))
			return b
		}, "freelist: page"},
		{"a free page too many", func(b []byte) []byte {
			f := b[freelist*page:]
			n := u16(f[10:])
			put64(f[16+int(n)*8:], u64(newest[40:])-1)
			put16(f[10:], n+1)
			if free[u64(newest[40:])-1] {
				t.Fatal("the last page is free already")
			}
			return b
		}, "free"},
		{"a free page too few", func(b []byte) []byte {
			f := b[freelist*page:]
			put16(f[10:], u16(f[10:])-1)
			return b
		}, ""},
		{"another page", func(b []byte) []byte { put64(leaf(b), 9999); return b }, "it says that it is page 9999"},
		{"a long page", func(b []byte) []byte { put32(leaf(b)[12:], 1<<32-1); return b }, "4294967296 pages long"},
		{"a page over the next", func(b []byte) []byte { put32(leaf(b)[12:], 1); return b }, ""},
		{"no flags", func(b []byte) []byte { put16(leaf(b)[8:], 0); return b }, "flags 0x0"},
		{"all flags", func(b []byte) []byte { put16(leaf(b)[8:], 0xFFFF); return b }, "flags 0xffff"},
		{"a freelist among the leaves", func(b []byte) []byte { put16(leaf(b)[8:], 0x10); return b }, "a freelist in the tree"},
		{"an empty branch", func(b []byte) []byte { put16(branch(b)[10:], 0); return b }, "a branch that leads nowhere"},
		{"too many elements", func(b []byte) []byte { put16(leaf(b)[10:], 1000); return b }, "1000 elements in 4096 bytes"},
		{"an element less", func(b []byte) []byte { p := branch(b); put16(p[10:], u16(p[10:])-1); return b }, "neither in use nor free"},
		{"data out of the page", func(b []byte) []byte { put32(leaf(b)[16+4:], 1<<31); return b }, "element 0: data at 2147483664"},
		{"data in the elements", func(b []byte) []byte { put32(leaf(b)[16+4:], 0); return b }, "element 0: data at 16 to"},
		{"a long key", func(b []byte) []byte { put32(leaf(b)[16+8:], 1<<32-1); return b }, "element 0: data at"},
		{"a long value", func(b []byte) []byte { put32(leaf(b)[16+12:], 1<<32-1); return b }, "element 0: data at"},
		{"no key", func(b []byte) []byte { put32(leaf(b)[16+8:], 0); return b }, "element 0: its key is not above the one before"},
		{"a key twice", func(b []byte) []byte {
			p := leaf(b)
			copy(p[16+16+4:], p[16+4:16+16])
			put32(p[16+16+4:], u32(p[16+4:])-16)
			return b
		}, "element 1: its key is not above the one before"},
		{"an unknown flag", func(b []byte) []byte { put32(leaf(b)[16:], 2); return b }, "element 0: flags 0x2"},
		{"an entry as a bucket", func(b []byte) []byte { put32(leaf(b)[16:], 1); return b }, "bucket"},
		{"a way in a circle", func(b []byte) []byte { p := branch(b); put64(p[16+8:], u64(p)); return b }, "as another does"},
		{"two ways to a page", func(b []byte) []byte { p := branch(b); put64(p[16+8:], u64(p[16+16+8:])); return b }, "as another does"},
		{"a way to a free page", func(b []byte) []byte {
			for id := range free {
				put64(branch(b)[16+8:], id)
				break
			}
			return b
		}, "which is free"},
		{"a way to the meta page", func(b []byte) []byte { put64(branch(b)[16+8:], 0); return b }, "leads to page 0"},
		{"two ways changed over", func(b []byte) []byte {
			p := branch(b)
			one, other := u64(p[16+8:]), u64(p[16+16+8:])
			put64(p[16+8:], other)
			put64(p[16+16+8:], one)
			return b
		}, "does not begin with the key that leads to it"},
		{"another key of a branch", func(b []byte) []byte {
			e := branch(b)[16+16:]
			e[u32(e)+31]++
			return b
		}, "does not begin with the key that leads to it"},
		{"a bucket's page is a free one", func(b []byte) []byte { put64(inline(b), 1<<40); return b }, "bucket"},
		{"a bucket's page is no leaf", func(b []byte) []byte { put16(inline(b)[16+8:], 1); return b }, "no leaf page in it"},
		{"a bucket's elements", func(b []byte) []byte { put16(inline(b)[16+10:], 500); return b }, "500 elements"},
		{"a bucket in a bucket's page", func(b []byte) []byte { put32(inline(b)[16+16:], 1); return b }, "element 0: flags 0x1"},
		{"a page too many", func(b []byte) []byte {
			b = b[:u64(newest[40:])*page]
			b = append(b, used(b, 2, every)...)
			put64(b[len(b)-page:], u64(newest[40:]))
			metas(b, func(m []byte) { put64(m[40:], u64(newest[40:])+1) })
			return b
		}, "neither in use nor free"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := tc.damage(slices.Clone(good))
			err := store.CheckPages(bytes.NewReader(b), int64(len(b)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

// TestCheckReads: what cannot be read is damage.
func TestCheckReads(t *testing.T) {
	good, err := os.ReadFile("testdata/schema1.index")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("input/output error")
	for n := range len(good) / 512 {
		r := failing{bytes.NewReader(good), int64(n * 512), broken}
		err := store.CheckPages(r, int64(len(good)))
		// One meta page that cannot be read is like one that isn't valid.
		if n < 2*page/512 {
			continue
		}
		if !errors.Is(err, broken) {
			t.Errorf("failing at %d: %v, want %v", n*512, err, broken)
		}
	}
}

// failing reads up to limit.
type failing struct {
	*bytes.Reader
	limit int64
	err   error
}

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.limit {
		return 0, f.err
	}
	return f.Reader.ReadAt(b, off)
}

// FuzzPages: whatever is in a file, the check ends, and what it lets through bbolt's own check
// finds sound. The meta pages are sealed anew, so that the fuzzer gets past them.
func FuzzPages(f *testing.F) {
	good, err := os.ReadFile("testdata/schema1.index")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), good[:0])
	f.Add(uint32(2*page+8), []byte{2})
	f.Add(uint32(16+16), []byte{3})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := slices.Clone(good)
		copy(b[int(at)%len(b):], patch)
		copy(b[:16], good) // bbolt looks at the headers of its meta pages in its check alone
		copy(b[page:page+16], good[page:])
		for _, m := range [][]byte{b[16:80], b[page+16 : page+80]} {
			h := fnv.New64a()
			h.Write(m[:56])
			binary.NativeEndian.PutUint64(m[56:], h.Sum64())
		}
		if store.CheckPages(bytes.NewReader(b), int64(len(b))) != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "index")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second, PreLoadFreelist: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.View(func(tx *bbolt.Tx) error {
			var all []error
			for err := range tx.Check() {
				all = append(all, err)
			}
			return errors.Join(all...)
		}); err != nil {
			t.Error(err)
		}
	})
}
