package wal_test

import (
	"archive/zip"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/wal"
)

var update = flag.Bool("update", false, "make the fixture of today's schema anew")

// A log as the first release wrote it, files and all, is read by every later one. The fixture is made
// once for each schema, and then never again.
func TestFixtures(t *testing.T) {
	const schema1 = "testdata/schema1.zip"
	if *update {
		mem := memory(t)
		l := open(t, quiet(t, mem))
		for _, r := range goldenRecords() {
			if _, err := l.Append(r.Time, r.Clock, []wal.Entry{{Kind: r.Kind, Payload: r.Payload}}); err != nil {
				t.Fatal(err)
			}
		}
		closeLog(t, l)
		zipFiles(t, schema1, files(t, mem, "data"))
	}

	mem := restore(t, unzipFiles(t, schema1))
	for range 2 {
		l := open(t, quiet(t, mem))
		recs, err := read(l, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := goldenRecords()
		want[0].Chain, want[1].Chain = wal.Chain(unhex(t, chain1)), wal.Chain(unhex(t, chain2))
		if diff := cmp.Diff(want, recs); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
		if l.ID() != testID || l.First() != 1 || l.Lost() != nil || l.Warnings() != nil {
			t.Errorf("id %v, first %d, lost %v, warnings %v", l.ID(), l.First(), l.Lost(), l.Warnings())
		}
		closeLog(t, l)
	}
}

func zipFiles(t *testing.T, path string, content map[string][]byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, name := range slices.Sorted(maps.Keys(content)) {
		w, err := z.Create(filepath.ToSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func unzipFiles(t *testing.T, path string) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	content := map[string][]byte{}
	for _, entry := range z.File {
		r, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		content[entry.Name] = b
	}
	return content
}
