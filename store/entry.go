package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/introducer/introducer/wal"
)

// Entry is what the index knows of one announcement: whose, and what a lookup, a judgement of the
// next announcement and an expiry need. The announcement's own bytes are in the log.
type Entry struct {
	Service string   // 1 to 64 bytes
	PeerID  [32]byte // Ed25519 public key
	State   State

	Revision wal.Revision // of the record that brought this state; at most the index's position
	Seqnum   uint64

	Announced, FirstSeen time.Time // UTC, ns, 1678 to 2262; or zero

	// Deadline is when it expires on the introducer's running clock (wal.Record.Clock); 0: never.
	Deadline time.Duration

	// Digest is SHA-256(peer id ‖ message) of the newest announcement; for a withdrawn one of the
	// withdrawal, for an expired or evicted one of what ended.
	Digest [32]byte

	// Seed is the permutation seed as announced, at most 64 bytes. nil: none was announced, and it is
	// derived from the peer id; empty: an empty one was announced.
	Seed []byte
}

// State is what has become of an announcement. All but Live are tombstones.
type State uint8

// The states. Their numbers are bytes on disk.
const (
	Live      State = 1
	Withdrawn State = 2 // by the peer's own signed word
	Expired   State = 3 // its time to live ran out
	Evicted   State = 4 // by the operator
)

func (s State) String() string {
	switch s {
	case Live:
		return "live"
	case Withdrawn:
		return "withdrawn"
	case Expired:
		return "expired"
	case Evicted:
		return "evicted"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Key names an entry.
type Key struct {
	Service string
	PeerID  [32]byte
}

// Limits of an entry.
const (
	MaxService = 64 // bytes of a service name
	MaxSeed    = 64 // bytes of a permutation seed
)

// Offsets in an entry's bytes; see the package comment.
const (
	atState     = 0
	atSeedLen   = 1
	atRevision  = 2
	atSeqnum    = 10
	atAnnounced = 18
	atFirstSeen = 26
	atDeadline  = 34
	atDigest    = 42
	atSeed      = 74

	sumSize = 4
	noSeed  = 255
	noTime  = math.MinInt64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// serviceSum begins the checksums of all entries of a service.
func serviceSum(service string) uint32 {
	b := make([]byte, 0, 1+MaxService)
	b = append(b, byte(len(service)))
	return crc32.Checksum(append(b, service...), castagnoli)
}

// entrySum is the checksum of an entry whose service begins with sum.
func entrySum(sum uint32, peerID, body []byte) uint32 {
	sum = crc32.Update(sum, castagnoli, peerID)
	return crc32.Update(sum, castagnoli, body)
}

// appendEntry appends e's bytes to b. An entry that is outside the limits is an error.
func appendEntry(b []byte, e *Entry) ([]byte, error) {
	announced, err1 := unixNano(e.Announced)
	firstSeen, err2 := unixNano(e.FirstSeen)
	switch {
	case len(e.Service) < 1 || len(e.Service) > MaxService:
		return b, fmt.Errorf("service name of %d bytes, want 1 to %d", len(e.Service), MaxService)
	case e.State < Live || e.State > Evicted:
		return b, fmt.Errorf("%v", e.State)
	case err1 != nil:
		return b, fmt.Errorf("announced: %w", err1)
	case err2 != nil:
		return b, fmt.Errorf("first seen: %w", err2)
	case e.Deadline < 0:
		return b, fmt.Errorf("deadline %v", e.Deadline)
	case len(e.Seed) > MaxSeed:
		return b, fmt.Errorf("seed of %d bytes, want at most %d", len(e.Seed), MaxSeed)
	}
	n := byte(len(e.Seed))
	if e.Seed == nil {
		n = noSeed
	}
	start := len(b)
	b = append(b, byte(e.State), n)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Revision))
	b = binary.BigEndian.AppendUint64(b, e.Seqnum)
	b = binary.BigEndian.AppendUint64(b, uint64(announced))
	b = binary.BigEndian.AppendUint64(b, uint64(firstSeen))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Deadline))
	b = append(b, e.Digest[:]...)
	b = append(b, e.Seed...)
	sum := entrySum(serviceSum(e.Service), e.PeerID[:], b[start:])
	return binary.BigEndian.AppendUint32(b, sum), nil
}

// parseEntry reads the entry at peerID in a service whose checksums begin with prefix, and returns
// its checksum too. e.Seed lies in value.
func parseEntry(e *Entry, service string, prefix uint32, peerID, value []byte) (sum uint32, err error) {
	sum, err = checkEntry(prefix, peerID, value)
	if err != nil {
		return 0, err
	}
	body := value[:len(value)-sumSize]
	switch n := body[atSeedLen]; {
	case n == noSeed && len(body) == atSeed:
		e.Seed = nil
	case n <= MaxSeed && len(body) == atSeed+int(n):
		e.Seed = body[atSeed:]
	default:
		return 0, fmt.Errorf("%d bytes with a seed length of %d", len(value), n)
	}
	e.Service = service
	e.PeerID = [32]byte(peerID)
	e.State = State(body[atState])
	e.Revision = wal.Revision(binary.BigEndian.Uint64(body[atRevision:]))
	e.Seqnum = binary.BigEndian.Uint64(body[atSeqnum:])
	e.Announced = fromUnixNano(int64(binary.BigEndian.Uint64(body[atAnnounced:])))
	e.FirstSeen = fromUnixNano(int64(binary.BigEndian.Uint64(body[atFirstSeen:])))
	e.Deadline = time.Duration(binary.BigEndian.Uint64(body[atDeadline:]))
	e.Digest = [32]byte(body[atDigest:])
	if e.State < Live || e.State > Evicted {
		return 0, fmt.Errorf("%v", e.State)
	}
	if e.Deadline < 0 {
		return 0, fmt.Errorf("deadline %v", e.Deadline)
	}
	return sum, nil
}

// checkEntry checks the lengths of an entry's key and value and its checksum, which it returns.
func checkEntry(prefix uint32, peerID, value []byte) (sum uint32, err error) {
	if len(peerID) != len(Key{}.PeerID) {
		return 0, fmt.Errorf("key of %d bytes", len(peerID))
	}
	if len(value) < atSeed+sumSize || len(value) > atSeed+MaxSeed+sumSize {
		return 0, fmt.Errorf("value of %d bytes", len(value))
	}
	body := value[:len(value)-sumSize]
	sum = binary.BigEndian.Uint32(value[len(body):])
	if entrySum(prefix, peerID, body) != sum {
		return 0, errors.New("wrong checksum")
	}
	return sum, nil
}

// unixNano is t on disk. A time that nanoseconds in 64 bits cannot hold is an error.
func unixNano(t time.Time) (int64, error) {
	if t.IsZero() {
		return noTime, nil
	}
	ns := t.UnixNano()
	if ns == noTime || !time.Unix(0, ns).Equal(t) {
		return 0, fmt.Errorf("time %v is out of range", t)
	}
	return ns, nil
}

func fromUnixNano(ns int64) time.Time {
	if ns == noTime {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
