package store

import "io"

// The parsers of single values and of pages, for tests that feed them what no file of ours holds.

func AppendEntry(b []byte, e *Entry) ([]byte, error) { return appendEntry(b, e) }

func ParseEntry(k Key, value []byte) (Entry, error) {
	var e Entry
	_, err := parseEntry(&e, k.Service, serviceSum(k.Service), k.PeerID[:], value)
	return e, err
}

func ParsePosition(v []byte) (p Position, entries, tally uint64, err error) {
	s, err := parseStanding(v)
	return s.Position, s.entries, s.tally, err
}

func AppendPosition(b []byte, p Position, entries, tally uint64) []byte {
	return (&standing{p, entries, tally}).append(b)
}

func CheckPages(r io.ReaderAt, size int64) error { return checkPages(r, size) }
