package announce

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"filippo.io/edwards25519"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Verifier opens signed announcements. It remembers which public keys it found good, since looking
// at a key costs about as much as verifying a signature. Make one with [NewVerifier]; any number of
// goroutines may use it.
type Verifier struct {
	good *lru.Cache[PeerID, struct{}] // nil: remembers none
}

// NewVerifier returns a Verifier that remembers up to size good keys, the least recently used
// forgotten first, at about 200 bytes each. A size below 1 remembers none.
func NewVerifier(size int) *Verifier {
	if size < 1 {
		return &Verifier{}
	}
	good, err := lru.New[PeerID, struct{}](size)
	if err != nil {
		panic(err) // it refuses no size but those below 1
	}
	return &Verifier{good: good}
}

// Open returns what a signed announcement says and who says it. A message over [MaxMessage] wraps
// [ErrInvalid] before anything is computed over it. Then come signature and key, then the message,
// so that [ErrBadSignature] is said of everything that is not signed, and ErrInvalid only of what
// the peer itself signed so. Nothing returned aliases s.
func (v *Verifier) Open(s Signed) (*Announcement, PeerID, error) {
	if len(s.Message) > MaxMessage {
		return nil, PeerID{}, tooLong(s.Message)
	}
	if err := v.Verify(s); err != nil {
		return nil, PeerID{}, err
	}
	a, err := Parse(s.Message)
	if err != nil {
		return nil, PeerID{}, err
	}
	return a, PeerID(s.PeerID), nil
}

// Verify tells whether the peer signed the message, whatever the message says: signature of 64 bytes,
// key of 32, Ed25519 without multiplication by the cofactor as in Go's crypto/ed25519 and in
// Tahoe-LAFS, and a key that [CheckKey] accepts. Every error wraps [ErrBadSignature].
func (v *Verifier) Verify(s Signed) error {
	// Lengths first: crypto/ed25519 panics on a key of a wrong one.
	if len(s.PeerID) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: the peer id has %d bytes, must have %d", ErrBadSignature, len(s.PeerID), ed25519.PublicKeySize)
	}
	if len(s.Signature) != ed25519.SignatureSize {
		return fmt.Errorf("%w: the signature has %d bytes, must have %d", ErrBadSignature, len(s.Signature), ed25519.SignatureSize)
	}
	id := PeerID(s.PeerID)
	if !ed25519.Verify(id[:], s.Message, s.Signature) {
		return fmt.Errorf("%w: not by %v over this message", ErrBadSignature, id)
	}
	// Only now the key, and only good keys are remembered: a stranger without a key cannot push
	// the grid's out of the cache.
	if v.good != nil {
		if _, ok := v.good.Get(id); ok {
			return nil
		}
	}
	if err := CheckKey(id[:]); err != nil {
		return err
	}
	if v.good != nil {
		v.good.Add(id, struct{}{})
	}
	return nil
}

// CheckKey tells whether id is a public key by which a signature means something: 32 bytes, the
// canonical encoding of a point of edwards25519 of prime order. Every error wraps [ErrBadSignature].
//
// With a point of small order anyone can sign. With one of mixed order (a good one plus one of small
// order), or one encoded in a second way, libraries disagree on what verifies: see "Taming the many
// EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020). An honest key is neither.
func CheckKey(id []byte) error {
	p, err := new(edwards25519.Point).SetBytes(id)
	if err != nil {
		return fmt.Errorf("%w: the peer id is no point of the curve", ErrBadSignature)
	}
	if !bytes.Equal(p.Bytes(), id) {
		return fmt.Errorf("%w: the peer id is not canonically encoded", ErrBadSignature)
	}
	identity := edwards25519.NewIdentityPoint()
	if p.Equal(identity) == 1 {
		return fmt.Errorf("%w: the peer id is the identity point", ErrBadSignature)
	}
	// p has the prime order l if [l]p is the identity. A Scalar is taken modulo l, so l itself is
	// none: [l-1]p + p. Variable time is fine, the key is public.
	zero := edwards25519.NewScalar()
	last := edwards25519.NewScalar().Subtract(zero, one())
	q := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(last, p, zero)
	if q.Add(q, p).Equal(identity) != 1 {
		return fmt.Errorf("%w: the peer id is not of prime order", ErrBadSignature)
	}
	return nil
}

func one() *edwards25519.Scalar {
	s, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	if err != nil {
		panic(err) // 1 is below l
	}
	return s
}
