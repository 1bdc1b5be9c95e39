package announce_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
)

// FuzzParse: never a panic, never a difference from the oracle, and what is read can be written and
// read again.
func FuzzParse(f *testing.F) {
	for _, v := range slices.Concat(good(f), captured(f)) {
		f.Add(v.signed.Message)
	}
	for _, s := range []string{
		`{"service-name":"storage","seqnum":1}`, with(`"nickname":"\ud83d\udcbe","withdrawn":true,"ttl-seconds":60`),
		with(`"permutation-seed-base32":"","endpoints":["a","b"],"anonymous-storage-NURLs":[]`), with(`"x":{"a":[{"b":1e5}],"c":null}`),
		with(`"x":` + nested(15)), with(`"x":` + nested(16)), with(`"x":1,"x":2`), `{"seq\u006eum":0,"service-name":"a"} `, "\ufeff{}", `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		before := slices.Clone(message)
		a, err := announce.Parse(message)
		if !bytes.Equal(message, before) {
			t.Fatal("Parse changed the message")
		}
		if err != nil {
			if !errors.Is(err, announce.ErrInvalid) || a != nil {
				t.Fatalf("got %+v and error %v, want nil and ErrInvalid", a, err)
			}
			// encoding/json replaces halves of surrogate pairs, which are refused here.
			if want, oracleErr := oracle(message); oracleErr == nil && !bytes.Contains(bytes.ToLower(message), []byte(`\ud`)) {
				t.Fatalf("refused %q: %v; the oracle reads %+v", message, err, want)
			}
			return
		}
		agree(t, a, message)
		again, err := announce.Parse(message)
		if err != nil {
			t.Fatalf("the second time: %v", err)
		}
		if diff := cmp.Diff(again, a); diff != "" {
			t.Fatalf("the second time (-got +want):\n%s", diff)
		}
		written, err := a.Message()
		if err != nil {
			t.Fatalf("writing what was read: %v", err)
		}
		back, err := announce.Parse(written)
		if err != nil {
			t.Fatalf("reading what was written: %v", err)
		}
		if diff := cmp.Diff(back, a); diff != "" {
			t.Fatalf("reading what was written (-got +want):\n%s", diff)
		}
	})
}

// FuzzOpen: whatever comes, an answer comes; and what is accepted verifies by the standard library.
func FuzzOpen(f *testing.F) {
	for _, v := range slices.Concat(good(f), captured(f)) {
		f.Add(v.signed.Message, v.signed.Signature, v.signed.PeerID)
	}
	f.Add([]byte(nil), []byte(nil), []byte(nil))
	f.Add([]byte(`{"service-name":"storage","seqnum":1}`), append([]byte{1}, make([]byte, 63)...), append([]byte{1}, make([]byte, 31)...))
	verifier := announce.NewVerifier(4)
	f.Fuzz(func(t *testing.T, message, signature, id []byte) {
		s := announce.Signed{Message: message, Signature: signature, PeerID: id}
		a, peer, err := verifier.Open(s)
		if err != nil {
			if errors.Is(err, announce.ErrInvalid) == errors.Is(err, announce.ErrBadSignature) {
				t.Fatalf("got error %v, want one of the two sentinels", err)
			}
			return
		}
		if !bytes.Equal(peer[:], id) || !ed25519.Verify(id, message, signature) || announce.CheckKey(id) != nil {
			t.Fatalf("accepted what %x did not sign", id)
		}
		agree(t, a, message)
		back, err := announce.FromTahoe(s.Tahoe())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(back, s); diff != "" {
			t.Fatalf("through Tahoe's tuple (-got +want):\n%s", diff)
		}
	})
}

// FuzzParsePeerID: one text for each peer id but for the prefix.
func FuzzParsePeerID(f *testing.F) {
	for _, s := range []string{someID, "pub-" + someID, someKey, "v0-", "v0-aa======", "pub-v0-\n", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := announce.ParsePeerID(s)
		switch {
		case err != nil && (!errors.Is(err, announce.ErrInvalid) || id != announce.PeerID{}):
			t.Fatalf("got %v and error %v, want zero and ErrInvalid", id, err)
		case err == nil && s != id.String() && s != id.PublicText():
			t.Fatalf("accepted %q, which is written %q", s, id)
		}
	})
}

// FuzzParseKey: one text for each key.
func FuzzParseKey(f *testing.F) {
	for _, s := range []string{someKey, someKey + "\n", "pub-" + someID, "priv-v0-", "priv-v0-aa", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := announce.ParseKey(s)
		switch {
		case err != nil && (!errors.Is(err, announce.ErrInvalid) || k != nil):
			t.Fatalf("got %v and error %v, want nil and ErrInvalid", k, err)
		case err == nil && s != k.Text():
			t.Fatalf("accepted %q, which is written otherwise", s)
		}
	})
}

// FuzzFromTahoe: one tuple for each announcement.
func FuzzFromTahoe(f *testing.F) {
	f.Add("v0-", someID)
	f.Add(captured(f)[0].Signature, captured(f)[0].Key)
	f.Add("v0-ab", "v0-aaa")
	f.Fuzz(func(t *testing.T, signature, key string) {
		s, err := announce.FromTahoe([]byte("m"), signature, key)
		if err != nil {
			if !errors.Is(err, announce.ErrInvalid) {
				t.Fatalf("got error %v, want ErrInvalid", err)
			}
			return
		}
		if _, gotSig, gotKey := s.Tahoe(); gotSig != signature || gotKey != key {
			t.Fatalf("got %q and %q back, want %q and %q", gotSig, gotKey, signature, key)
		}
	})
}
