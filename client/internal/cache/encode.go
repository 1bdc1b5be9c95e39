package cache

import (
	"encoding/binary"
	"hash/crc32"
)

// Sizes in the file; the package comment draws it.
const (
	magic   = "introducer's peer cache"
	version = 1

	markerSize = 8
	headerSize = len(magic) + 1 + markerSize + 4
	frameSize  = markerSize + 8 + 4 + 4 // what stands before a group's operations
)

// castagnoli is the CRC-32C table; crc32 picks the processor's instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// marker is what the groups of one file begin with.
type marker [markerSize]byte

// header returns a file's first bytes.
func (m marker) header() []byte {
	b := append([]byte(magic), version)
	b = append(b, m[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// encoder appends groups to buf: begin, any number of operations, end.
type encoder struct {
	buf     []byte
	marker  marker
	written map[Digest]struct{} // announcements whose bytes the file has, as far as is known

	start      int     // of the open group in buf
	introducer *string // that the group's operations are about by now; nil: none was named
}

func (e *encoder) begin() {
	e.start, e.introducer = len(e.buf), nil
	e.buf = append(e.buf, make([]byte, frameSize)...)
}

func (e *encoder) end() {
	group := e.buf[e.start:]
	ops := group[frameSize:]
	copy(group, e.marker[:])
	binary.BigEndian.PutUint64(group[markerSize:], uint64(len(ops)))
	binary.BigEndian.PutUint32(group[markerSize+8:], crc32.Checksum(ops, castagnoli))
	binary.BigEndian.PutUint32(group[markerSize+12:], crc32.Checksum(group[:frameSize-4], castagnoli))
}

// about begins an operation on an introducer.
func (e *encoder) about(introducer string, tag byte) {
	if e.introducer == nil || *e.introducer != introducer {
		e.introducer = &introducer
		e.buf = append(e.buf, tagIntroducer)
		e.text(introducer)
	}
	e.buf = append(e.buf, tag)
}

func (e *encoder) text(s string) {
	e.buf = binary.AppendUvarint(e.buf, uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) key(k Key) {
	e.text(string(k.Service))
	e.buf = append(e.buf, k.ID[:]...)
}
