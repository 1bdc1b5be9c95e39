package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/introducer/introducer/store"
)

// TestLoadForgets: what Load read through the mapping does not stay in the process's memory.
func TestLoadForgets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	p, all := realistic(20_000)
	if err := store.Build(path, p, all); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	x := open(t, path)
	during := 0
	n := 0
	if err := x.Load(func(store.Entry) error {
		if n++; n == 20_000 {
			during = resident(t, path)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	after := resident(t, path)
	size := int(info.Size())
	if during < size/2 {
		t.Fatalf("%d bytes of %d are resident at the end of the load, so nothing is tested", during, size)
	}
	if after > size/4 {
		t.Errorf("%d bytes of %d are resident after the load", after, size)
	}
}

// resident is how many bytes of this process's mappings of a file are in memory.
func resident(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	bytes, ours := 0, false
	for line := range strings.Lines(string(b)) {
		switch fields := strings.Fields(line); {
		case strings.Contains(fields[0], "-"):
			ours = strings.HasSuffix(strings.TrimSpace(line), path)
		case ours && fields[0] == "Rss:":
			var kib int
			if _, err := fmt.Sscan(fields[1], &kib); err != nil {
				t.Fatal(err)
			}
			bytes += kib << 10
		}
	}
	return bytes
}
