package wal

import (
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// What the tests, which stand outside of the package, need to see of its bytes.

// EncodeRecord returns the value stored for rec, behind a record with chain value prev, and sets
// rec.Chain.
func EncodeRecord(prev Chain, rec *Record) []byte {
	return encodeRecord(nil, prev, rec)[len(prev)+8:]
}

// DecodeRecord reads the value stored at r.
func DecodeRecord(r Revision, value []byte) (Record, error) { return decodeRecord(r, value) }

// RecordKey is the key of the record at r.
func RecordKey(r Revision) []byte { return appendKey(nil, r) }

// EncodePosition is the value of m/head or m/floor.
func EncodePosition(key string, r Revision, c Chain) []byte {
	return encodePosition(key, position{r, c})
}

// EncodeID is the value of m/id.
func EncodeID(id LogID) []byte { return encodeID(id) }

// EncodeMark and DecodeMark write and read a slot of the witness.
func EncodeMark(m Mark) []byte             { return encodeMark(m) }
func DecodeMark(slot []byte) (Mark, error) { return decodeMark(slot) }

// Unbounded is Records without the bound of the head: all that Pebble shows.
func Unbounded(l *Log, from, to Revision) iter.Seq2[Record, error] { return l.scan(from, to) }

// Store is the Pebble under an open log.
func Store(l *Log) *pebble.DB { return l.db }

// TailRecords is how many records Open checks.
const TailRecords = tailRecords
