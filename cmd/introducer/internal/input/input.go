// Package input reads what people and other programs hand to the command line: storage indexes, base32,
// lists of peer ids, and announcements that were signed elsewhere. It is strict: what could be meant in
// two ways is refused with a sentence that says how to write it.
//
// # A list of peer ids
//
// Lines of text. A peer id is "v0-…" or "pub-v0-…", alone on its line but for white space. What
// follows a "#" is a comment, and lines with nothing else are skipped.
//
// # Signed announcements
//
// JSON values, with white space between them (so: one a line, or all in a row), each in one of two forms:
//
//	{"message": "{\"service-name\": …}", "signature": "v0-…", "key": "v0-…"}
//	["{\"service-name\": …}", "v0-…", "v0-…"]
//
// The first is what `introducer peers -o json` shows as "announcement", the second the tuple that
// Tahoe-LAFS sends. The message is a string whose UTF-8 is what was signed. Other members are refused.
package input

import (
	"bufio"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/permute"
)

// ErrInvalid is wrapped by every refusal of this package.
var ErrInvalid = errors.New("invalid")

// tahoe32 is Tahoe-LAFS's base32 (allmydata/util/base32.py): lower case and without padding.
var tahoe32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Base32 decodes base32 as Tahoe-LAFS writes it, and accepts no other text for the same bytes.
func Base32(s string) ([]byte, error) {
	b, err := tahoe32.DecodeString(s)
	// The standard library skips line breaks and unused bits.
	if err != nil || tahoe32.EncodeToString(b) != s {
		return nil, fmt.Errorf("%w base32 %s: lower-case letters and 2 to 7 are allowed, without padding, as of whole bytes", ErrInvalid, clip(s))
	}
	return b, nil
}

// EncodeBase32 is the inverse of [Base32].
func EncodeBase32(b []byte) string { return tahoe32.EncodeToString(b) }

// The lengths of a storage index of Tahoe-LAFS's 16 bytes, as it writes one, and in hexadecimal.
const (
	length32  = 26
	lengthHex = 32
)

// StorageIndex reads a storage index: 26 characters of base32, as Tahoe-LAFS writes its 16 bytes, or 32
// hexadecimal digits. Other lengths, 1 to 64 bytes, need "base32:" or "hex:" before them, since many
// texts are both.
func StorageIndex(s string) ([]byte, error) {
	b, err := decodeStorageIndex(s)
	if err != nil {
		return nil, fmt.Errorf("%w storage index %s: %w", ErrInvalid, clip(s), err)
	}
	if len(b) == 0 || len(b) > permute.MaxStorageIndex {
		return nil, fmt.Errorf("%w storage index %s: %d bytes, 1 to %d are allowed", ErrInvalid, clip(s), len(b), permute.MaxStorageIndex)
	}
	return b, nil
}

func decodeStorageIndex(s string) ([]byte, error) {
	if text, ok := strings.CutPrefix(s, "base32:"); ok {
		return storageIndex32(text)
	}
	if text, ok := strings.CutPrefix(s, "hex:"); ok {
		return storageIndexHex(text)
	}
	switch len(s) {
	case length32:
		return storageIndex32(s)
	case lengthHex:
		return storageIndexHex(s)
	}
	return nil, fmt.Errorf("%d characters: must be %d of base32 or %d of hexadecimal; write hex:… or base32:… for another length",
		len(s), length32, lengthHex)
}

func storageIndex32(s string) ([]byte, error) {
	b, err := Base32(s)
	switch {
	case err == nil:
		return b, nil
	case s != strings.ToLower(s):
		return nil, errors.New("base32 is written in lower case here")
	case strings.HasSuffix(s, "="):
		return nil, errors.New("base32 is written without padding here")
	}
	return nil, errors.New("not base32 of whole bytes: a to z and 2 to 7 are allowed, and no unused bit may be set")
}

func storageIndexHex(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, errors.New("not hexadecimal digits, two for each byte")
	}
	return b, nil
}

// PeerIDs reads a list of peer ids. Repeats are one. An error names the line, counted from 1.
func PeerIDs(r io.Reader) (map[announce.PeerID]struct{}, error) {
	ids := make(map[announce.PeerID]struct{})
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		id, err := announce.ParsePeerID(text)
		if err != nil {
			return nil, fmt.Errorf("%w list of peer ids: line %d: %w", ErrInvalid, n, err)
		}
		ids[id] = struct{}{}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading a list of peer ids: %w", err)
	}
	return ids, nil
}

// clip quotes what was typed, so that an error message stays on its line.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…", s[:most])
}
