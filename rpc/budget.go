package rpc

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectgzip"
)

// budget bounds the bytes that strangers make the introducer hold at once: request bodies while they
// are served, and answers until they are sent. It refuses and never waits, since those who hold some
// may be slow on purpose. A nil budget has no bound.
type budget struct {
	max  int64
	held atomic.Int64
}

var errOverBudget = errors.New("too many bytes of requests and answers are under way; ask for less, or later")

// free is what a request or an answer may take without being counted: nearly all are smaller.
const free = 64 << 10

// take reserves n bytes, or gives errOverBudget.
func (b *budget) take(n int64) error {
	if b == nil {
		return nil
	}
	if b.held.Add(n) > b.max {
		b.held.Add(-n)
		return errOverBudget
	}
	return nil
}

func (b *budget) release(n int64) {
	if b != nil {
		b.held.Add(-n)
	}
}

// limitBodies serves next with request bodies that count against b. What a request has taken is
// given back when it has been served.
func limitBodies(b *budget, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength >= 0 && r.ContentLength <= free || isReflection(r) {
			next.ServeHTTP(w, r)
			return
		}
		body := &countedBody{ReadCloser: r.Body, budget: b}
		defer body.giveBack()
		counted := *r
		counted.Body = body
		next.ServeHTTP(w, &counted)
	})
}

// countedBody counts what is read beyond free, twice: the transport keeps the bytes of a message
// until it is decoded, and the decoded message has its own.
type countedBody struct {
	io.ReadCloser
	budget *budget
	read   int64
	taken  int64
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read += int64(n)
	if more := 2*(c.read-free) - c.taken; more > 0 {
		if over := c.budget.take(more); over != nil {
			return 0, over
		}
		c.taken += more
	}
	return n, err
}

func (c *countedBody) giveBack() { c.budget.release(c.taken) }

// countedGzip is gzip whose output counts while a request is decompressed: a megabyte of zeros is a
// kilobyte on the wire. When that is done, guard counts the message for the rest of its call.
type countedGzip struct {
	*connectgzip.Compressor
	budget *budget
}

func (g countedGzip) Decompress(src io.Reader) (io.ReadCloser, error) {
	r, err := g.Compressor.Decompress(src)
	if err != nil {
		return nil, err
	}
	return &countedReader{countedBody{ReadCloser: r, budget: g.budget}}, nil
}

type countedReader struct{ countedBody }

func (c *countedReader) Close() error {
	c.giveBack()
	return c.ReadCloser.Close()
}

// countedStream counts a request that was compressed by what became of it.
type countedStream struct {
	connect.ServerStream
	call *call
	info *connect.CallInfo
}

func (s *countedStream) Receive(msg any) error {
	if err := s.ServerStream.Receive(msg); err != nil {
		return err
	}
	if stats := s.info.ReceiveStats; stats.CompressedSize > 0 {
		return s.call.take(stats.Size)
	}
	return nil
}
