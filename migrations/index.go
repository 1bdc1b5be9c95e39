package migrations

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

// IndexVersion is the newest schema of the index that this release knows.
const IndexVersion = 1

// Index brings the index in db up to IndexVersion, one step per synced transaction. In a database
// without any bucket it makes an empty index that stands at no position yet. ErrNewer: db is of a
// schema above IndexVersion, nothing was written. db must be open for writing unless it is up to
// date.
func Index(db *bbolt.DB) error {
	have, err := IndexSchema(db)
	if err != nil {
		return err
	}
	return run("index", have, IndexVersion, func(to int) error {
		return db.Update(func(tx *bbolt.Tx) error {
			switch to {
			case 1:
				return index1(tx)
			default:
				return fmt.Errorf("no step leads there")
			}
		})
	})
}

// IndexSchema reads the schema of an index and writes nothing, so db may be open for reading only;
// 0: db holds no bucket at all. It is the same in all schemas: bucket "meta", key "schema", value 4
// bytes big-endian and the CRC-32C of key and number, 4 bytes big-endian. A database with buckets
// but without this value is an error: it is not an index, or a damaged one.
func IndexSchema(db *bbolt.DB) (int, error) {
	const key = "schema"
	version := 0
	err := db.View(func(tx *bbolt.Tx) error {
		if first, _ := tx.Cursor().First(); first == nil {
			return nil
		}
		meta := tx.Bucket([]byte("meta"))
		if meta == nil {
			return fmt.Errorf("reading %s: no bucket meta", key)
		}
		v := meta.Get([]byte(key))
		if len(v) != 8 || binary.BigEndian.Uint32(v[4:]) != index1Sum(key, v[:4]) {
			return fmt.Errorf("%s is damaged: % x", key, v)
		}
		version = int(binary.BigEndian.Uint32(v))
		return nil
	})
	return version, err
}

// index1 makes an empty index. Its position is the creator's to add; without one it is not whole.
func index1(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucket([]byte("services")); err != nil {
		return err
	}
	meta, err := tx.CreateBucket([]byte("meta"))
	if err != nil {
		return err
	}
	v := []byte{0, 0, 0, 1}
	return meta.Put([]byte("schema"), binary.BigEndian.AppendUint32(v, index1Sum("schema", v)))
}

// index1Sum is the checksum of a meta value of schema 1: CRC-32C over key and value.
func index1Sum(key string, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(key), table), table, value)
}
