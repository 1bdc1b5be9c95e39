package rpc

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The field numbers under which bytes of ours are written; introducer.proto has their meaning.
const (
	peersField        protowire.Number = 1  // of GetPeersResponse, and of all answers with permuted peers
	changesField      protowire.Number = 1  // of Changes
	announcedField    protowire.Number = 1  // of Change
	goneField         protowire.Number = 2  // of Change
	permutedIDField   protowire.Number = 1  // of PermutedPeer
	permutedPeerField protowire.Number = 2  // of PermutedPeer
	announcementField protowire.Number = 11 // of Peer
	withdrawalField   protowire.Number = 5  // of Gone
	logRecordsField   protowire.Number = 1  // of ReadLogResponse
)

// appendField appends one field of bytes, text or a message.
func appendField(b []byte, num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), value)
}

// fieldSize is how many bytes appendField appends for a value of n bytes.
func fieldSize(num protowire.Number, n int) int {
	return protowire.SizeTag(num) + protowire.SizeBytes(n)
}

// appendChange appends a Change of one peer to the body of a Changes.
func appendChange(b []byte, c *wireForm, value []byte) []byte {
	num := c.changeField()
	b = protowire.AppendTag(b, changesField, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(fieldSize(num, len(value))))
	return appendField(b, num, value)
}

// changeSize is how many bytes appendChange appends.
func changeSize(c *wireForm, value []byte) int {
	return fieldSize(changesField, fieldSize(c.changeField(), len(value)))
}

// appendPermuted appends a PermutedPeer to the body of an answer.
func appendPermuted(b, id, peer []byte) []byte {
	b = protowire.AppendTag(b, peersField, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(fieldSize(permutedIDField, len(id))+fieldSize(permutedPeerField, len(peer))))
	b = appendField(b, permutedIDField, id)
	return appendField(b, permutedPeerField, peer)
}

// permutedSize is how many bytes appendPermuted appends.
func permutedSize(id, peer []byte) int {
	return fieldSize(peersField, fieldSize(permutedIDField, len(id))+fieldSize(permutedPeerField, len(peer)))
}

// carry has msg carry body, which must not change until msg is sent.
func carry(msg proto.Message, body []byte) { msg.ProtoReflect().SetUnknown(body) }
