package registry_test

import (
	"encoding/hex"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/wal"
)

// The bytes on the disk, as the package comment has them.
func TestPayloadBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands at 2000-01-01
		dir := t.TempDir()
		r := registrytest.Open(t, dir, registry.Options{})
		item := said(t, "a", "storage", 1)
		registrytest.Publish(t, r, item)
		if _, err := r.Evict(t.Context(), registrytest.Key("a").PeerID()); err != nil {
			t.Fatal(err)
		}
		registrytest.Close(t, r)
		l, err := wal.Open(filepath.Join(dir, "grid", "log"), wal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		digest := item.Digest()
		const firstSeen = "0d234ccf52430000" // 2000-01-01 00:00:00 UTC
		want := []string{
			"1 " + firstSeen + hex.EncodeToString(item.PeerID) + hex.EncodeToString(item.Signature) + hex.EncodeToString(item.Message),
			"2 " + "04" + "0000000000000001" + firstSeen + hex.EncodeToString(item.PeerID) + hex.EncodeToString(digest[:]) + hex.EncodeToString([]byte("storage")),
		}
		var got []string
		for rec, err := range l.Records(0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string('0'+rune(rec.Kind))+" "+hex.EncodeToString(rec.Payload))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("payloads (-want +got):\n%s", diff)
		}
	})
}

func FuzzReplay(f *testing.F) {
	f.Add(uint8(2), append(append([]byte{3}, make([]byte, 80)...), "storage"...))
	item := registrytest.Key("a").Sign([]byte(`{"service-name":"storage","seqnum":1}`))
	f.Add(uint8(1), append(append(append(make([]byte, 8), item.PeerID...), item.Signature...), item.Message...))
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		if err := registry.Replay(kind, payload); err == nil && kind != 1 && kind != 2 {
			t.Errorf("kind %d was replayed", kind)
		}
	})
}
