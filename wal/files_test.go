package wal_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/introducer/introducer/wal"
)

// The outcomes of opening a log with a damaged file. All but short and wrong are right.
const (
	whole   = "complete"                // the damage hit nothing that matters
	lost    = "quarantined"             // Lost says that something is missing
	refused = "refused by Open"         // an error
	named   = "named by reading"        // it opens, and reading ends in an error
	short   = "SHORT WITHOUT A WORD"    // the one that must never be
	wrong   = "WRONG RECORDS"           // nor this
	unsure  = "complete, with warnings" // the witness was hit, the log not
)

// outcome opens the log in content and says what became of it.
func outcome(t *testing.T, content map[string][]byte, payloads []string) string {
	t.Helper()
	opts := crashOptions(t, restore(t, content))
	l, err := wal.Open(logDir, opts)
	if err != nil {
		return refused
	}
	defer l.Close()
	recs, err := read(l, 0, 0)
	for i, rec := range recs {
		if int(rec.Revision) != i+1 || i >= len(payloads) || string(rec.Payload) != payloads[i] {
			return wrong
		}
	}
	switch {
	case l.Lost() != nil:
		return lost
	case err != nil:
		return named
	case len(recs) < len(payloads):
		return short
	case l.Warnings() != nil:
		return unsure
	}
	return whole
}

// closedLog returns the files of a closed log of these records.
func closedLog(t *testing.T, payloads []string) map[string][]byte {
	t.Helper()
	mem := memory(t)
	l := open(t, crashOptions(t, mem))
	for _, p := range payloads {
		add(t, l, p)
	}
	closeLog(t, l)
	return files(t, mem, "data")
}

// newest is the path of the newest write-ahead log.
func newest(t *testing.T, content map[string][]byte) string {
	t.Helper()
	found := ""
	for path := range content {
		if strings.HasSuffix(path, ".log") {
			found = max(found, path)
		}
	}
	if len(content[found]) < 1000 {
		t.Fatalf("the newest write-ahead log, %q, has %d bytes", found, len(content[found]))
	}
	return found
}

// No flipped bit in the newest write-ahead log, and no cut of it, loses a record silently. Of the bits
// one in each byte is tried.
func TestDamagedWriteAheadLog(t *testing.T) {
	payloads := workload(8)
	for i := range payloads {
		payloads[i] = payloads[i][:min(len(payloads[i]), 100)]
	}
	content := closedLog(t, payloads)
	path := newest(t, content)
	good := content[path]
	step := 1
	if reduced() {
		step = 13
	}

	rng := rand.New(rand.NewPCG(5, 6))
	flips, cuts := map[string]int{}, map[string]int{}
	for at := 0; at < len(good); at += step {
		damaged := bytes.Clone(good)
		damaged[at] ^= 1 << rng.IntN(8)
		content[path] = damaged
		got := outcome(t, content, payloads)
		flips[got]++
		if got == short || got == wrong {
			t.Errorf("a bit of byte %d of %d flipped: %s", at, len(good), got)
		}

		content[path] = good[:at:at]
		got = outcome(t, content, payloads)
		cuts[got]++
		if got == short || got == wrong {
			t.Errorf("cut to %d of %d bytes: %s", at, len(good), got)
		}
	}
	t.Logf("%d bytes; flipped: %v; cut: %v", len(good), flips, cuts)
	if flips[lost] == 0 || cuts[lost] == 0 {
		t.Error("nothing was lost: the test doesn't test")
	}
}

// A log that was made and never opened has its few keys in a table and not in a write-ahead log of
// Pebble's oldest format, so that no damage to the latter makes it no log.
func TestDamagedFreshLog(t *testing.T) {
	content := files(t, memory(t), "data")
	for path, good := range content {
		if fileClass(path) != "write-ahead log" {
			continue
		}
		for _, damaged := range [][]byte{nil, make([]byte, len(good)), bytes.Repeat([]byte{0xff}, len(good)+1)} {
			content[path] = damaged
			if got := outcome(t, content, nil); got != whole {
				t.Errorf("%s of %d bytes made %d of % x…: %s", path, len(good), len(damaged), damaged[:min(1, len(damaged))], got)
			}
		}
		content[path] = good
	}
}

// The same for every other file: flipped bits, blocks of zeros, cuts, files that vanish and files that
// are an older version of themselves.
func TestDamagedFiles(t *testing.T) {
	trials := 60 // of each kind, for each file
	if reduced() {
		trials = 8
	}
	payloads := workload(60)
	mem := makeLog(t, vfs.NewCrashableMem())
	l := open(t, crashOptions(t, mem))
	for _, p := range payloads[:40] {
		add(t, l, p)
	}
	// All at one moment, from under the running log.
	older := files(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}), "data")
	for _, p := range payloads[40:] {
		add(t, l, p)
	}
	closeLog(t, l)
	content := files(t, mem, "data")
	if diff := outcome(t, content, payloads); diff != whole {
		t.Fatalf("undamaged: %s", diff)
	}

	rng := rand.New(rand.NewPCG(8, 9))
	kinds := []struct {
		name   string
		damage func(good []byte) []byte
	}{
		{"flip", func(good []byte) []byte {
			b := bytes.Clone(good)
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			return b
		}},
		{"zero", func(good []byte) []byte {
			b := bytes.Clone(good)
			from := rng.IntN(len(b))
			clear(b[from:min(len(b), from+512)])
			return b
		}},
		{"cut", func(good []byte) []byte { return good[:rng.IntN(len(good))] }},
	}
	table := map[string]map[string]int{}
	note := func(path, kind string, content map[string][]byte) {
		t.Helper()
		class := fileClass(path)
		got := outcome(t, content, payloads)
		if table[class+" "+kind] == nil {
			table[class+" "+kind] = map[string]int{}
		}
		table[class+" "+kind][got]++
		if got == short || got == wrong {
			t.Errorf("%s: %s: %s", path, kind, got)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(content)) {
		good := content[path]
		damaged := maps.Clone(content)
		for _, k := range kinds {
			for range trials {
				if len(good) > 0 {
					damaged[path] = k.damage(good)
					note(path, k.name, damaged)
				}
			}
		}
		if old, ok := older[path]; ok && path != witnessFile {
			damaged[path] = old
			note(path, "older version", damaged)
		}
		delete(damaged, path)
		note(path, "missing", damaged)
	}
	// All but the witness put back as it was: what a restored snapshot looks like.
	back := maps.Clone(older)
	back[witnessFile] = content[witnessFile]
	note("data/log", "older version", back)
	for _, what := range slices.Sorted(maps.Keys(table)) {
		t.Logf("%-26s %v", what, table[what])
	}
	if table["log older version"][lost] != 1 {
		t.Error("the older version of the whole log was not told from the newer one")
	}
}

// fileClass is the kind of file that path is.
func fileClass(path string) string {
	name := path[strings.LastIndex(path, "/")+1:]
	switch {
	case strings.HasSuffix(name, ".log"):
		return "write-ahead log"
	case strings.HasSuffix(name, ".sst"):
		return "table"
	case strings.HasPrefix(name, "marker."):
		return "marker"
	}
	class, _, _ := strings.Cut(name, "-")
	return class
}

// Two files of two logs changed places: nothing is served that is not of this log.
func TestSwappedWitness(t *testing.T) {
	payloads := workload(5)
	content := closedLog(t, payloads)
	mem := vfs.NewMem()
	if err := mem.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := wal.Create(logDir, otherID, wal.Options{FS: mem}); err != nil {
		t.Fatal(err)
	}
	content[witnessFile] = readFile(t, mem, witnessFile)
	if got := outcome(t, content, payloads); got != lost {
		t.Errorf("got %s, want %s", got, lost)
	}
}
