package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/registry"
)

// GetInfo never fails.
func (s *Service) GetInfo(context.Context, *introducerv1.GetInfoRequest) (*introducerv1.GetInfoResponse, error) {
	info := s.reg.Info()
	return &introducerv1.GetInfoResponse{
		Version:       s.opts.Version,
		LogId:         info.LogID[:],
		FirstRevision: uint64(info.First),
		LastRevision:  uint64(info.Last),
		Started:       timestamppb.New(info.Started),
		ReplayTime:    durationpb.New(info.ReplayTime),
		Peers:         uint64(info.Peers),
		Log:           logState(s.reg.Storage()),
	}, nil
}

func logState(st registry.Storage) *introducerv1.LogState {
	msg := &introducerv1.LogState{
		HistoryRevision: uint64(st.History), Records: st.Records, Superseded: st.Superseded, Bytes: st.Bytes,
	}
	c := st.Compaction
	if !c.Running && c.Ended.IsZero() {
		return msg
	}
	msg.Compaction = &introducerv1.Compaction{
		Running: c.Running, Revision: uint64(c.At), LastRevision: uint64(c.To), Dropped: c.Dropped, Failed: c.Err != nil,
	}
	if !c.Ended.IsZero() {
		msg.Compaction.Ended, msg.Compaction.Took = timestamppb.New(c.Ended), durationpb.New(c.Took)
	}
	return msg
}

// ListServices never fails.
func (s *Service) ListServices(context.Context, *introducerv1.ListServicesRequest) (*introducerv1.ListServicesResponse, error) {
	services, revision := s.reg.Services()
	res := &introducerv1.ListServicesResponse{Revision: uint64(revision)}
	for _, c := range services {
		res.Services = append(res.Services, &introducerv1.Service{
			Service:     string(c.Service),
			Peers:       uint64(c.Peers),
			Subscribers: uint64(c.Subscribers),
		})
	}
	return res, nil
}
