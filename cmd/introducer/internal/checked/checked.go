// Package checked looks at what an introducer says of a peer and believes only what the peer itself
// signed. An introducer is not trusted: it may be wrong, or lie.
//
// [Peers.Check] opens the signed announcement that comes with every peer and compares the introducer's
// reading of it, field by field. Where all of it agrees the result is marked verified, and what it then
// shows is the peer's own word, except for revision and times, which only the introducer can know.
package checked

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
)

// Peer is one peer of one service. Its JSON names are what the command line's users rely on.
type Peer struct {
	Service         string       `json:"service"`
	PeerID          string       `json:"peer_id"` // "v0-…"
	Nickname        string       `json:"nickname,omitempty"`
	Seqnum          uint64       `json:"seqnum"`
	Revision        uint64       `json:"revision"`
	Endpoints       []string     `json:"endpoints,omitempty"`
	PermutationSeed []byte       `json:"permutation_seed"` // in base64
	FirstSeen       *time.Time   `json:"first_seen,omitempty"`
	Announced       *time.Time   `json:"announced,omitempty"`
	Expires         *time.Time   `json:"expires,omitempty"` // nil: never
	Verified        bool         `json:"verified"`
	Problem         string       `json:"problem,omitempty"`      // why it is not verified
	Announcement    *input.Tuple `json:"announcement,omitempty"` // as it was signed
}

// Checker checks peers. It may be used concurrently.
type Checker struct {
	verifier *announce.Verifier
}

// NewChecker returns a Checker that remembers some thousand good keys.
func NewChecker() *Checker { return &Checker{verifier: announce.NewVerifier(1 << 14)} }

// Check returns p as a Peer. One that is not what its node signed is returned as the introducer says it
// is, with Verified false and the Problem.
func (c *Checker) Check(p *introducerv1.Peer) Peer {
	out := Peer{
		Service:         p.GetService(),
		PeerID:          peerIDText(p.GetPeerId()),
		Nickname:        p.GetNickname(),
		Seqnum:          p.GetSeqnum(),
		Revision:        p.GetRevision(),
		Endpoints:       p.GetEndpoints(),
		PermutationSeed: p.GetPermutationSeed(),
		FirstSeen:       moment(p.GetFirstSeen()),
		Announced:       moment(p.GetAnnounced()),
		Expires:         moment(p.GetExpires()),
	}
	if out.PermutationSeed == nil {
		out.PermutationSeed = []byte{} // empty, not null
	}
	if p.GetAnnouncement() != nil {
		tuple := input.TupleOf(p.GetAnnouncement().Signed())
		out.Announcement = &tuple
	}
	if err := c.check(p); err != nil {
		out.Problem = err.Error()
		return out
	}
	out.Verified = true
	return out
}

func (c *Checker) check(p *introducerv1.Peer) error {
	if p.GetAnnouncement() == nil {
		return errors.New("the signed announcement is missing")
	}
	said, id, err := c.verifier.Open(p.GetAnnouncement().Signed())
	if err != nil {
		return err
	}
	if said.Withdrawn {
		return errors.New("the peer has withdrawn it")
	}
	var own introducerv1.Peer
	own.SetAnnouncement(said, id)
	switch {
	case !bytes.Equal(own.PeerId, p.GetPeerId()):
		return fmt.Errorf("it is signed by another peer, %v", id)
	case own.Service != p.GetService():
		return differs("service", p.GetService(), own.Service)
	case own.Seqnum != p.GetSeqnum():
		return differs("seqnum", p.GetSeqnum(), own.Seqnum)
	case own.Nickname != p.GetNickname():
		return differs("nickname", p.GetNickname(), own.Nickname)
	case !bytes.Equal(own.PermutationSeed, p.GetPermutationSeed()):
		return differs("permutation seed", p.GetPermutationSeed(), own.PermutationSeed)
	case !slices.Equal(own.Endpoints, p.GetEndpoints()):
		return differs("endpoints", p.GetEndpoints(), own.Endpoints)
	}
	return nil
}

// CheckGone tells whether a withdrawal is the peer's own word. Other reasons to be gone come from the
// introducer alone, and nothing is signed.
func (c *Checker) CheckGone(g *introducerv1.Gone) error {
	if g.GetReason() != introducerv1.GoneReason_GONE_REASON_WITHDRAWN {
		return nil
	}
	if g.GetWithdrawal() == nil {
		return errors.New("the signed withdrawal is missing")
	}
	said, id, err := c.verifier.Open(g.GetWithdrawal().Signed())
	switch {
	case err != nil:
		return err
	case !bytes.Equal(id[:], g.GetPeerId()):
		return fmt.Errorf("it is signed by another peer, %v", id)
	case !said.Withdrawn:
		return errors.New("what the peer signed is no withdrawal")
	case string(said.Service) != g.GetService():
		return differs("service", g.GetService(), string(said.Service))
	}
	return nil
}

// Open returns what a signed announcement says and who signed it, or why that cannot be believed.
func (c *Checker) Open(s announce.Signed) (*announce.Announcement, announce.PeerID, error) {
	return c.verifier.Open(s)
}

// Reason is why a peer is gone, in a word.
func Reason(r introducerv1.GoneReason) string {
	switch r {
	case introducerv1.GoneReason_GONE_REASON_WITHDRAWN:
		return "withdrawn"
	case introducerv1.GoneReason_GONE_REASON_EXPIRED:
		return "expired"
	case introducerv1.GoneReason_GONE_REASON_EVICTED:
		return "evicted"
	}
	return fmt.Sprintf("reason %d", r)
}

func differs[T any](what string, introducer, peer T) error {
	return fmt.Errorf("the introducer says %s %.80q, the peer signed %.80q", what, fmt.Sprint(introducer), fmt.Sprint(peer))
}

// peerIDText writes a peer id of whatever length came.
func peerIDText(b []byte) string {
	_, _, key := announce.Signed{PeerID: b}.Tahoe()
	return key
}

// moment is t, nil where it is absent or none.
func moment(t *timestamppb.Timestamp) *time.Time {
	if t == nil || t.CheckValid() != nil {
		return nil
	}
	at := t.AsTime()
	return &at
}
