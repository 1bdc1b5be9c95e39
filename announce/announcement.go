package announce

import (
	"encoding/json"
	"time"
)

// Announcement is what a message says. [Parse] reads it and [Announcement.Message] writes it; the
// package comment has the rules that both hold. Slices belong to the Announcement, not to the message
// it was read from. It may be read by many at once and written by one alone.
type Announcement struct {
	Service Service // what is offered
	Seqnum  uint64  // the publisher's counter, 0 to 2^63-1: a newer announcement beats the older

	Nickname string // for people; "" for none

	// PermutationSeed is what a permutation hashes for this peer, 0 to 64 bytes. Nil: none is
	// announced, and the seed is the peer id. Empty but not nil: an empty seed is announced.
	// [Announcement.Seed] gives the one that counts.
	PermutationSeed []byte

	// Where the service is. An empty list is as good as none, and both are read as nil.
	FURL      string   // anonymous-storage-FURL, "" for none
	NURLs     []string // anonymous-storage-NURLs
	Endpoints []string // endpoints: at most 16, each at most 1,000 bytes

	TTL       time.Duration // whole seconds, 1 s to 365 days, from when it is accepted; 0: never expires
	Withdrawn bool          // the peer takes its announcement back

	// Extra is what Message writes besides, by member name: JSON values such as "nonce" or
	// "my-version" that other readers know. Nil for none. Parse leaves it nil, since the message
	// itself is kept.
	Extra map[string]json.RawMessage // :: member name → one JSON value
}

// The bounds of a message, in bytes unless said otherwise.
const (
	MaxMessage         = 16 << 10                 // the message
	MaxDepth           = 16                       // containers in containers, the message's object being the first
	MaxSeqnum          = 1<<63 - 1                // a number
	MaxNickname        = 256                      // the nickname
	MaxPermutationSeed = 64                       // the seed, decoded
	MaxEndpoints       = 16                       // a count
	MaxEndpoint        = 1000                     // one endpoint
	MaxTTL             = 31_536_000 * time.Second // 365 days
)

// The members of a message that mean something here.
const (
	memberService   = "service-name"
	memberSeqnum    = "seqnum"
	memberNickname  = "nickname"
	memberSeed      = "permutation-seed-base32"
	memberFURL      = "anonymous-storage-FURL"
	memberNURLs     = "anonymous-storage-NURLs"
	memberEndpoints = "endpoints"
	memberTTL       = "ttl-seconds"
	memberWithdrawn = "withdrawn"
)

// AllEndpoints returns where to reach the service: the FURL, the NURLs and the endpoints, in this
// order, each once and none empty. Nil when there is none. The slice is the caller's.
func (a *Announcement) AllEndpoints() []string {
	var all []string
	seen := make(map[string]struct{}) // not a search in all: a message has room for thousands of NURLs
	add := func(s string) {
		if _, ok := seen[s]; s == "" || ok {
			return
		}
		seen[s] = struct{}{}
		all = append(all, s)
	}
	add(a.FURL)
	for _, s := range a.NURLs {
		add(s)
	}
	for _, s := range a.Endpoints {
		add(s)
	}
	return all
}

// Seed returns what a permutation hashes for this peer: the announced seed, which stays the
// announcement's, or else the 32 bytes of id (as Tahoe-LAFS's storage_client.py has it).
func (a *Announcement) Seed(id PeerID) []byte {
	if a.PermutationSeed != nil {
		return a.PermutationSeed
	}
	return id[:]
}
