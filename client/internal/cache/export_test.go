package cache

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"

	"github.com/introducer/introducer/announce"
)

// File is what a disk that fails has to be.
type File = file

// WithDisk returns o with wrap between the cache and its files.
func (o Options) WithDisk(wrap func(*os.File) File) Options {
	o.wrap = wrap
	return o
}

// WithSlack returns o with so many bytes of slack instead of a MiB.
func (o Options) WithSlack(n int64) Options {
	o.slack = n
	return o
}

// MaxPending is how many bytes may wait before Append does.
const MaxPending = maxPending

// Load is what Open makes of a file's bytes.
func Load(b []byte, v *announce.Verifier) (*State, error) {
	held, err := replay(b)
	if err != nil {
		return nil, err
	}
	return held.state(v), nil
}

// Rewrite is the file that is written in the place of one of these bytes, with what does not verify left
// out.
func Rewrite(b []byte, v *announce.Verifier) ([]byte, error) {
	held, err := replay(b)
	if err != nil {
		return nil, err
	}
	held.state(v)
	var w bytes.Buffer
	_, _, err = writeAll(&w, marker{7}, held.ops())
	return w.Bytes(), err
}

// Wrapped is a sound file of one group that holds ops, sensible or not.
func Wrapped(ops []byte) []byte {
	e := encoder{marker: marker{1, 2, 3, 4, 5, 6, 7, 8}}
	e.buf = e.marker.header()
	e.begin()
	e.buf = append(e.buf, ops...)
	e.end()
	return e.buf
}

const (
	HeaderSize = headerSize
	FrameSize  = frameSize
)

// HeaderOf is a header of another version.
func HeaderOf(version byte) []byte {
	b := marker{}.header()
	b[len(magic)] = version
	return summed(b)
}

// OtherHeader is a header of some other program that sums as we do.
func OtherHeader() []byte {
	b := marker{}.header()
	b[0] = 'I'
	return summed(b)
}

func summed(header []byte) []byte {
	binary.BigEndian.PutUint32(header[headerSize-4:], crc32.Checksum(header[:headerSize-4], castagnoli))
	return header
}
