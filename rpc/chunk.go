package rpc

// chunker gathers the bodies of a stream's messages, bounded by number and by bytes.
type chunker struct {
	body []byte
	n    int // things in body
	max  int // how many there may be; doubles up to lastChunk
	sent int // messages
	send func(body []byte) error
}

// The numbers of things in the first message and in later ones: a reader often needs a few only,
// and one that reads on is served with fewer messages.
const (
	firstChunk = 16
	lastChunk  = 256
)

// maxMessage bounds the bytes of a message of a stream, but for one thing alone, of which none is
// above 20 KiB. In JSON it may take up to six times as much, still below the 4 MiB that clients read.
const maxMessage = 256 << 10

// fits reports whether a thing of size bytes may still be added.
func (c *chunker) fits(size int) bool {
	return c.n == 0 || c.n < c.max && len(c.body)+size <= maxMessage
}

// flush sends what there is, if only an empty message.
func (c *chunker) flush() error {
	err := c.send(c.body)
	c.body, c.n = c.body[:0], 0
	c.max = min(2*c.max, lastChunk)
	c.sent++
	return err
}
