package input_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
)

func TestStorageIndex(t *testing.T) {
	sixteen := "00112233445566778899aabbccddeeff"
	for _, c := range []struct{ name, in, want string }{
		{"base32 as Tahoe writes it", "aaisem2ekvthpcezvk54zxpo74", sixteen},
		{"hexadecimal", sixteen, sixteen},
		{"hexadecimal, upper case", strings.ToUpper(sixteen), sixteen},
		{"named base32", "base32:aaisem2ekvthpcezvk54zxpo74", sixteen},
		{"named hexadecimal", "hex:" + sixteen, sixteen},
		{"one byte", "hex:07", "07"},
		{"one byte of base32", "base32:aa", "00"},
		{"twenty bytes of base32", "base32:" + strings.Repeat("a", 32), strings.Repeat("00", 20)},
		{"32 characters that are both are hexadecimal", strings.Repeat("ab", 16), strings.Repeat("ab", 16)},
		{"64 bytes", "hex:" + strings.Repeat("0f", 64), strings.Repeat("0f", 64)},
	} {
		got, err := input.StorageIndex(c.in)
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%s: StorageIndex(%q): got %x, %v, want %s", c.name, c.in, got, err, c.want)
		}
	}
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "0 characters: must be 26 of base32 or 32 of hexadecimal"},
		{"other length", "aaaa", "write hex:… or base32:… for another length"},
		{"upper-case base32", "AAISEM2EKVTHPCEZVK54ZXPO74", "base32 is written in lower case"},
		{"unused bits set", "aaisem2ekvthpcezvk54zxpo77", "no unused bit may be set"},
		{"padding", "base32:aa======", "without padding"},
		{"a letter that is none", "aaisem2ekvthpcezvk54zxpo18", "a to z and 2 to 7"},
		{"hexadecimal with a dash", "00112233-45566778899aabbccddeeff", "not hexadecimal digits"},
		{"half a byte", "hex:abc", "not hexadecimal digits"},
		{"nothing behind the name", "hex:", "0 bytes, 1 to 64 are allowed"},
		{"too long", "hex:" + strings.Repeat("00", 65), "65 bytes, 1 to 64 are allowed"},
		{"line break", "aaisem2ekvthpcezvk54zxpo7\n", "no unused bit may be set"},
	} {
		_, err := input.StorageIndex(c.in)
		if !errors.Is(err, input.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: StorageIndex(%q): got %v, want %q", c.name, c.in, err, c.want)
		}
	}
}

func TestPeerIDs(t *testing.T) {
	a, b := announce.NewKeyFromSeed([32]byte{1}).PeerID(), announce.NewKeyFromSeed([32]byte{2}).PeerID()
	got, err := input.PeerIDs(strings.NewReader(
		"# who may not publish\n\n  " + a.String() + "  # since spring\r\n" + b.PublicText() + "\n" + a.PublicText()))
	want := map[announce.PeerID]struct{}{a: {}, b: {}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("got error %v, and (-want +got):\n%s", err, diff)
	}
	got, err = input.PeerIDs(strings.NewReader("#\n"))
	if err != nil || len(got) != 0 {
		t.Errorf("empty list: got %v, %v", got, err)
	}
	_, err = input.PeerIDs(strings.NewReader("# one\n" + a.String() + "\nnode7\n"))
	if !errors.Is(err, input.ErrInvalid) || !strings.Contains(err.Error(), `line 3: invalid peer id "node7"`) {
		t.Errorf("bad line: got %v", err)
	}
}

func signed(t *testing.T, seed byte) announce.Signed {
	t.Helper()
	key := announce.NewKeyFromSeed([32]byte{seed})
	message, err := (&announce.Announcement{Service: "storage", Seqnum: uint64(seed), Nickname: "Zürich <7> \"x\""}).Message()
	if err != nil {
		t.Fatal(err)
	}
	return key.Sign(message)
}

func collect(r string) (all []announce.Signed, _ error) {
	for s, err := range input.Signed(strings.NewReader(r)) {
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

func TestSigned(t *testing.T) {
	one, two := signed(t, 1), signed(t, 2)
	object, err := json.Marshal(input.TupleOf(one))
	if err != nil {
		t.Fatal(err)
	}
	pair := input.TupleOf(two)
	list, err := json.Marshal([]string{pair.Message, pair.Signature, pair.Key})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, in string
		want     []announce.Signed
	}{
		{"nothing", "", nil},
		{"white space", " \n\n", nil},
		{"an object", string(object), []announce.Signed{one}},
		{"lines of both forms", string(object) + "\n" + string(list) + "\n", []announce.Signed{one, two}},
		{"in a row", string(list) + string(object), []announce.Signed{two, one}},
	} {
		got, err := collect(c.in)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: got error %v, and (-want +got):\n%s", c.name, err, diff)
		}
	}
	for _, c := range []struct{ name, in, want string }{
		{"cut short", string(object[:40]), "announcement 1"},
		{"second is cut short", string(object) + "[", "announcement 2"},
		{"a number", "7", "must be an object or a list of three strings"},
		{"two strings", `["a","b"]`, "a list of 2 strings"},
		{"not strings", `[1,2,3]`, "announcement 1"},
		{"another member", `{"message":"","signature":"v0-","key":"v0-","x":1}`, "unknown"},
		{"a member twice", `{"message":"","message":""}`, "duplicate"},
		{"a member's case", `{"Message":"","signature":"v0-","key":"v0-"}`, "unknown"},
		{"no key", `{"message":"","signature":"v0-"}`, "invalid key text"},
		{"signature without its prefix", `["{}","aa","v0-"]`, "invalid signature text"},
		{"not UTF-8", "[\"\xff\",\"v0-\",\"v0-\"]", "UTF-8"},
	} {
		_, err := collect(c.in)
		if !errors.Is(err, input.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzStorageIndex(f *testing.F) {
	for _, s := range []string{"", "aaisem2ekvthpcezvk54zxpo74", "00112233445566778899aabbccddeeff", "hex:07", "base32:aa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := input.StorageIndex(s)
		if err != nil {
			return
		}
		// Another way to write it gives the same.
		for _, text := range []string{"hex:" + hex.EncodeToString(b), "base32:" + input.EncodeBase32(b)} {
			if again, err := input.StorageIndex(text); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%q gives %x, but %q gives %x, %v", s, b, text, again, err)
			}
		}
	})
}

func FuzzSigned(f *testing.F) {
	f.Add(`{"message":"{}","signature":"v0-","key":"v0-"}["a","v0-aa","v0-"]`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, s string) {
		all, err := collect(s)
		if err != nil && !errors.Is(err, input.ErrInvalid) {
			t.Fatalf("of %q: %v", s, err)
		}
		for _, one := range all {
			text, err := json.Marshal(input.TupleOf(one))
			if err != nil {
				t.Fatal(err)
			}
			again, err := collect(string(text))
			if diff := cmp.Diff([]announce.Signed{one}, again); err != nil || diff != "" {
				t.Fatalf("of %q: written and read again: %v (-first +again):\n%s", s, err, diff)
			}
		}
	})
}

func FuzzPeerIDs(f *testing.F) {
	f.Add("# a\nv0-f54aou4ueofhrthj4f7hnwpx7njy5c66nnnyfjizb322z5pm7rka # b\n")
	f.Fuzz(func(t *testing.T, s string) {
		ids, err := input.PeerIDs(strings.NewReader(s))
		if err != nil {
			return
		}
		var text strings.Builder
		for id := range ids {
			text.WriteString(id.String() + "\n")
		}
		again, err := input.PeerIDs(strings.NewReader(text.String()))
		if diff := cmp.Diff(ids, again); err != nil || diff != "" {
			t.Fatalf("of %q: written and read again: %v (-first +again):\n%s", s, err, diff)
		}
	})
}
