package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// Mark is what the witness holds: how far the log had come, synced.
type Mark struct {
	LogID    LogID
	Revision Revision
	Chain    Chain
	// Clock is the newest running time the log was told, by a record or by a beat.
	Clock time.Duration
	// Time is that of the record at Revision.
	Time time.Time
	// Counter grows by one with each mark written.
	Counter uint64
}

// Sizes of the witness; the package comment draws it.
const (
	slotSize    = 4096
	witnessSize = 2 * slotSize
	markSize    = 8 + 4 + 8 + 16 + 8 + 32 + 8 + 8 + 4

	markMagic   = "introwit"
	markVersion = 1
)

// errBadSlot is why a slot does not count.
var errBadSlot = errors.New("bad slot")

// encodeMark returns a whole slot.
func encodeMark(m Mark) []byte {
	b := make([]byte, 0, slotSize)
	b = append(b, markMagic...)
	b = binary.BigEndian.AppendUint32(b, markVersion)
	b = binary.BigEndian.AppendUint64(b, m.Counter)
	b = append(b, m.LogID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Revision))
	b = append(b, m.Chain[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Clock))
	b = binary.BigEndian.AppendUint64(b, uint64(timeToNano(m.Time)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:slotSize]
}

// decodeMark reads one slot. What follows the mark in it is not looked at.
func decodeMark(slot []byte) (Mark, error) {
	if len(slot) < markSize {
		return Mark{}, fmt.Errorf("%w: %d bytes", errBadSlot, len(slot))
	}
	slot = slot[:markSize]
	if string(slot[:8]) != markMagic {
		return Mark{}, fmt.Errorf("%w: no mark", errBadSlot)
	}
	body := slot[:markSize-4]
	if binary.BigEndian.Uint32(slot[markSize-4:]) != crc32.Checksum(body, castagnoli) {
		return Mark{}, fmt.Errorf("%w: checksum", errBadSlot)
	}
	if v := binary.BigEndian.Uint32(body[8:]); v != markVersion {
		return Mark{}, fmt.Errorf("%w: version %d", errBadSlot, v)
	}
	clock, at := binary.BigEndian.Uint64(body[76:]), binary.BigEndian.Uint64(body[84:])
	if clock > math.MaxInt64 || at > math.MaxInt64 {
		return Mark{}, fmt.Errorf("%w: time out of range", errBadSlot)
	}
	return Mark{
		Counter:  binary.BigEndian.Uint64(body[12:]),
		LogID:    LogID(body[20:]),
		Revision: Revision(binary.BigEndian.Uint64(body[36:])),
		Chain:    Chain(body[44:]),
		Clock:    time.Duration(clock),
		Time:     nanoToTime(int64(at)),
	}, nil
}

// timeToNano and nanoToTime keep the zero time, which an empty log's head has, as 0.
func timeToNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func nanoToTime(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
