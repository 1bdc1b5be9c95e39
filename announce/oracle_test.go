package announce_test

import (
	"bytes"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
)

// oracle reads a message a second way, by the rules' words and encoding/json, which shares no code
// with the package. It knows nothing of halves of surrogate pairs, which encoding/json replaces.
func oracle(message []byte) (*announce.Announcement, error) {
	if len(message) > 16384 {
		return nil, fmt.Errorf("too long")
	}
	if !utf8.Valid(message) {
		return nil, fmt.Errorf("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(message))
	dec.UseNumber()
	if err := walk(dec, 0); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows")
	}
	var m map[string]any
	dec = json.NewDecoder(bytes.NewReader(message))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil || m == nil {
		return nil, fmt.Errorf("not an object: %v", err)
	}

	a := new(announce.Announcement)
	var bad error
	wrong := func(name string) { bad = fmt.Errorf("wrong: %s", name) }
	str := func(name string, most int) string {
		v, ok := m[name]
		s, isString := v.(string)
		if ok && (!isString || len(s) > most) {
			wrong(name)
		}
		return s
	}
	integer := func(name string, least, most uint64) uint64 {
		v, ok := m[name]
		n, _ := v.(json.Number)
		u, err := strconv.ParseUint(n.String(), 10, 64)
		if ok && (err != nil || u < least || u > most) {
			wrong(name)
		}
		return u
	}
	list := func(name string, count, most int) (all []string) {
		v, ok := m[name]
		l, isList := v.([]any)
		if ok && (!isList || len(l) > count) {
			wrong(name)
		}
		for _, e := range l {
			s, isString := e.(string)
			if !isString || len(s) > most {
				wrong(name)
			}
			all = append(all, s)
		}
		return all
	}
	a.Service = announce.Service(str("service-name", 64))
	if !regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`).MatchString(string(a.Service)) {
		wrong("service-name")
	}
	if _, ok := m["seqnum"]; !ok {
		wrong("seqnum")
	}
	a.Seqnum = integer("seqnum", 0, 1<<63-1)
	a.Nickname = str("nickname", 256)
	if _, ok := m["permutation-seed-base32"]; ok {
		s := str("permutation-seed-base32", 16384)
		up := base32.StdEncoding.WithPadding(base32.NoPadding)
		b, err := up.DecodeString(strings.ToUpper(s))
		if err != nil || strings.ToLower(up.EncodeToString(b)) != s || len(b) > 64 {
			wrong("permutation-seed-base32")
		}
		a.PermutationSeed = append([]byte{}, b...)
	}
	a.FURL = str("anonymous-storage-FURL", 16384)
	a.NURLs = list("anonymous-storage-NURLs", 16384, 16384)
	a.Endpoints = list("endpoints", 16, 1000)
	if _, ok := m["ttl-seconds"]; ok {
		a.TTL = time.Duration(integer("ttl-seconds", 1, 31536000)) * time.Second
	}
	if v, ok := m["withdrawn"]; ok {
		b, isBool := v.(bool)
		if !isBool {
			wrong("withdrawn")
		}
		a.Withdrawn = b
	}
	return a, bad
}

// walk reads one value and refuses repeated names and nesting.
func walk(dec *json.Decoder, depth int) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth++; depth > 16 {
		return fmt.Errorf("too deep")
	}
	names := make(map[string]bool)
	for dec.More() {
		if open == '{' {
			tok, err := dec.Token()
			if err != nil {
				return err
			}
			name, ok := tok.(string)
			if !ok || names[name] {
				return fmt.Errorf("name %v: no string or twice", tok)
			}
			names[name] = true
		}
		if err := walk(dec, depth); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// agree makes sure that a is what the oracle reads.
func agree(t *testing.T, a *announce.Announcement, message []byte) {
	t.Helper()
	want, err := oracle(message)
	if err != nil {
		t.Errorf("the oracle refuses what was read, %q: %v", message, err)
		return
	}
	if diff := cmp.Diff(a, want); diff != "" {
		t.Errorf("reading %q (-got +oracle):\n%s", message, diff)
	}
}
