package cache

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/introducer/introducer/announce"
)

// errGroup is said of operations that are none. Their sum was right, so they are not damaged but
// written by something that this release does not know.
var errGroup = errors.New("operations that this release does not know")

// groupAt returns the operations of the group that b begins with. They are part of b. False: there is
// none, or not a whole one.
func groupAt(b []byte, m marker) (ops []byte, ok bool) {
	if len(b) < frameSize || marker(b[:markerSize]) != m {
		return nil, false
	}
	if crc32.Checksum(b[:frameSize-4], castagnoli) != binary.BigEndian.Uint32(b[frameSize-4:]) {
		return nil, false
	}
	n := binary.BigEndian.Uint64(b[markerSize:])
	if n > uint64(len(b)-frameSize) {
		return nil, false
	}
	ops = b[frameSize : frameSize+int(n)]
	return ops, crc32.Checksum(ops, castagnoli) == binary.BigEndian.Uint32(b[markerSize+8:])
}

// decoder reads operations, one group after another.
type decoder struct {
	b        []byte // what is left of the group
	bad      bool   // the group was not what it should be; what is read since means nothing
	services map[string]announce.Service
}

// group returns the operations of a group; the announcements' bytes are part of b.
func (d *decoder) group(b []byte) ([]Op, error) {
	d.b, d.bad = b, false
	var ops []Op
	var introducer string
	named := false
	for len(d.b) > 0 && !d.bad {
		tag := d.fixed(1)[0]
		switch tag {
		case tagAnnounced, tagGone, tagReset, tagStand, tagForget:
			if !named {
				return nil, errGroup
			}
		}
		var op Op
		switch tag {
		case tagIntroducer:
			introducer, named = string(d.text()), true
			continue
		case tagKept:
			op = kept{Signature: d.text(), PeerID: d.text(), Message: d.text()}
		case tagAnnounced:
			op = Announced{Introducer: introducer, Key: d.key(), Digest: d.digest()}
		case tagGone:
			op = Gone{Introducer: introducer, Key: d.key()}
		case tagReset:
			op = Reset{Introducer: introducer}
		case tagStand:
			op = Stand{Introducer: introducer, LogID: [16]byte(d.fixed(16)), Revision: d.uvarint(), Services: d.list()}
		case tagForget:
			op = Forget{Introducer: introducer}
		case tagRaise:
			op = Raise{Key: d.key(), Floor: d.floor()}
		case tagForgetFloor:
			op = ForgetFloor{Key: d.key()}
		case tagAnew:
			op = anew{}
		default:
			return nil, errGroup
		}
		ops = append(ops, op)
	}
	if d.bad {
		return nil, errGroup
	}
	return ops, nil
}

// fixed returns the next n bytes, at most 32; zeros if they are not there.
func (d *decoder) fixed(n int) []byte {
	if n > len(d.b) {
		d.bad = true
		return make([]byte, 32)[:n]
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) digest() Digest { return Digest(d.fixed(32)) }

func (d *decoder) text() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	return d.fixed(int(n))
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// service returns one string for each name, however often it stands in the file.
func (d *decoder) service() announce.Service {
	b := d.text()
	s, ok := d.services[string(b)]
	if !ok {
		s = announce.Service(b)
		d.services[string(b)] = s
	}
	return s
}

func (d *decoder) key() Key { return Key{Service: d.service(), ID: announce.PeerID(d.fixed(32))} }

func (d *decoder) list() []announce.Service {
	var list []announce.Service
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		list = append(list, d.service())
	}
	return list
}

func (d *decoder) floor() Floor {
	f := Floor{Seqnum: d.uvarint(), Digest: d.digest()}
	flag := d.fixed(1)[0]
	d.bad = d.bad || flag > 1
	f.Withdrawn = flag == 1
	f.Time = time.Unix(d.varint(), 0).UTC()
	return f
}
