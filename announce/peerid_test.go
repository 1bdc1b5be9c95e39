package announce_test

import (
	"encoding/base32"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/introducer/introducer/announce"
)

const (
	someID  = "v0-ejjgbitybvkal5eegy7rzwjftmdfhxq6se2gmlwfbbwz3ql63jcq"
	someKey = "priv-v0-rv7m6eoyqqhlbg3isap77h32fjbxn2juta4gyrp6g4p2go3o2wyq"
)

// TestStrictBase32: of all the texts that a lenient decoder takes for the same 32 bytes, one is
// accepted, as a peer id, as a private key and in Tahoe's tuple.
func TestStrictBase32(t *testing.T) {
	good := strings.TrimPrefix(someID, "v0-")
	for name, c := range map[string]struct {
		text string
		want string // "": accepted
	}{
		"as it is":                {good, ""},
		"upper case":              {strings.ToUpper(good), "not lower-case unpadded base32 at character 1"},
		"one in upper case":       {good[:51] + "Q", "not lower-case unpadded base32 at character 52"},
		"last bit set":            {good[:51] + "r", "no bytes give"},
		"all free bits set":       {good[:51] + "7", "no bytes give"},
		"padded":                  {good + "====", "at character 53"},
		"a line break behind":     {good + "\n", "at character 53"},
		"a line break inside":     {good[:10] + "\n" + good[10:], "at character 11"},
		"a carriage return":       {good[:10] + "\r" + good[10:], "at character 11"},
		"a space before":          {" " + good, "at character 1"},
		"a space behind":          {good + " ", "at character 53"},
		"0":                       {"0" + good[1:], "at character 1"},
		"1":                       {"1" + good[1:], "at character 1"},
		"8":                       {"8" + good[1:], "at character 1"},
		"9":                       {"9" + good[1:], "at character 1"},
		"a letter beyond ASCII":   {"é" + good[2:], "at character 1"},
		"NUL":                     {"\x00" + good[1:], "at character 1"},
		"a character too few":     {good[:51], "no bytes give"},
		"a character too many":    {good + "a", "33 bytes, must be 32"},
		"31 bytes":                {strings.Repeat("a", 50), "31 bytes, must be 32"},
		"33 bytes":                {strings.Repeat("a", 53), "33 bytes, must be 32"},
		"one byte":                {"aa", "1 bytes, must be 32"},
		"nothing":                 {"", "0 bytes, must be 32"},
		"a length that is none":   {"aaa", "no bytes give"},
		"another that is none":    {"aaaaaa", "no bytes give"},
		"a character that begins": {"a", "no bytes give"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := announce.ParsePeerID("v0-" + c.text)
			_, pubErr := announce.ParsePeerID("pub-v0-" + c.text)
			_, keyErr := announce.ParseKey("priv-v0-" + c.text)
			for _, err := range []error{err, pubErr, keyErr} {
				switch {
				case c.want == "" && err != nil:
					t.Errorf("got error %v, want none", err)
				case c.want != "" && (!errors.Is(err, announce.ErrInvalid) || !strings.Contains(err.Error(), c.want)):
					t.Errorf("got error %v, want invalid with %q", err, c.want)
				}
			}
			// The tuple has no length of its own.
			wellFormed := c.want == "" || strings.Contains(c.want, "must be 32")
			_, sigErr := announce.FromTahoe(nil, "v0-"+c.text, someID)
			_, idErr := announce.FromTahoe(nil, "v0-aa", "v0-"+c.text)
			for _, err := range []error{sigErr, idErr} {
				if wellFormed != (err == nil) || err != nil && !errors.Is(err, announce.ErrInvalid) {
					t.Errorf("FromTahoe: got error %v, want accepted: %v", err, wellFormed)
				}
			}
		})
	}
}

func TestPrefixes(t *testing.T) {
	good := strings.TrimPrefix(someID, "v0-")
	for _, prefix := range []string{"", "v", "v0", "v1-", "V0-", " v0-", "v0--", "pub-", "pub-v1-", "PUB-v0-", "v0-v0-", "pub-pub-v0-", "sk-"} {
		if _, err := announce.ParsePeerID(prefix + good); !errors.Is(err, announce.ErrInvalid) {
			t.Errorf("ParsePeerID(%q): got error %v, want ErrInvalid", prefix+good, err)
		}
		if _, err := announce.ParseKey(prefix + good); !errors.Is(err, announce.ErrInvalid) {
			t.Errorf("ParseKey(%q): got error %v, want ErrInvalid", prefix+good, err)
		}
	}
	for _, prefix := range []string{"", "pub-v0-", "priv-v0-", "V0-", "v1-"} {
		if _, err := announce.FromTahoe(nil, "v0-", prefix+good); !errors.Is(err, announce.ErrInvalid) {
			t.Errorf("FromTahoe with key %q: got error %v, want ErrInvalid", prefix+good, err)
		}
		if _, err := announce.FromTahoe(nil, prefix+good, someID); !errors.Is(err, announce.ErrInvalid) {
			t.Errorf("FromTahoe with signature %q: got error %v, want ErrInvalid", prefix+good, err)
		}
	}
}

// TestSecretsAreNotQuoted: a private key in the wrong place does not end up in an error, and so in a
// log.
func TestSecretsAreNotQuoted(t *testing.T) {
	secret := strings.TrimPrefix(someKey, "priv-v0-")
	_, asPeer := announce.ParsePeerID(someKey)
	_, damaged := announce.ParseKey(someKey + "!")
	_, bare := announce.ParseKey(secret)
	_, inTuple := announce.FromTahoe(nil, someKey, someID)
	for _, err := range []error{asPeer, damaged, bare, inTuple} {
		if err == nil || strings.Contains(err.Error(), secret[:10]) {
			t.Errorf("got error %v, want one without the key", err)
		}
	}
}

func TestPeerIDTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := announce.PeerID(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "id"))
		want := strings.ToLower(strings.TrimRight(base32.StdEncoding.EncodeToString(id[:]), "="))
		if diff := cmp.Diff([]string{id.String(), id.PublicText()}, []string{"v0-" + want, "pub-v0-" + want}); diff != "" {
			t.Fatalf("(-got +want):\n%s", diff)
		}
		for _, s := range []string{id.String(), id.PublicText()} {
			if got, err := announce.ParsePeerID(s); err != nil || got != id {
				t.Fatalf("ParsePeerID(%q): got %v and error %v", s, got, err)
			}
		}
		if got, err := announce.PeerIDFromBytes(id[:]); err != nil || got != id {
			t.Fatalf("PeerIDFromBytes: got %v and error %v", got, err)
		}
		// As a value and as a member's name.
		type both struct {
			ID   announce.PeerID
			Seqs map[announce.PeerID]int
		}
		in := both{id, map[announce.PeerID]int{id: 1}}
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out both
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(out, in); diff != "" {
			t.Fatalf("through JSON (-got +want):\n%s", diff)
		}
	})
}

func TestPeerIDRefusals(t *testing.T) {
	for _, n := range []int{0, 31, 33, 64} {
		if _, err := announce.PeerIDFromBytes(make([]byte, n)); !errors.Is(err, announce.ErrInvalid) {
			t.Errorf("PeerIDFromBytes of %d: got error %v, want ErrInvalid", n, err)
		}
	}
	id := announce.PeerID{1}
	if err := id.UnmarshalText([]byte("v0-")); !errors.Is(err, announce.ErrInvalid) || id != (announce.PeerID{1}) {
		t.Errorf("UnmarshalText: got %v and error %v, want ErrInvalid and the id as it was", id, err)
	}
}

func TestPeerIDCompare(t *testing.T) {
	low, high := announce.PeerID{0, 255}, announce.PeerID{1}
	got := []int{low.Compare(high), high.Compare(low), low.Compare(low), announce.PeerID{127}.Compare(announce.PeerID{128})}
	if diff := cmp.Diff(got, []int{-1, 1, 0, -1}); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

// TestTahoeTuple: bytes of any length go to text and back.
func TestTahoeTuple(t *testing.T) {
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 80)
	rapid.Check(t, func(t *rapid.T) {
		want := announce.Signed{Message: bytes.Draw(t, "message"), Signature: bytes.Draw(t, "signature"), PeerID: bytes.Draw(t, "id")}
		got, err := announce.FromTahoe(want.Tahoe())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Fatalf("(-got +want):\n%s", diff)
		}
	})
}
