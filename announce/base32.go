package announce

import (
	"encoding/base32"
	"errors"
	"fmt"
)

// tahoe32 is Tahoe-LAFS's base32 (allmydata/util/base32.py): RFC 4648, section 6, in lower case and
// without padding. It encodes only; [decode32] decodes.
var tahoe32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

var errNotCanonical32 = errors.New("base32 with a length or last character that no bytes give")

// decode32 decodes strict base32: it accepts exactly the texts that encoding gives. The package
// encoding/base32 is not strict: it skips line breaks and drops the bits behind the last whole byte, so
// that many texts would mean the same key. The result is never nil without an error, and the errors
// name no part of the text, which may be a secret.
func decode32(s string) ([]byte, error) {
	b := make([]byte, 0, decodedLen32(len(s)))
	var acc, bits uint // the lowest bits of acc wait for the rest of their byte
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z':
			acc = acc<<5 | uint(c-'a')
		case '2' <= c && c <= '7':
			acc = acc<<5 | uint(c-'2'+26)
		default:
			return nil, fmt.Errorf("not lower-case unpadded base32 at character %d", i+1)
		}
		if bits += 5; bits >= 8 {
			bits -= 8
			b = append(b, byte(acc>>bits))
		}
	}
	// Five bits or more: the last character began no byte. A bit set: another character would have
	// given the same bytes.
	if bits >= 5 || acc&(1<<bits-1) != 0 {
		return nil, errNotCanonical32
	}
	return b, nil
}

// decodedLen32 is the number of bytes that n characters of base32 give.
func decodedLen32(n int) int { return n/8*5 + n%8*5/8 }
