// Package visible makes a stranger's text fit to be looked at: on a terminal, on a page, in a log.
// Nicknames and endpoints come from whoever holds a key, and may hold control characters that drive a
// terminal, marks that turn the reading direction around, or nothing that can be seen at all.
//
// What it promises: a result is valid UTF-8 of printable characters and plain spaces, on one line; text
// that is such already comes back as it is; and two texts give the same result only if one of them
// spells out the other's escapes. It does not escape markup, which is the page's business.
//
// Numbers, time spans and sizes are written here too, for the same readers.
package visible

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with everything that does not print written as an escape: \u{202e} for a character,
// \x{ff} for a byte that is not UTF-8. Characters print as [unicode.IsPrint] has it, so that format
// characters (the bidirectional controls and the zero-width ones), the private and the unassigned do not.
func Text(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x{%02x}`, s[0])
		case unicode.IsPrint(r):
			b.WriteString(s[:size])
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		s = s[size:]
	}
	return b.String()
}

// hidden also stops at U+FFFD, which a byte that is not UTF-8 decodes to.
func hidden(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// Clip returns [Text] of s, cut to at most n characters, the last of which is then "…". Below 1 it is
// one character. Marks that combine with the character before them count as characters, so that a name
// of nothing but marks cannot pile up.
func Clip(s string, n int) string {
	s = Text(s)
	if utf8.RuneCountInString(s) <= max(n, 1) {
		return s
	}
	seen := 0
	for i := range s {
		if seen++; seen == max(n, 1) {
			return s[:i] + "…"
		}
	}
	return s
}

// Endpoint returns the scheme and the host of an endpoint, and "…" for the rest: a FURL or NURL is a
// capability, whoever knows all of it may use the service.
//
//	pb://tubid@tcp:198.51.100.7:3457,tcp:example.net:1/swissnum → pb://198.51.100.7:3457/…
//	https://example.net/path?query → https://example.net/…
//
// Of several places the first is shown. What has no host shows its scheme, and what has no scheme
// nothing.
func Endpoint(s string) string {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || !isScheme(scheme) {
		return "…"
	}
	rest, ok = strings.CutPrefix(rest, "//")
	if !ok {
		return scheme + ":…"
	}
	host, more, cut := rest, "", false
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, more, cut = rest[:i], rest[i:], true
	}
	if _, after, ok := strings.Cut(host, "@"); ok {
		host = after
		// A second one would leave part of what stood before the last.
		host = host[strings.LastIndex(host, "@")+1:]
	}
	host, _, several := strings.Cut(host, ",")
	host = strings.TrimPrefix(host, "tcp:")
	out := scheme + "://" + Clip(host, 80)
	if several || cut && more != "/" {
		out += "/…"
	}
	return out
}

// isScheme is RFC 3986, section 3.1, and at most 20 characters.
func isScheme(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	for i, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return true
}
