package rpc

import (
	"context"
	"math/bits"

	"connectrpc.com/connect/v2"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/registry"
)

type ranked = permute.Ranked[*registry.Peer]

// GetPermutedPeers orders one service's peers for one storage index.
func (s *Service) GetPermutedPeers(ctx context.Context, req *introducerv1.GetPermutedPeersRequest) (*introducerv1.GetPermutedPeersResponse, error) {
	service, preferred, err := parsePermuted(req)
	if err != nil {
		return nil, err
	}
	if err := checkStorageIndex("storage_index", req.StorageIndex); err != nil {
		return nil, err
	}
	l := s.lookups.Get().(*lookup)
	defer s.giveBack(l)

	view := s.reg.View(service)
	l.ranked = view.Peers.Append(l.ranked[:0], req.StorageIndex, query(req.Limit, preferred), &l.scratch)
	size := 0
	for i := range l.ranked {
		f, err := s.cache.of(l.ranked[i].Value)
		if err != nil {
			return nil, err
		}
		l.forms = append(l.forms, f)
		size += permutedSize(l.ranked[i].ID[:], f.in(req.View))
	}
	body, err := callOf(ctx).answer(ctx, size)
	if err != nil {
		return nil, err
	}
	for i, f := range l.forms {
		body = appendPermuted(body, l.ranked[i].ID[:], f.in(req.View))
	}
	res := &introducerv1.GetPermutedPeersResponse{Revision: uint64(view.Revision)}
	carry(res, body)
	return plain(ctx, res)
}

// query is a wire limit as the permutation takes it; 0 stays all.
func query(limit uint32, preferred []permute.Key) permute.Query {
	return permute.Query{Limit: int(min(limit, 1<<30)), Preferred: preferred}
}

// lookup is what a lookup needs besides its answer, kept for the next one.
type lookup struct {
	scratch permute.Scratch
	ranked  []ranked
	forms   []*wireForm
}

// maxLookup is the largest lookup, in peers, whose buffers are worth keeping.
const maxLookup = 1 << 16

func (s *Service) giveBack(l *lookup) {
	if cap(l.ranked) > maxLookup {
		return
	}
	l.ranked, l.forms = l.ranked[:0], l.forms[:0]
	s.lookups.Put(l)
}

// BatchGetPermutedPeers orders one service's peers for many storage indexes in one view. Each peer
// that comes up is sent once, and the orders name it by its position.
func (s *Service) BatchGetPermutedPeers(ctx context.Context, req *introducerv1.BatchGetPermutedPeersRequest) (*introducerv1.BatchGetPermutedPeersResponse, error) {
	service, preferred, err := parsePermuted(req)
	if err != nil {
		return nil, err
	}
	if err := checkStorageIndexes(req.StorageIndexes); err != nil {
		return nil, err
	}
	view := s.reg.View(service)
	q := query(req.Limit, preferred)
	each := view.Peers.Len()
	if q.Limit > 0 {
		each = min(each, q.Limit)
	}
	hi, total := bits.Mul64(uint64(each), uint64(len(req.StorageIndexes)))
	if hi != 0 || total > maxPositions {
		return nil, connect.Errorf(connect.CodeResourceExhausted,
			"%d storage indexes of %d peers each are more than %d positions; set a limit, or ask in smaller batches",
			len(req.StorageIndexes), each, maxPositions)
	}
	c := callOf(ctx)
	if err := c.take(4 * int(total)); err != nil {
		return nil, err
	}

	l := s.lookups.Get().(*lookup)
	defer s.giveBack(l)
	res := &introducerv1.BatchGetPermutedPeersResponse{
		Revision:     uint64(view.Revision),
		Permutations: make([]*introducerv1.Permutation, 0, len(req.StorageIndexes)),
	}
	positions := make([]uint32, 0, total)
	orders := make([]introducerv1.Permutation, len(req.StorageIndexes))
	known := newPositions(each, view.Peers.Len())
	size := 0
	view.Peers.Batch(req.StorageIndexes, q, l.ranked, &l.scratch, func(i int, order []ranked) bool {
		l.ranked = order
		begin := len(positions)
		for j := range order {
			at, isNew := known.of(order[j].Value)
			if isNew {
				var f *wireForm
				if f, err = s.cache.of(order[j].Value); err != nil {
					return false
				}
				l.forms = append(l.forms, f)
				size += fieldSize(peersField, len(f.in(req.View)))
			}
			positions = append(positions, at)
		}
		orders[i].Peers = positions[begin:len(positions):len(positions)]
		res.Permutations = append(res.Permutations, &orders[i])
		// A large batch takes long; whoever went away must not keep a core busy.
		err = ctx.Err()
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	body, err := c.answer(ctx, size)
	if err != nil {
		return nil, err
	}
	for _, f := range l.forms {
		body = appendField(body, peersField, f.in(req.View))
	}
	carry(res, body)
	return plain(ctx, res)
}

// positions numbers the peers of a batch in the order they come up.
type positions map[*registry.Peer]uint32

// newPositions has room for what a batch of orders of each peers out of n brings up at least.
func newPositions(each, n int) positions { return make(positions, min(4*each, n)) }

func (ps positions) of(p *registry.Peer) (at uint32, isNew bool) {
	if at, ok := ps[p]; ok {
		return at, false
	}
	at = uint32(len(ps))
	ps[p] = at
	return at, true
}

// StreamPermutedPeers makes the order as far as it is read: a chunk is made when the one before has
// gone out, and the connection's flow control holds that back.
func (s *Service) StreamPermutedPeers(ctx context.Context, req *introducerv1.StreamPermutedPeersRequest, stream introducerv1connect.IntroducerServiceStreamPermutedPeersServerStream) error {
	service, preferred, err := parsePermuted(req)
	if err != nil {
		return err
	}
	if err := checkStorageIndex("storage_index", req.StorageIndex); err != nil {
		return err
	}
	view := s.reg.View(service)
	out := chunker{max: firstChunk, send: func(body []byte) error {
		res := &introducerv1.StreamPermutedPeersResponse{Revision: uint64(view.Revision)}
		carry(res, body)
		if res, err = plain(ctx, res); err != nil {
			return err
		}
		return stream.Send(res)
	}}
	c := callOf(ctx)
	out.body = c.buffer(0)
	defer func() { c.keep(out.body) }()
	for r := range view.Peers.Permuted(req.StorageIndex, preferred) {
		f, err := s.cache.of(r.Value)
		if err != nil {
			return err
		}
		peer := f.in(req.View)
		if !out.fits(permutedSize(r.ID[:], peer)) {
			if err := out.flush(); err != nil {
				return err
			}
		}
		out.body = appendPermuted(out.body, r.ID[:], peer)
		out.n++
	}
	if out.n > 0 || out.sent == 0 {
		return out.flush()
	}
	return nil
}
