package announce_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/edwards25519"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
)

// smallOrder is every encoding that decodes to one of the eight points of small order, from RFC
// 8032's arithmetic: y and the sign of x, little-endian.
var smallOrder = []struct{ name, hex string }{
	{"order 1", "0100000000000000000000000000000000000000000000000000000000000000"},
	{"order 2", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	{"order 4", "0000000000000000000000000000000000000000000000000000000000000000"},
	{"order 4, other sign", "0000000000000000000000000000000000000000000000000000000000000080"},
	{"order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"},
	{"order 8, other sign", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"},
	{"order 8, other y", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
	{"order 8, other y and sign", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"},
	{"order 1, x = -0", "0100000000000000000000000000000000000000000000000000000000000080"},
	{"order 2, x = -0", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
	{"order 4, y = p", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	{"order 4, y = p, other sign", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
	{"order 1, y = p+1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	{"order 1, y = p+1, x = -0", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
}

func point(t *testing.T, b []byte) *edwards25519.Point {
	t.Helper()
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return p
}

// TestSmallOrderKeys: anyone can sign with them, and nobody gets in with what they signed.
func TestSmallOrderKeys(t *testing.T) {
	verifier := announce.NewVerifier(100)
	for _, c := range smallOrder {
		t.Run(c.name, func(t *testing.T) {
			id, err := hex.DecodeString(c.hex)
			if err != nil {
				t.Fatal(err)
			}
			if new(edwards25519.Point).MultByCofactor(point(t, id)).Equal(edwards25519.NewIdentityPoint()) != 1 {
				t.Fatal("not of small order, the table is wrong")
			}
			if err := announce.CheckKey(id); !errors.Is(err, announce.ErrBadSignature) {
				t.Errorf("CheckKey: got error %v, want ErrBadSignature", err)
			}
			// The signature R = identity, S = 0 holds for every message whose challenge the key's
			// order divides: at least one in eight, without any private key.
			forged := announce.Signed{Signature: append([]byte{1}, make([]byte, 63)...), PeerID: id}
			for i := 0; ; i++ {
				forged.Message = fmt.Appendf(nil, `{"service-name":"storage","seqnum":%d}`, i)
				if ed25519.Verify(id, forged.Message, forged.Signature) {
					break
				}
				if i == 1000 {
					t.Fatal("no forgery in 1,000 tries, so the test shows nothing")
				}
			}
			for range 2 { // twice: a refusal must not be remembered as anything else
				if _, _, err := verifier.Open(forged); !errors.Is(err, announce.ErrBadSignature) {
					t.Errorf("Open: got error %v, want ErrBadSignature", err)
				}
			}
		})
	}
}

// TestMixedOrderKey: a good key plus a point of small order signs what crypto/ed25519 accepts and a
// library that multiplies by the cofactor judges differently.
func TestMixedOrderKey(t *testing.T) {
	seed := sha256.Sum256([]byte("mixed order"))
	h := sha512.Sum512(seed[:])
	secret, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		t.Fatal(err)
	}
	honest := new(edwards25519.Point).ScalarBaseMult(secret)
	if err := announce.CheckKey(honest.Bytes()); err != nil {
		t.Fatalf("the honest key: %v", err)
	}
	r, err := edwards25519.NewScalar().SetUniformBytes(h[:])
	if err != nil {
		t.Fatal(err)
	}
	R := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
	verifier := announce.NewVerifier(10)
	for _, c := range smallOrder[1:8] {
		t.Run(c.name, func(t *testing.T) {
			torsion, err := hex.DecodeString(c.hex)
			if err != nil {
				t.Fatal(err)
			}
			id := new(edwards25519.Point).Add(honest, point(t, torsion)).Bytes()
			if err := announce.CheckKey(id); !errors.Is(err, announce.ErrBadSignature) || !strings.Contains(err.Error(), "prime order") {
				t.Errorf("CheckKey: got error %v, want one about prime order", err)
			}
			for i := 0; ; i++ {
				message := fmt.Appendf(nil, `{"service-name":"storage","seqnum":%d}`, i)
				digest := sha512.Sum512(slices.Concat(R, id, message))
				k, err := edwards25519.NewScalar().SetUniformBytes(digest[:])
				if err != nil {
					t.Fatal(err)
				}
				s := announce.Signed{Message: message, PeerID: id}
				s.Signature = append(slices.Clone(R), edwards25519.NewScalar().MultiplyAdd(k, secret, r).Bytes()...)
				if !ed25519.Verify(id, message, s.Signature) {
					if i == 1000 {
						t.Fatal("no message in 1,000 verifies, so the test shows nothing")
					}
					continue
				}
				if err := verifier.Verify(s); !errors.Is(err, announce.ErrBadSignature) {
					t.Errorf("Verify: got error %v, want ErrBadSignature", err)
				}
				return
			}
		})
	}
}

// TestKeysEncodedAnotherWay: y from p to 2^255-1 names a point that a smaller y names too.
func TestKeysEncodedAnotherWay(t *testing.T) {
	large := 0
	for y := range 19 {
		for _, sign := range []byte{0, 0x80} {
			id := bytes.Repeat([]byte{0xff}, 32)
			id[0] = byte(0xed + y)
			id[31] = 0x7f | sign
			p, err := new(edwards25519.Point).SetBytes(id)
			if err == nil && new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 0 {
				large++ // one that only its encoding gives away
				if err := announce.CheckKey(id); !strings.Contains(fmt.Sprint(err), "not canonically encoded") {
					t.Errorf("y = p+%d: got error %v, want one about the encoding", y, err)
				}
			}
			if err := announce.CheckKey(id); !errors.Is(err, announce.ErrBadSignature) {
				t.Errorf("y = p+%d: got error %v, want ErrBadSignature", y, err)
			}
		}
	}
	if large == 0 {
		t.Error("no such point of large order was met")
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for _, n := range []int{0, 1, 31, 33, 64} {
		if err := announce.CheckKey(make([]byte, n)); !errors.Is(err, announce.ErrBadSignature) {
			t.Errorf("%d bytes: got error %v, want ErrBadSignature", n, err)
		}
	}
	offCurve := 0
	for y := range 100 {
		id := make([]byte, 32)
		id[0] = byte(y)
		if _, err := new(edwards25519.Point).SetBytes(id); err == nil {
			continue
		}
		offCurve++
		if err := announce.CheckKey(id); !errors.Is(err, announce.ErrBadSignature) {
			t.Errorf("y = %d: got error %v, want ErrBadSignature", y, err)
		}
	}
	if offCurve < 10 {
		t.Errorf("%d of 100 small y are off the curve, so the test shows little", offCurve)
	}
}

// TestHonestKeysAreGood: the check refuses no key that the standard library makes.
func TestHonestKeysAreGood(t *testing.T) {
	for i := range 200 {
		id := announce.NewKeyFromSeed(sha256.Sum256([]byte{byte(i)})).PeerID()
		if err := announce.CheckKey(id[:]); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
}

// TestEveryFlippedBit: of a valid signed announcement no bit may differ.
func TestEveryFlippedBit(t *testing.T) {
	for name, size := range map[string]int{"cache": 10, "no cache": 0} {
		t.Run(name, func(t *testing.T) {
			verifier := announce.NewVerifier(size)
			s := captured(t)[0].signed
			if _, _, err := verifier.Open(s); err != nil {
				t.Fatal(err)
			}
			for part, b := range map[string][]byte{"message": s.Message, "signature": s.Signature, "peer id": s.PeerID} {
				for i := range len(b) * 8 {
					b[i/8] ^= 1 << (i % 8)
					if _, _, err := verifier.Open(s); !errors.Is(err, announce.ErrBadSignature) {
						t.Errorf("bit %d of the %s: got error %v, want ErrBadSignature", i, part, err)
					}
					b[i/8] ^= 1 << (i % 8)
				}
			}
			if _, _, err := verifier.Open(s); err != nil {
				t.Errorf("in the end: %v", err)
			}
		})
	}
}

func TestWrongLengths(t *testing.T) {
	verifier := announce.NewVerifier(10)
	good := captured(t)[0].signed
	cuts := func(b []byte) [][]byte {
		return [][]byte{nil, {}, b[:1], b[:len(b)-1], append(slices.Clone(b), 0), append(slices.Clone(b), b...)}
	}
	for _, signature := range cuts(good.Signature) {
		s := good
		s.Signature = signature
		if _, _, err := verifier.Open(s); !errors.Is(err, announce.ErrBadSignature) {
			t.Errorf("signature of %d bytes: got error %v, want ErrBadSignature", len(signature), err)
		}
	}
	for _, id := range cuts(good.PeerID) {
		s := good
		s.PeerID = id
		if _, _, err := verifier.Open(s); !errors.Is(err, announce.ErrBadSignature) {
			t.Errorf("peer id of %d bytes: got error %v, want ErrBadSignature", len(id), err)
		}
	}
	for _, message := range cuts(good.Message) {
		s := good
		s.Message = message
		if _, _, err := verifier.Open(s); !errors.Is(err, announce.ErrBadSignature) {
			t.Errorf("message of %d bytes: got error %v, want ErrBadSignature", len(message), err)
		}
	}
	if err := verifier.Verify(announce.Signed{}); !errors.Is(err, announce.ErrBadSignature) {
		t.Errorf("nothing: got error %v, want ErrBadSignature", err)
	}
}

// TestSignatureWithLargeS: S + l passes the verification equation, so it must be refused by size, or
// every signature has a twin.
func TestSignatureWithLargeS(t *testing.T) {
	s := captured(t)[0].signed
	l, err := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	if err != nil {
		t.Fatal(err)
	}
	carry := 0
	for i := range 32 {
		sum := int(s.Signature[32+i]) + int(l[i]) + carry
		s.Signature[32+i], carry = byte(sum), sum>>8
	}
	if err := announce.NewVerifier(1).Verify(s); !errors.Is(err, announce.ErrBadSignature) {
		t.Errorf("got error %v, want ErrBadSignature", err)
	}
}

// TestOpenSaysWhoseFault: size before signature before form.
func TestOpenSaysWhoseFault(t *testing.T) {
	key := announce.NewKeyFromSeed([32]byte{1})
	unsigned := func(message string) announce.Signed {
		s := key.Sign([]byte(message))
		s.Signature = make([]byte, ed25519.SignatureSize)
		return s
	}
	const valid, invalid = `{"service-name":"storage","seqnum":1}`, `{"service-name":"storage"}`
	for name, c := range map[string]struct {
		s    announce.Signed
		want error
	}{
		"valid, signed":       {key.Sign([]byte(valid)), nil},
		"largest, signed":     {key.Sign([]byte(sized(announce.MaxMessage))), nil},
		"valid, unsigned":     {unsigned(valid), announce.ErrBadSignature},
		"invalid, signed":     {key.Sign([]byte(invalid)), announce.ErrInvalid},
		"invalid, unsigned":   {unsigned(invalid), announce.ErrBadSignature},
		"empty, signed":       {key.Sign(nil), announce.ErrInvalid},
		"empty, unsigned":     {unsigned(""), announce.ErrBadSignature},
		"too large, signed":   {key.Sign([]byte(sized(announce.MaxMessage + 1))), announce.ErrInvalid},
		"too large, unsigned": {unsigned(sized(announce.MaxMessage + 1)), announce.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			a, id, err := announce.NewVerifier(1).Open(c.s)
			for _, sentinel := range []error{announce.ErrInvalid, announce.ErrBadSignature} {
				if got, want := errors.Is(err, sentinel), sentinel == c.want; got != want {
					t.Errorf("errors.Is(%v, %v): got %v, want %v", err, sentinel, got, want)
				}
			}
			if c.want == nil && (err != nil || id != key.PeerID() || a.Seqnum != 1) {
				t.Errorf("got %+v, %v and error %v, want seqnum 1 of %v", a, id, err, key.PeerID())
			}
			if c.want != nil && (a != nil || id != announce.PeerID{}) {
				t.Errorf("got %+v and %v beside the error", a, id)
			}
		})
	}
}

func TestOpenedIsIndependent(t *testing.T) {
	s := captured(t)[0].signed
	a, id, err := announce.NewVerifier(1).Open(s)
	if err != nil {
		t.Fatal(err)
	}
	before, idBefore := *a, id
	clear(s.Message)
	clear(s.PeerID)
	clear(s.Signature)
	want, err := announce.Parse(captured(t)[0].signed.Message)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, *want); diff != "" || id != idBefore {
		t.Errorf("changed with the caller's bytes (-got +want):\n%s", diff)
	}
}

// TestVerifierForgets: more keys than it remembers, in turn and by many goroutines, always the same
// answers; a key it knows does not make a bad signature good.
func TestVerifierForgets(t *testing.T) {
	var all []announce.Signed
	for i := range 6 {
		all = append(all, announce.NewKeyFromSeed([32]byte{byte(i)}).Sign([]byte("hello")))
	}
	for _, size := range []int{-1, 0, 1, 2, 5, 100} {
		verifier := announce.NewVerifier(size)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 12 {
					s := all[(g+i)%len(all)]
					if err := verifier.Verify(s); err != nil {
						t.Errorf("size %d: %v", size, err)
					}
					s.Message = []byte("hullo")
					if err := verifier.Verify(s); !errors.Is(err, announce.ErrBadSignature) {
						t.Errorf("size %d: got error %v, want ErrBadSignature", size, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestDigest: SHA-256(peer id || message), short and long.
func TestDigest(t *testing.T) {
	// Computed from the captured announcement with Python's hashlib.
	const golden = "55bb7655e7de8abb7099041a92df6c96bf80d6cbb188afa13334a61e40dac2e6"
	if got := captured(t)[0].signed.Digest(); hex.EncodeToString(got[:]) != golden {
		t.Errorf("of the captured announcement: got %x, want %s", got, golden)
	}
	for _, s := range []announce.Signed{
		{},
		captured(t)[0].signed,
		{Message: bytes.Repeat([]byte("m"), announce.MaxMessage), PeerID: make([]byte, 32)},
		{Message: []byte("m"), PeerID: []byte("no key"), Signature: []byte("s")},
	} {
		want := sha256.Sum256([]byte(string(s.PeerID) + string(s.Message)))
		if got := s.Digest(); got != want {
			t.Errorf("of %.40q: got %x, want %x", s.Message, got, want)
		}
		s.Signature = []byte("another")
		if got := s.Digest(); got != want {
			t.Errorf("of %.40q: the signature counts", s.Message)
		}
	}
}
