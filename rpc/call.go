package rpc

import (
	"context"
	"sync"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
)

// call is what the server keeps for one RPC while it is served.
type call struct {
	budget *budget
	taken  int64

	buffers *sync.Pool // of *[]byte, shared with all calls; nil: none are kept
	buf     *[]byte    // lent
}

type callKey struct{}

// callOf is the call that ctx belongs to, or a new one without limits for handlers that are called
// without the server around them.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return new(call)
}

// take reserves memory for a request or an answer of n bytes, of which there are two copies: the
// message, and its bytes at the transport. It is given back by end.
func (c *call) take(n int) error {
	if n <= free {
		return nil
	}
	size := 2 * int64(n)
	if err := c.budget.take(size); err != nil {
		return err
	}
	c.taken += size
	return nil
}

// answer reserves memory for a single answer of n bytes and lends an empty buffer for them. In JSON
// the answer also exists as fields and as longer text.
func (c *call) answer(ctx context.Context, n int) ([]byte, error) {
	size := n
	if !isBinary(ctx) {
		size *= 3
	}
	if err := c.take(size); err != nil {
		return nil, err
	}
	return c.buffer(n), nil
}

// buffer lends an empty buffer with room for n bytes, until giveBack or end. A call has one at a time.
func (c *call) buffer(n int) []byte {
	if c.buffers != nil {
		c.buf, _ = c.buffers.Get().(*[]byte)
	}
	if c.buf == nil {
		c.buf = new([]byte)
	}
	if cap(*c.buf) < n {
		*c.buf = make([]byte, 0, n)
	}
	return (*c.buf)[:0]
}

// keep says what became of the buffer lent, if it grew.
func (c *call) keep(b []byte) { *c.buf = b }

// maxPooled is the largest buffer worth keeping for another call.
const maxPooled = 4 << 20

// giveBack ends the loan. A stream does so before it waits: thousands wait at a time.
func (c *call) giveBack() {
	if c.buffers != nil && c.buf != nil && cap(*c.buf) <= maxPooled {
		c.buffers.Put(c.buf)
	}
	c.buf = nil
}

// end is called when the RPC has been served and its answer sent.
func (c *call) end() {
	c.giveBack()
	c.budget.release(c.taken)
	c.taken = 0
}

// plain gives msg, in which bytes of ours stand as unknown fields, the form that the call's codec
// needs: the binary one writes it as it is; for any other the bytes are decoded into fields.
func plain[M proto.Message](ctx context.Context, msg M) (M, error) {
	if isBinary(ctx) {
		return msg, nil
	}
	var none M
	b, err := proto.Marshal(msg)
	if err != nil {
		return none, err
	}
	decoded := msg.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(b, decoded); err != nil {
		return none, err
	}
	return decoded, nil
}

func isBinary(ctx context.Context) bool {
	info, ok := connect.CallInfoForServerContext(ctx)
	return ok && info.Codec == connect.CodecNameProto
}
