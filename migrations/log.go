package migrations

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"
)

// LogVersion is the newest schema of the log that this release knows.
const LogVersion = 1

// Log brings the log in db up to LogVersion, one step per synced batch. On a store without a schema
// it makes an empty log without an id. ErrNewer: db is of a schema above LogVersion, nothing was
// written. db must be open for writing unless it is up to date.
func Log(db *pebble.DB) error {
	have, err := LogSchema(db)
	if err != nil {
		return err
	}
	return run("log", have, LogVersion, func(to int) error {
		b := db.NewBatch()
		defer b.Close()
		switch to {
		case 1:
			if err := log1(b); err != nil {
				return err
			}
		default:
			return fmt.Errorf("no step leads there")
		}
		return b.Commit(pebble.Sync)
	})
}

// LogSchema reads the schema of a log; 0: r holds none. It is the same in all schemas: key
// "m/schema", value 4 bytes big-endian and the CRC-32C of key and number, 4 bytes big-endian. Anything
// else is ErrDamaged.
func LogSchema(r pebble.Reader) (int, error) {
	const key = "m/schema"
	v, closer, err := r.Get([]byte(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", key, err)
	}
	defer closer.Close()
	if len(v) != 8 || binary.BigEndian.Uint32(v[4:]) != log1Sum(key, v[:4]) {
		return 0, fmt.Errorf("%s is % x: %w", key, v, ErrDamaged)
	}
	return int(binary.BigEndian.Uint32(v)), nil
}

// log1 makes an empty log: revision 0 with a chain value of zeros, complete from the beginning. The
// log id is the creator's to add.
func log1(b *pebble.Batch) error {
	const position = 8 + 32 // revision, chain value
	for _, kv := range []struct {
		key   string
		value []byte
	}{
		{"m/schema", []byte{0, 0, 0, 1}},
		{"m/head", make([]byte, position)},
		{"m/floor", make([]byte, position)},
	} {
		v := binary.BigEndian.AppendUint32(kv.value, log1Sum(kv.key, kv.value))
		if err := b.Set([]byte(kv.key), v, nil); err != nil {
			return err
		}
	}
	return nil
}

// log1Sum is the checksum of a meta value of schema 1: CRC-32C over key and value.
func log1Sum(key string, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(key), table), table, value)
}
