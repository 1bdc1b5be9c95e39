package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
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
	}, nil
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
