package announce

import (
	"bytes"
	"fmt"
	"strings"
)

// PeerID names a node: its Ed25519 public key, 32 bytes as RFC 8032 encodes a point. That 32 bytes
// are a PeerID does not mean that they are a key; [CheckKey] tells.
type PeerID [32]byte

const (
	publicPrefix  = "pub-v0-"
	privatePrefix = "priv-v0-"
	tahoePrefix   = "v0-"
)

// ParsePeerID reads "v0-…" or "pub-v0-…" with 52 characters of strict base32. It judges the text and
// not the key. The error wraps [ErrInvalid].
func ParsePeerID(s string) (PeerID, error) {
	text, ok := strings.CutPrefix(s, publicPrefix)
	if !ok {
		text, ok = strings.CutPrefix(s, tahoePrefix)
	}
	if !ok {
		if strings.HasPrefix(s, privatePrefix) {
			// Not quoted: this one is a secret in the wrong place.
			return PeerID{}, fmt.Errorf("%w peer id: a private key was given", ErrInvalid)
		}
		return PeerID{}, fmt.Errorf("%w peer id %s: must begin with %q or %q", ErrInvalid, clip(s), tahoePrefix, publicPrefix)
	}
	b, err := decode32(text)
	if err != nil {
		return PeerID{}, fmt.Errorf("%w peer id %s: behind the prefix: %w", ErrInvalid, clip(s), err)
	}
	if len(b) != len(PeerID{}) {
		return PeerID{}, fmt.Errorf("%w peer id %s: %d bytes, must be %d", ErrInvalid, clip(s), len(b), len(PeerID{}))
	}
	return PeerID(b), nil
}

// PeerIDFromBytes copies the 32 bytes b. The error wraps [ErrInvalid].
func PeerIDFromBytes(b []byte) (PeerID, error) {
	if len(b) != len(PeerID{}) {
		return PeerID{}, fmt.Errorf("%w peer id: %d bytes, must be %d", ErrInvalid, len(b), len(PeerID{}))
	}
	return PeerID(b), nil
}

// String returns "v0-…", 55 characters.
func (id PeerID) String() string { return tahoePrefix + tahoe32.EncodeToString(id[:]) }

// PublicText returns "pub-v0-…", 59 characters, as key tools write it.
func (id PeerID) PublicText() string { return publicPrefix + tahoe32.EncodeToString(id[:]) }

// Compare orders peer ids bytewise: -1 when id comes before other, 0 when they are the same, else +1.
func (id PeerID) Compare(other PeerID) int { return bytes.Compare(id[:], other[:]) }

// MarshalText returns what String does.
func (id PeerID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText accepts what [ParsePeerID] does, and leaves id alone when that refuses.
func (id *PeerID) UnmarshalText(text []byte) error {
	parsed, err := ParsePeerID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
