package announce_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/introducer/introducer/announce"
)

// TestMessage: the bytes that nodes of this module sign.
func TestMessage(t *testing.T) {
	for name, c := range map[string]struct {
		a    announce.Announcement
		want string
	}{
		"least": {
			announce.Announcement{Service: announce.Storage},
			`{"service-name":"storage","seqnum":0}`,
		},
		"all": {
			announce.Announcement{
				Service: announce.UploadStorage, Seqnum: announce.MaxSeqnum, Nickname: "é\"\\\n<&\u2028💾",
				PermutationSeed: []byte{1, 2, 3}, FURL: "pb://f", NURLs: []string{"pb://n", ""}, Endpoints: []string{"https://e/"},
				TTL: 90 * time.Minute, Withdrawn: true,
				Extra: map[string]json.RawMessage{
					"version": json.RawMessage(` 0 `), "nonce": json.RawMessage(`"x"`), "": json.RawMessage(`{"a": [1]}`), "seqNum": json.RawMessage(`null`),
				},
			},
			`{"service-name":"upload_storage","seqnum":9223372036854775807,"nickname":"é\"\\\n<&` + "\u2028" + `💾",` +
				`"permutation-seed-base32":"aebag","anonymous-storage-FURL":"pb://f","anonymous-storage-NURLs":["pb://n",""],"endpoints":["https://e/"],` +
				`"ttl-seconds":5400,"withdrawn":true,"":{"a": [1]},"nonce":"x","seqNum":null,"version":0}`,
		},
		"an empty seed is said": {
			announce.Announcement{Service: announce.Helper, PermutationSeed: []byte{}},
			`{"service-name":"helper","seqnum":0,"permutation-seed-base32":""}`,
		},
		"empty lists are not": {
			announce.Announcement{Service: announce.Helper, NURLs: []string{}, Endpoints: []string{}, Extra: map[string]json.RawMessage{}},
			`{"service-name":"helper","seqnum":0}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.a.Message()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(got), c.want); diff != "" {
				t.Errorf("message (-got +want):\n%s", diff)
			}
			back, err := announce.Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			c.a.Extra = nil
			if diff := cmp.Diff(*back, c.a, emptyLists); diff != "" {
				t.Errorf("read back (-got +want):\n%s", diff)
			}
		})
	}
}

// emptyLists takes an empty list of strings for none, as Parse does. Seeds it leaves alone.
var emptyLists = cmp.FilterValues(func(x, y []string) bool { return len(x) == 0 && len(y) == 0 }, cmp.Ignore())

func TestMessageRefuses(t *testing.T) {
	extra := func(name, value string) func(*announce.Announcement) {
		return func(a *announce.Announcement) { a.Extra = map[string]json.RawMessage{name: json.RawMessage(value)} }
	}
	for name, c := range map[string]struct {
		change func(*announce.Announcement)
		want   string
	}{
		"no service":            {func(a *announce.Announcement) { a.Service = "" }, "service name"},
		"no service name":       {func(a *announce.Announcement) { a.Service = "Storage" }, "service name"},
		"seqnum 2^63":           {func(a *announce.Announcement) { a.Seqnum = 1 << 63 }, `member "seqnum"`},
		"nickname too long":     {func(a *announce.Announcement) { a.Nickname = strings.Repeat("n", 257) }, `member "nickname"`},
		"nickname not UTF-8":    {func(a *announce.Announcement) { a.Nickname = "\xff" }, `member "nickname": `},
		"seed too long":         {func(a *announce.Announcement) { a.PermutationSeed = make([]byte, 65) }, `member "permutation-seed-base32"`},
		"FURL not UTF-8":        {func(a *announce.Announcement) { a.FURL = "\xc0\x80" }, `member "anonymous-storage-FURL": `},
		"NURL not UTF-8":        {func(a *announce.Announcement) { a.NURLs = []string{"n", "\xff"} }, `member "anonymous-storage-NURLs": `},
		"endpoint not UTF-8":    {func(a *announce.Announcement) { a.Endpoints = []string{"\xff"} }, `member "endpoints": `},
		"17 endpoints":          {func(a *announce.Announcement) { a.Endpoints = make([]string, 17) }, "more than 16 entries"},
		"endpoint too long":     {func(a *announce.Announcement) { a.Endpoints = []string{strings.Repeat("e", 1001)} }, "1001 bytes"},
		"ttl negative":          {func(a *announce.Announcement) { a.TTL = -time.Second }, "whole seconds"},
		"ttl of half a second":  {func(a *announce.Announcement) { a.TTL = time.Second / 2 }, "whole seconds"},
		"ttl of 1.5 s":          {func(a *announce.Announcement) { a.TTL = 1500 * time.Millisecond }, "whole seconds"},
		"ttl over a year":       {func(a *announce.Announcement) { a.TTL = announce.MaxTTL + time.Second }, `member "ttl-seconds"`},
		"too large":             {func(a *announce.Announcement) { a.FURL = strings.Repeat("f", announce.MaxMessage) }, "at most 16384 are allowed"},
		"extra with a field":    {extra("withdrawn", "true"), `extra member "withdrawn" is one with a field of its own`},
		"extra of nothing":      {extra("x", ""), `extra member "x" is not one strict JSON value`},
		"extra not JSON":        {extra("x", "yes"), "not one strict JSON value"},
		"extra of two values":   {extra("x", "1 2"), "not one strict JSON value"},
		"extra that breaks out": {extra("x", `1,"withdrawn":true`), "not one strict JSON value"},
		"extra that closes":     {extra("x", `1}`), "not one strict JSON value"},
		"extra naming twice":    {extra("x", `{"a":1,"a":2}`), "not one strict JSON value"},
		"extra not UTF-8":       {extra("x", "\"\xff\""), "not one strict JSON value"},
		"extra name not UTF-8":  {extra("\xff", "1"), "invalid UTF-8"},
		"extra too deep":        {extra("x", nested(16)), "nested more than 16 deep"},
		"extra too large":       {extra("x", `"`+strings.Repeat("y", announce.MaxMessage)+`"`), "at most 16384 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			a := announce.Announcement{Service: announce.Storage, Seqnum: 1}
			c.change(&a)
			got, err := a.Message()
			if got != nil || !errors.Is(err, announce.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q and error %v, want invalid with %q", got, err, c.want)
			}
		})
	}
}

// TestMessageAndParse: what is written is read back, and written the same again.
func TestMessageAndParse(t *testing.T) {
	text := rapid.StringN(0, 30, 200)
	json1 := rapid.SampledFrom([]string{"0", "-1.5e9", "null", "true", `""`, `"\ud83d\udcbe"`, "[]", `{"seqnum":7}`, `[[{"a":[]}]]`})
	rapid.Check(t, func(t *rapid.T) {
		a := &announce.Announcement{
			Service:   announce.Service(rapid.StringMatching(`[a-z][a-z0-9_-]{0,63}`).Draw(t, "service")),
			Seqnum:    rapid.Uint64Max(announce.MaxSeqnum).Draw(t, "seqnum"),
			Nickname:  text.Draw(t, "nickname"),
			FURL:      text.Draw(t, "furl"),
			NURLs:     rapid.SliceOfN(text, 0, 20).Draw(t, "nurls"),
			Endpoints: rapid.SliceOfN(text, 0, 16).Draw(t, "endpoints"),
			TTL:       time.Duration(rapid.Int64Range(0, 31536000).Draw(t, "ttl")) * time.Second,
			Withdrawn: rapid.Bool().Draw(t, "withdrawn"),
		}
		if rapid.Bool().Draw(t, "with a seed") {
			a.PermutationSeed = rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "seed")
		}
		extra := rapid.MapOfN(rapid.StringMatching(`[A-Z].{0,5}`), json1, 0, 5).Draw(t, "extra")
		for name, value := range extra {
			if a.Extra == nil {
				a.Extra = make(map[string]json.RawMessage)
			}
			a.Extra[name] = json.RawMessage(value)
		}

		message, err := a.Message()
		if err != nil {
			t.Fatal(err)
		}
		back, err := announce.Parse(message)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(back, a, emptyLists, cmpopts.IgnoreFields(announce.Announcement{}, "Extra")); diff != "" {
			t.Fatalf("read back (-got +want):\n%s", diff)
		}
		back.Extra = a.Extra
		again, err := back.Message()
		if err != nil || !slices.Equal(again, message) {
			t.Fatalf("written again: got %s and error %v, want %s", again, err, message)
		}
		// The extra members arrive as they were.
		var members map[string]json.RawMessage
		if err := json.Unmarshal(message, &members); err != nil {
			t.Fatal(err)
		}
		for name, value := range a.Extra {
			if string(members[name]) != string(value) {
				t.Fatalf("extra member %q: got %s, want %s", name, members[name], value)
			}
		}
	})
}
