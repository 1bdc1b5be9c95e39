package announce

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Key is a node's private key. Printing and logging show its peer id and never the key; only
// [Key.Text] gives it away. It does not change, and may be used by many goroutines at once. Make one
// with [GenerateKey], [NewKeyFromSeed], [ParseKey] or [LoadKeyFile]; the zero Key has no use.
type Key struct {
	// The RFC's seed, then the public key. A func, since fmt prints one as an address whatever the
	// verb; of a Key in another package's unexported field it would print bytes, or what a pointer
	// points to, without asking the Key.
	private func() *[ed25519.PrivateKeySize]byte
	id      PeerID
}

// GenerateKey makes a key from 32 bytes of rand. Nil means crypto/rand.
func GenerateKey(random io.Reader) (*Key, error) {
	if random == nil {
		random = rand.Reader
	}
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("reading %d random bytes: %w", len(seed), err)
	}
	return NewKeyFromSeed(seed), nil
}

// NewKeyFromSeed returns the key of a seed (RFC 8032, section 5.1.5: there the private key). Every
// 32 bytes are one.
func NewKeyFromSeed(seed [32]byte) *Key {
	private := [ed25519.PrivateKeySize]byte(ed25519.NewKeyFromSeed(seed[:]))
	return &Key{
		private: func() *[ed25519.PrivateKeySize]byte { return &private },
		id:      PeerID(private[ed25519.SeedSize:]),
	}
}

// ParseKey reads "priv-v0-…" with 52 characters of strict base32. The error wraps [ErrInvalid] and
// has nothing of the text in it.
func ParseKey(s string) (*Key, error) {
	seed, err := parseSeed(s)
	if err != nil {
		return nil, fmt.Errorf("%w private key: %w", ErrInvalid, err)
	}
	return NewKeyFromSeed(seed), nil
}

func parseSeed(s string) (seed [ed25519.SeedSize]byte, err error) {
	text, ok := strings.CutPrefix(s, privatePrefix)
	switch {
	case s == "":
		return seed, errors.New("is empty")
	case strings.HasPrefix(s, publicPrefix) || strings.HasPrefix(s, tahoePrefix):
		return seed, fmt.Errorf("a public key was given, a private one begins with %q", privatePrefix)
	case !ok:
		return seed, fmt.Errorf("must begin with %q", privatePrefix)
	}
	b, err := decode32(text)
	if err != nil {
		return seed, fmt.Errorf("behind the prefix: %w", err)
	}
	if len(b) != len(seed) {
		return seed, fmt.Errorf("%d bytes, must be %d", len(b), len(seed))
	}
	return [ed25519.SeedSize]byte(b), nil
}

// Text returns the private key itself, "priv-v0-…", 60 characters.
func (k *Key) Text() string {
	return privatePrefix + tahoe32.EncodeToString(k.private()[:ed25519.SeedSize])
}

// PeerID returns the public half.
func (k *Key) PeerID() PeerID { return k.id }

// Sign signs a message, whatever it says; [Announcement.Message] makes a valid one. The message is
// kept, not copied. The same message gives the same signature.
func (k *Key) Sign(message []byte) Signed {
	id := k.id
	return Signed{
		Message:   message,
		Signature: ed25519.Sign(k.private()[:], message),
		PeerID:    id[:],
	}
}

// String names the key by its peer id.
func (k Key) String() string { return "private key of " + k.id.String() }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Format writes what String returns for every verb, since %d and %x would print the fields.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue is what log/slog writes.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
