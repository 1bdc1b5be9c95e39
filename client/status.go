package client

import (
	"maps"
	"slices"
	"time"

	"github.com/introducer/introducer/announce"
)

// Status is how a Client stands. It is the caller's.
type Status struct {
	Introducers []IntroducerStatus // in the order configured
	Services    []ServiceStatus    // subscribed to, by name
	Own         []OwnStatus        // what this node published or withdrew, by service

	// Digest is the XOR of the digests of all peers shown: the same at all nodes that show the same.
	Digest [32]byte

	// CacheErr is why nothing is written to Options.Dir any more; nil: it is, or Dir is "".
	CacheErr error
}

// ServiceStatus is how one service stands.
type ServiceStatus struct {
	Service announce.Service
	Peers   int
	Digest  [32]byte // XOR of the peers' digests; all zero for none
	Synced  bool     // see [Client.WaitSynced]
}

// State is how a subscription to an introducer stands.
type State uint8

const (
	Idle       State = iota // nothing is subscribed to
	Connecting              // no stream yet, or no more
	CatchingUp              // the introducer tells what it knows
	Synced                  // what it knows is known here: it answers
)

// String is the state in lower case.
func (s State) String() string {
	return [...]string{"idle", "connecting", "catching up", "synced"}[s]
}

// IntroducerStatus is how one introducer stands.
type IntroducerStatus struct {
	URL   string
	State State
	Heard time.Time // when anything was heard on a stream; zero: never in this run
	Err   error     // why the last stream or attempt ended; nil: none has, or the introducer ended it in order

	LogID    [16]byte // of the log that the subscription stands in; zero: of none
	Revision uint64   // and where
	Peers    int      // that it announced; a node counts once for each service

	Rejected   uint64 // what it announced that was forged, malformed, of another service or peer, in this run
	Outdated   uint64 // what it announced that is older than what is known, in this run
	Mismatches uint64 // how often its set and ours were not the same, in this run

	// PublishErr is why the last attempt failed to publish what this node says now; nil: it did not, or
	// none was made yet.
	PublishErr error
}

// OwnStatus is an announcement of this node's own.
type OwnStatus struct {
	Service   announce.Service
	Seqnum    uint64
	Withdrawn bool
	// Current is false for what an earlier run published, and this one has neither published nor
	// withdrawn: it is not said again.
	Current  bool
	Outcomes map[string]Outcome // :: URL of an introducer → what became of it there; absent: not known yet
}

// Outcome is what an introducer said to an announcement of ours.
type Outcome struct {
	Accepted bool   // it holds it
	Reason   string // why not, for a person; it may be anything the introducer likes
}

// Status returns how the Client stands.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{CacheErr: c.cacheErr}
	for _, x := range c.introducers {
		s.Introducers = append(s.Introducers, IntroducerStatus{
			URL: x.url, State: x.state, Heard: x.heard, Err: x.err,
			LogID: logOf(x.token), Revision: x.token.GetRevision(), Peers: len(x.entries),
			Rejected: x.rejected, Outdated: x.outdated, Mismatches: x.mismatches,
			PublishErr: x.publishErr,
		})
	}
	for _, service := range c.services {
		v := c.ledger.views[service]
		s.Services = append(s.Services, ServiceStatus{service, v.peers.Len(), v.digest, c.synced[service]})
		xor(&s.Digest, v.digest)
	}
	if c.own != nil {
		s.Own = c.own.statusLocked()
	}
	return s
}

func (o *own) statusLocked() []OwnStatus {
	var all []OwnStatus
	for _, service := range slices.Sorted(maps.Keys(o.entries)) {
		e := o.entries[service]
		all = append(all, OwnStatus{service, e.seqnum, e.withdrawn, e.say != nil, maps.Clone(e.outcomes)})
	}
	return all
}
