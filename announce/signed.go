package announce

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// Signed is an announcement as it is sent and kept: bytes, of whatever length and content they came.
// Nothing about them is known before [Verifier.Open] has looked. Its slices may be shared; whoever
// holds a Signed does not write into them.
type Signed struct {
	Message   []byte // the JSON object that is signed, to the byte
	Signature []byte // 64 bytes when valid
	PeerID    []byte // 32 bytes when valid
}

// Digest returns SHA-256(peer id || message). The digest of a set of announcements is the XOR of
// theirs. The signature is left out, so that a node that signs the same words again changes nothing.
func (s Signed) Digest() [32]byte {
	// A real announcement fits, and then nothing is allocated.
	buf := make([]byte, 0, 1024)
	buf = append(buf, s.PeerID...)
	buf = append(buf, s.Message...)
	return sha256.Sum256(buf)
}

// Tahoe returns the announcement as the tuple that Tahoe-LAFS sends: the message (s's own slice, not
// a copy), and signature and public key as "v0-…". Lengths are kept as they are, right or wrong.
func (s Signed) Tahoe() (message []byte, signature, key string) {
	return s.Message, tahoePrefix + tahoe32.EncodeToString(s.Signature), tahoePrefix + tahoe32.EncodeToString(s.PeerID)
}

// FromTahoe is the inverse of [Signed.Tahoe]. The message is kept, not copied. Only the texts' form
// is judged, and the error wraps [ErrInvalid]; lengths are [Verifier.Verify]'s business.
func FromTahoe(message []byte, signature, key string) (Signed, error) {
	sig, err := fromTahoeText(signature)
	if err != nil {
		return Signed{}, fmt.Errorf("%w signature text: %w", ErrInvalid, err)
	}
	id, err := fromTahoeText(key)
	if err != nil {
		return Signed{}, fmt.Errorf("%w key text: %w", ErrInvalid, err)
	}
	return Signed{Message: message, Signature: sig, PeerID: id}, nil
}

func fromTahoeText(s string) ([]byte, error) {
	text, ok := strings.CutPrefix(s, tahoePrefix)
	if !ok {
		return nil, fmt.Errorf("must begin with %q", tahoePrefix)
	}
	return decode32(text)
}
