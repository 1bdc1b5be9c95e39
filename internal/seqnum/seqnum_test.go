package seqnum_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/internal/seqnum"
)

func open(t *testing.T, path string) *seqnum.File {
	t.Helper()
	f, err := seqnum.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNumbers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.privkey.seqnum")
	var got []uint64
	take := func(n uint64, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	f := open(t, path)
	take(f.Next("storage"))
	take(f.Next("storage"))
	take(f.Next("helper"))
	take(f.Beat("storage", 40)) // an introducer knew a greater one
	take(f.Beat("storage", 7))  // and another a lesser one
	f = open(t, path)           // a later run goes on
	take(f.Next("storage"))
	take(f.Next("helper"))
	if diff := cmp.Diff([]uint64{1, 2, 1, 41, 42, 43, 2}, got); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("{\n  \"helper\": 2,\n  \"storage\": 43\n}\n", content(t, path)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

// A number is in the file before anyone has it: that is what makes a crash harmless.
func TestSavedFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not there")
	f := open(t, filepath.Join(dir, "seqnum"))
	if n, err := f.Next("storage"); err == nil {
		t.Fatalf("got number %d, which is not in the file", n)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	n, err := f.Next("storage")
	if err != nil || n != 1 {
		t.Errorf("got %d, %v, want 1: the first was never given out", n, err)
	}
}

func TestLastNumber(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "seqnum"))
	if n, err := f.Beat("storage", announce.MaxSeqnum-1); err != nil || n != announce.MaxSeqnum {
		t.Errorf("got %d, %v, want %d", n, err, uint64(announce.MaxSeqnum))
	}
	for _, current := range []uint64{0, announce.MaxSeqnum, 1<<64 - 1} {
		if n, err := f.Beat("storage", current); !errors.Is(err, seqnum.ErrExhausted) {
			t.Errorf("beating %d: got %d, %v, want ErrExhausted", current, n, err)
		}
	}
}

func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seqnum")
	for _, text := range []string{"", "null", "[]", "7", `{"storage": -1}`, `{"storage": 1.5}`, `{"storage": "1"}`,
		`{"storage": 9223372036854775808}`, `{"No Service": 1}`, `{"a":1,"a":2}`, `{"a":1}{}`, `{"a":1`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := seqnum.Open(path); !errors.Is(err, seqnum.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("of %q: got %v, want ErrDamaged and the path", text, err)
		}
		if got := content(t, path); got != text {
			t.Errorf("of %q: the file was changed to %q", text, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"storage": 17}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "seqnum")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := seqnum.Open(path)
		if err != nil {
			return
		}
		n, err := file.Next("storage")
		if errors.Is(err, seqnum.ErrExhausted) {
			return
		}
		if err != nil || n == 0 {
			t.Fatalf("of %q: got %d, %v", text, n, err)
		}
		if next, err := open(t, path).Next("storage"); err == nil && next <= n {
			t.Fatalf("of %q: got %d, and %d after opening it again", text, n, next)
		}
	})
}
