package visible_test

import (
	"encoding/json"
	"os"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/introducer/introducer/web/visible"
)

// table is testdata/visible.json, which holds for the live page's script too.
type table struct {
	Text     [][3]string `json:"text"` // name, text, what is shown
	Clip     []clipped   `json:"clip"`
	Endpoint [][2]string `json:"endpoint"` // endpoint, what is shown
}

type clipped struct {
	in   string
	n    int
	want string
}

func (c *clipped) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&c.in, &c.n, &c.want})
}

func readTable(t *testing.T) table {
	t.Helper()
	b, err := os.ReadFile("testdata/visible.json")
	if err != nil {
		t.Fatal(err)
	}
	var all table
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestText(t *testing.T) {
	// What a script cannot have in its texts.
	for _, c := range append(readTable(t).Text, [3]string{"not UTF-8", "a\xffb\xc3", `a\x{ff}b\x{c3}`}) {
		if got := visible.Text(c[1]); got != c[2] {
			t.Errorf("%s: Text(%q): got %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range append(readTable(t).Clip, clipped{"abc", 0, "…"}, clipped{"a", 0, "a"}) {
		if got := visible.Clip(c.in, c.n); got != c.want {
			t.Errorf("Clip(%q, %d): got %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range readTable(t).Endpoint {
		if got := visible.Endpoint(c[0]); got != c[1] {
			t.Errorf("Endpoint(%q): got %q, want %q", c[0], got, c[1])
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "node", "\u202e\x1b[2J\xff", "pb://a@b/c", "https://u:p@h,x/y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{visible.Text(s), visible.Clip(s, 12), visible.Endpoint(s)} {
			if !utf8.ValidString(got) {
				t.Fatalf("of %q: %q is not UTF-8", s, got)
			}
			for _, r := range got {
				if !unicode.IsPrint(r) {
					t.Fatalf("of %q: %q has %U in it", s, got, r)
				}
			}
		}
		if got := visible.Text(visible.Text(s)); got != visible.Text(s) {
			t.Fatalf("of %q: not stable: %q", s, got)
		}
		if got := visible.Clip(s, 12); utf8.RuneCountInString(got) > 12 {
			t.Fatalf("of %q: %q is over 12 characters", s, got)
		}
	})
}
