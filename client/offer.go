package client

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/introducer/introducer/announce"
)

// Offer is a service that this node offers: an announcement but for what the Client adds, its key and
// its sequence number. The rules are those of package announce.
type Offer struct {
	Service  announce.Service
	Nickname string // "": Options.Nickname

	// Where the service is.
	Endpoints []string // at most 16, each at most 1,000 bytes
	FURL      string   // Tahoe-LAFS's; "" for none
	NURLs     []string // Tahoe-LAFS's

	PermutationSeed []byte        // 0 to 64 bytes; nil: the peer id
	TTL             time.Duration // whole seconds, up to 365 days; renewed at about half of it. 0: does not expire

	// Extra are further members of the message; see [announce.Announcement].
	Extra map[string]json.RawMessage // :: member name → one JSON value
}

// clone is the offer as it is now, whatever its maker does with the slices.
func (o Offer) clone() Offer {
	o.Endpoints, o.NURLs = slices.Clone(o.Endpoints), slices.Clone(o.NURLs)
	o.PermutationSeed, o.Extra = slices.Clone(o.PermutationSeed), maps.Clone(o.Extra)
	return o
}

// announcement is what says the offer, in this place of the publisher's counter.
func (o Offer) announcement(seqnum uint64) announce.Announcement {
	return announce.Announcement{
		Service: o.Service, Seqnum: seqnum, Nickname: o.Nickname, PermutationSeed: o.PermutationSeed,
		FURL: o.FURL, NURLs: o.NURLs, Endpoints: o.Endpoints, TTL: o.TTL, Extra: o.Extra,
	}
}
