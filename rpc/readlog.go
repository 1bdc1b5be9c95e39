package rpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/wal"
)

// ReadLog sends the log's records from a revision on; with follow it then waits for the next group
// of records and goes on.
func (s *Service) ReadLog(ctx context.Context, req *introducerv1.ReadLogRequest, stream introducerv1connect.IntroducerServiceReadLogServerStream) error {
	filter, err := parseFilter(req)
	if err != nil {
		return err
	}
	if req.Follow && s.draining.Err() != nil {
		return errDraining
	}
	r := &replay{s: s, stream: stream, filter: filter, from: wal.Revision(req.FromRevision)}
	if !req.Follow {
		return r.send(ctx)
	}
	if err := stream.SendHeaders(); err != nil {
		return err
	}
	waiting, stop := s.untilDrained(ctx)
	defer stop()
	for {
		if err := r.send(waiting); err != nil {
			return err
		}
		if _, err := s.reg.Wait(waiting, r.from-1); err != nil {
			return err
		}
	}
}

func parseFilter(req *introducerv1.ReadLogRequest) (registry.Filter, error) {
	var f registry.Filter
	var err error
	if req.Service != "" {
		if f.Service, err = parseService("service", req.Service); err != nil {
			return f, err
		}
	}
	if len(req.PeerId) > 0 {
		id, err := announce.PeerIDFromBytes(req.PeerId)
		if err != nil {
			return f, invalid("peer_id", "%d bytes; a peer id has %d", len(req.PeerId), len(id))
		}
		f.ID = &id
	}
	return f, nil
}

// replay is one ReadLog stream.
type replay struct {
	s      *Service
	stream introducerv1connect.IntroducerServiceReadLogServerStream
	filter registry.Filter
	from   wal.Revision // the next to send; 0: the first there is
}

// send sends the records that there are now.
func (r *replay) send(ctx context.Context) error {
	c := callOf(ctx)
	out := chunker{send: func(body []byte) error {
		msg := new(introducerv1.ReadLogResponse)
		carry(msg, body)
		msg, err := plain(ctx, msg)
		if err != nil {
			return err
		}
		return r.stream.Send(msg)
	}}
	out.body = c.buffer(0)
	defer func() {
		c.keep(out.body)
		c.giveBack()
	}()

	head := r.s.reg.Info().Last
	for rec, err := range r.s.reg.ReadLog(ctx, r.from, r.filter) {
		if err != nil {
			// What stands before a damaged record is whole, and the reader's.
			if errors.Is(err, registry.ErrDamaged) && out.n > 0 {
				err = errors.Join(err, out.flush())
			}
			return err
		}
		if rec.Revision > head {
			if r.from > 0 {
				break // written meanwhile: for the next turn, if there is one
			}
			head = rec.Revision // here it may be in the place of one that is compacted
		}
		body, err := proto.Marshal(logRecord(rec))
		if err != nil {
			return err
		}
		if !out.fits(fieldSize(logRecordsField, len(body))) {
			if err := out.flush(); err != nil {
				return err
			}
		}
		out.body = appendField(out.body, logRecordsField, body)
		out.n++
	}
	r.from = head + 1
	if out.n > 0 {
		return out.flush()
	}
	return nil
}

func logRecord(rec registry.LogRecord) *introducerv1.LogRecord {
	msg := &introducerv1.LogRecord{Revision: uint64(rec.Revision), Time: timestamppb.New(rec.Time)}
	if rec.Signed != nil {
		msg.Record = &introducerv1.LogRecord_Published{Published: introducerv1.NewSignedAnnouncement(*rec.Signed)}
		return msg
	}
	msg.Record = &introducerv1.LogRecord_Removed{Removed: &introducerv1.Gone{
		Service:  string(rec.Service),
		PeerId:   rec.ID[:],
		Revision: uint64(rec.Revision),
		Reason:   goneReason(rec.State),
	}}
	return msg
}
