package visible_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/introducer/introducer/web/visible"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"plain", "node 7", "node 7"},
		{"letters of all the world", "Zürich 東京 النيل", "Zürich 東京 النيل"},
		{"line break and tab", "a\nb\tc", `a\u{a}b\u{9}c`},
		{"terminal control", "\x1b[2J", `\u{1b}[2J`},
		{"eight-bit control", "\u009b2J", `\u{9b}2J`},
		{"right-to-left override", "exe\u202egpj", `exe\u{202e}gpj`},
		{"isolate", "\u2066x\u2069", `\u{2066}x\u{2069}`},
		{"zero width", "a\u200bb\ufeffc", `a\u{200b}b\u{feff}c`},
		{"no-break space", "a\u00a0b", `a\u{a0}b`},
		{"not UTF-8", "a\xffb\xc3", `a\x{ff}b\x{c3}`},
		{"the replacement character itself", "a\ufffdb", "a\ufffdb"},
		{"tag characters", "a\U000e0041", `a\u{e0041}`},
		{"markup is left alone", "<b>&", "<b>&"},
	} {
		if got := visible.Text(c.in); got != c.want {
			t.Errorf("%s: Text(%q): got %q, want %q", c.name, c.in, got, c.want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 5, ""},
		{"abcde", 5, "abcde"},
		{"abcdef", 5, "abcd…"},
		{"東京都庁舎前", 3, "東京…"},
		{"abc", 0, "…"},
		{"a", 0, "a"},
		{strings.Repeat("\u0301", 50), 4, "\u0301\u0301\u0301…"},
		{"\u202e\u202e", 9, `\u{202e}…`},
	} {
		if got := visible.Clip(c.in, c.n); got != c.want {
			t.Errorf("Clip(%q, %d): got %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"pb://4z5h7elx@tcp:127.0.0.1:45711/3zwym5q2", "pb://127.0.0.1:45711/…"},
		{"pb://4z5h7elx@127.0.0.1:45711,tcp:example.net:2/3zwym5q2", "pb://127.0.0.1:45711/…"},
		{"pb://5TY2@127.0.0.1:45711/3zwym5q2#v=1", "pb://127.0.0.1:45711/…"},
		{"pb://a@secret@host/s", "pb://host/…"},
		{"https://example.net", "https://example.net"},
		{"https://example.net/", "https://example.net"},
		{"https://example.net/a/b", "https://example.net/…"},
		{"https://example.net?token=s", "https://example.net/…"},
		{"https://user:secret@example.net:8443/", "https://example.net:8443"},
		{"https://[2001:db8::1]:443/x", "https://[2001:db8::1]:443/…"},
		{"javascript:alert(1)", "javascript:…"},
		{"http://\u202eevil/", `http://\u{202e}evil`},
		{"secret", "…"},
		{"", "…"},
		{"<b>:x", "…"},
		{strings.Repeat("a", 21) + "://h", "…"},
	} {
		if got := visible.Endpoint(c.in); got != c.want {
			t.Errorf("Endpoint(%q): got %q, want %q", c.in, got, c.want)
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
