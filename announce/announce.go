// Package announce is the signed announcement: what a node says of one service it offers, how that
// is signed, and how a reader makes sure of it. It is pure: apart from the two functions that keep a
// key in a file it does no I/O, reads no clock and logs nothing.
//
// # The signed announcement
//
// The format is the Tahoe-LAFS v2 announcement (allmydata/introducer/common.py). Three byte strings
// travel and are kept together:
//
//	message    1 to 16,384 bytes: one JSON object in UTF-8
//	signature  64 bytes: Ed25519 (RFC 8032, PureEdDSA) by the node's key over exactly these bytes
//	peer id    32 bytes: the node's Ed25519 public key
//
// There is no canonical form of the JSON: what is signed, sent, logged and handed on is always the
// message as its node wrote it, and nobody between the node and the last reader writes it anew.
//
// Tahoe-LAFS sends the three as a tuple of message, signature text and key text. The texts are
// base32 with a prefix, and [Signed.Tahoe] and [FromTahoe] convert:
//
//	v0-<103 characters>      signature
//	v0-<52 characters>       public key, as a peer id is written everywhere
//	pub-v0-<52 characters>   public key, as key tools write it
//	priv-v0-<52 characters>  private key: the 32-byte seed of RFC 8032, section 5.1.5
//
// Base32 is that of RFC 4648 in lower case ("a" to "z", "2" to "7") without padding, and strict:
// the bits behind the last whole byte are zero, so no two texts mean the same bytes.
//
// # The message
//
//	member                    JSON value                     rule
//	service-name              string                         required, [a-z][a-z0-9_-]{0,63}
//	seqnum                    integer                        required, 0 to 2^63-1
//	nickname                  string                         at most 256 bytes
//	permutation-seed-base32   string                         base32 of 0 to 64 bytes
//	anonymous-storage-FURL    string
//	anonymous-storage-NURLs   list of strings
//	endpoints                 list of strings                at most 16, each at most 1,000 bytes
//	ttl-seconds               integer                        1 to 31,536,000
//	withdrawn                 boolean
//	any other                 any                            kept, not interpreted
//
// Sizes are those of the string's UTF-8, its escapes undone. FURL and NURLs need no bound of their
// own, the message's suffices. An integer is written in decimal digits alone. A member that is
// absent says nothing; one that is null is of a wrong type.
//
// The JSON is that of RFC 8259 and moreover of RFC 7493 (I-JSON): every string is Unicode, so that
// neither stray bytes nor half a surrogate pair may stand in it, and no object names a member twice,
// at whatever depth and however the name is escaped. A byte order mark is refused. Containers nest
// at most 16 deep, the object itself being the first. White space may surround the object, nothing
// else may. Member names are case-sensitive.
//
// # What is promised
//
// What [Verifier.Open] returns without an error was signed by the owner of the peer id and obeys
// every rule above. What it refuses wraps [ErrBadSignature] or [ErrInvalid]. No input makes any
// function here panic.
package announce

import "errors"

// ErrInvalid is wrapped by the refusal of what breaks a rule of form: a message, a service name, the
// text of a key. The wrapping error says what is wrong and where.
var ErrInvalid = errors.New("invalid")

// ErrBadSignature is wrapped by the refusal of what its peer id cannot be shown to have signed: a
// signature that does not verify, a signature or key of a wrong length, or a public key with which
// the question has no answer (see [CheckKey]).
var ErrBadSignature = errors.New("bad signature")
