package registry

import "github.com/introducer/introducer/wal"

// Replay reads a record for the fuzzer, which has none of the types that it makes.
func Replay(kind uint8, payload []byte) error {
	c := new(clock)
	d, err := c.replay(wal.Record{Kind: wal.Kind(kind), Payload: payload, Revision: 1})
	if err != nil {
		return err
	}
	if kind == uint8(kindPublished) {
		p, err := decodePublished(payload)
		if err != nil || string(p.append(nil)) != string(payload) {
			panic("a published payload does not encode to itself")
		}
		return nil
	}
	r := removed{d.peer.State, d.peer.Seqnum, d.peer.firstSeen, d.peer.ID, d.peer.Digest, d.peer.Service}
	if string(r.append(nil)) != string(payload) {
		panic("a removed payload does not encode to itself")
	}
	return nil
}
