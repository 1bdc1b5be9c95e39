// Package introducerv1 is the introducer's wire contract as Go types: the messages that protoc
// generates from introducer.proto, whose comments are the contract's rules, and beside them the
// conversion of announcements between the wire and package announce.
//
// Conversion judges nothing and copies no bytes: what a node signed goes through as it is. The
// clients and handlers of the RPCs are in introducerv1connect, so that whoever needs only the
// messages links no RPC library.
package introducerv1

import "github.com/introducer/introducer/announce"

// NewSignedAnnouncement is s as it goes over the wire: the same bytes, whatever they are. The
// message shares s's slices.
func NewSignedAnnouncement(s announce.Signed) *SignedAnnouncement {
	return &SignedAnnouncement{Message: s.Message, Signature: s.Signature, PeerId: s.PeerID}
}

// Signed is x as the announce package takes it: the same bytes, whatever they are and of any
// length, since judging them is not the wire's business. The result shares x's slices. A nil x
// gives the zero Signed, which verifies nowhere.
func (x *SignedAnnouncement) Signed() announce.Signed {
	return announce.Signed{Message: x.GetMessage(), Signature: x.GetSignature(), PeerID: x.GetPeerId()}
}

// SetAnnouncement fills the fields of x that are read from what the peer of this id said: service,
// peer id, seqnum, nickname, endpoints and permutation seed, the peer id where none is announced.
// It leaves alone those that only an introducer knows, and announcement, the signed bytes. x shares
// a's slices.
func (x *Peer) SetAnnouncement(a *announce.Announcement, id announce.PeerID) {
	x.Service = string(a.Service)
	x.PeerId = id[:]
	x.Seqnum = a.Seqnum
	x.Nickname = a.Nickname
	x.Endpoints = a.AllEndpoints()
	x.PermutationSeed = a.Seed(id)
}
