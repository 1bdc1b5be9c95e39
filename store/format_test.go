package store_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/introducer/introducer/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden are entries with every state, every kind of seed and every kind of time.
func golden() (store.Position, []store.Entry) {
	id := func(b byte) (id [32]byte) {
		for i := range id {
			id[i] = b + byte(i)
		}
		return id
	}
	return position(0x0102030405060708), []store.Entry{
		{
			Service: "download_storage", PeerID: id(0x00), State: store.Live,
			Revision: 0x0102030405060708, Seqnum: math.MaxInt64,
			Announced: time.Date(2026, 11, 1, 12, 0, 0, 1, time.UTC), FirstSeen: time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
			Deadline: 90 * time.Minute, Digest: id(0x80), Seed: []byte("twenty bytes of seed"),
		},
		{
			Service: "download_storage", PeerID: id(0x01), State: store.Withdrawn,
			Revision: 2, Seqnum: 3, Announced: time.Unix(0, 0).UTC(), Digest: id(0x81), Seed: []byte{},
		},
		{Service: "helper", PeerID: id(0x00), State: store.Expired, Revision: 4, Digest: id(0x82)},
		{
			Service: "s", PeerID: id(0xff), State: store.Evicted, Revision: 5,
			Seed: bytes.Repeat([]byte{0xcc}, store.MaxSeed),
		},
	}
}

// TestGoldenBytes holds every key and value of a file to the bytes on record.
func TestGoldenBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	p, entries := golden()
	if err := store.Build(path, p, slices.Values(entries)); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	dump(t, &got, path)
	const file = "testdata/schema1.golden"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("bytes of the file (-want +got):\n%s", d)
	}
}

// dump writes all buckets, keys and values of a bbolt file as text.
func dump(t *testing.T, w io.Writer, path string) {
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var walk func(indent string, b *bbolt.Bucket) error
	walk = func(indent string, b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				fmt.Fprintf(w, "%sbucket %q\n", indent, k)
				return walk(indent+"    ", b.Bucket(k))
			}
			name := fmt.Sprintf("%q", k)
			if len(k) == 32 {
				name = hex.EncodeToString(k)
			}
			fmt.Fprintf(w, "%s%s\n", indent, name)
			for line := range slices.Chunk(v, 32) {
				fmt.Fprintf(w, "%s    %x\n", indent, line)
			}
			return nil
		})
	}
	if err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			fmt.Fprintf(w, "bucket %q\n", name)
			return walk("    ", b)
		})
	}); err != nil {
		t.Fatal(err)
	}
}

// TestFixture opens a file that an earlier build of this schema wrote; later releases must, too.
func TestFixture(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("bbolt files are in the machine's byte order, and this one is little-endian")
	}
	const file = "testdata/schema1.index"
	p, want := golden()
	if *update {
		os.Remove(file)
		if err := store.Build(file, p, slices.Values(want)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	x := open(t, path)
	if got := x.Position(); got != p {
		t.Errorf("position %+v, want %+v", got, p)
	}
	wantEntries(t, x, want)
}

// TestEntryByHand reads an entry by nothing but the package comment.
func TestEntryByHand(t *testing.T) {
	_, entries := golden()
	e := entries[0]
	b, err := store.AppendEntry([]byte("before"), &e)
	if err != nil {
		t.Fatal(err)
	}
	b = b[len("before"):]
	u64 := binary.BigEndian.Uint64
	n := int(b[1])
	covered := append([]byte{byte(len(e.Service))}, e.Service...)
	covered = append(covered, e.PeerID[:]...)
	covered = append(covered, b[:74+n]...)
	got := map[string]any{
		"state": store.State(b[0]), "seed": b[74 : 74+n], "revision": u64(b[2:]), "seqnum": u64(b[10:]),
		"announced": time.Unix(0, int64(u64(b[18:]))).UTC(), "first seen": time.Unix(0, int64(u64(b[26:]))).UTC(),
		"deadline": time.Duration(u64(b[34:])), "digest": [32]byte(b[42:]),
		"sum": binary.BigEndian.Uint32(b[74+n:]), "size": len(b),
	}
	want := map[string]any{
		"state": e.State, "seed": e.Seed, "revision": uint64(e.Revision), "seqnum": e.Seqnum,
		"announced": e.Announced, "first seen": e.FirstSeen, "deadline": e.Deadline, "digest": e.Digest,
		"sum": crc32.Checksum(covered, crc32.MakeTable(crc32.Castagnoli)), "size": 78 + len(e.Seed),
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("entry (-want +got):\n%s", d)
	}
}

// TestEntryElsewhere: an entry is one only under its own key, and only whole.
func TestEntryElsewhere(t *testing.T) {
	e := entry("helper", 1, 7)
	b, err := store.AppendEntry(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	key := store.Key{Service: e.Service, PeerID: e.PeerID}
	if got, err := store.ParseEntry(key, b); err != nil {
		t.Fatal(err)
	} else if d := gocmp.Diff(e, got); d != "" {
		t.Fatalf("entry (-want +got):\n%s", d)
	}
	for _, k := range []store.Key{
		{Service: "helper2", PeerID: e.PeerID},
		{Service: "Helper", PeerID: e.PeerID},
		{Service: "helper", PeerID: peerID(2)},
		{PeerID: e.PeerID},
	} {
		if _, err := store.ParseEntry(k, b); err == nil {
			t.Errorf("read as an entry of %q, peer %x", k.Service, k.PeerID)
		}
	}
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := store.ParseEntry(key, b); err == nil {
			t.Errorf("read in spite of bit %d", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	for n := range b {
		if _, err := store.ParseEntry(key, b[:n]); err == nil {
			t.Errorf("read from its first %d bytes", n)
		}
	}
}

// FuzzEntry: whatever the bytes under a right checksum, they are refused or come back the same.
func FuzzEntry(f *testing.F) {
	_, entries := golden()
	for _, e := range entries {
		b, err := store.AppendEntry(nil, &e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(e.Service, e.PeerID[:], b[:len(b)-4])
	}
	f.Fuzz(func(t *testing.T, service string, peerID, body []byte) {
		if len(peerID) != 32 || len(service) < 1 || len(service) > store.MaxService {
			return
		}
		covered := append([]byte{byte(len(service))}, service...)
		covered = append(append(covered, peerID...), body...)
		value := binary.BigEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(covered, crc32.MakeTable(crc32.Castagnoli)))
		e, err := store.ParseEntry(store.Key{Service: service, PeerID: [32]byte(peerID)}, value)
		if err != nil {
			return
		}
		got, err := store.AppendEntry(nil, &e)
		if err != nil {
			t.Fatalf("%+v was read, but: %v", e, err)
		}
		if !bytes.Equal(got, value) {
			t.Errorf("read from %x, written as %x", value, got)
		}
	})
}

// FuzzPosition: whatever the bytes under a right checksum, they are refused or come back the same.
func FuzzPosition(f *testing.F) {
	b := store.AppendPosition(nil, position(7), 8, 9)
	f.Add(b[:len(b)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := crc32.Checksum(append([]byte("position"), body...), crc32.MakeTable(crc32.Castagnoli))
		value := binary.BigEndian.AppendUint32(bytes.Clone(body), sum)
		p, entries, tally, err := store.ParsePosition(value)
		if err != nil {
			if len(body) == 72 {
				t.Errorf("%x: %v", value, err)
			}
			return
		}
		if got := store.AppendPosition(nil, p, entries, tally); !bytes.Equal(got, value) {
			t.Errorf("read from %x, written as %x", value, got)
		}
	})
}
