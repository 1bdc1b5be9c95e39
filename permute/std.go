package permute

import (
	"crypto/sha1"
	"encoding"
	"hash"
)

// std hashes with crypto/sha1, for any machine. Sum would set up, pad and finish each message;
// prepared messages are padded already, and what is wanted is the hash's state after their blocks,
// which AppendBinary gives. The zero std is ready.
type std struct {
	h     hash.Hash
	state encoding.BinaryAppender // the same; nil if its form is not the one we know
	block [2 * blockSize]byte
	out   []byte
}

// stateAt is where AppendBinary has the five words of the state, big-endian, after its magic.
const stateAt = 4

// hash is for pages that lie peer by peer and storage indexes of indexSize bytes.
func (s *std) hash(sums *sums, p *page, prefix *prefix) {
	if s.h == nil {
		s.init()
	}
	if s.state == nil {
		hashAny(sums, p, prefix)
		return
	}
	const firstSize, secondSize = 4 * firstWords, 4 * secondWords
	const wordSize = 4
	block := &s.block
	*block = [2 * blockSize]byte{}
	copy(block[:], prefix.b[:indexSize])
	for i := range p.n {
		copy(block[indexSize:blockSize], p.first.b[firstSize*i:firstSize*(i+1)])
		end := blockSize
		if isLong(p.lens[i]) {
			end = 2 * blockSize
			second := p.second.b[secondSize*i : secondSize*(i+1)]
			copy(block[blockSize:], second[:secondSize-wordSize])
			copy(block[end-wordSize:], second[secondSize-wordSize:])
		}
		sums.put(i, s.compress(block[:end]))
	}
}

func (s *std) init() {
	s.h = sha1.New()
	s.out = make([]byte, 0, 128)
	s.state, _ = s.h.(encoding.BinaryAppender)
	if s.state == nil {
		return
	}
	// The form is documented nowhere, so ask: this is the one block of the empty message.
	empty := [blockSize]byte{0x80}
	if [sha1.Size]byte(s.compress(empty[:])) != sha1.Sum(nil) {
		s.state = nil
	}
}

// compress returns the state after these blocks, valid until the next call.
func (s *std) compress(blocks []byte) []byte {
	s.h.Reset()
	s.h.Write(blocks)                          // never fails
	s.out, _ = s.state.AppendBinary(s.out[:0]) // nor does this; init has seen that it is long enough
	return s.out[stateAt : stateAt+sha1.Size]
}
