package rpc

import (
	"context"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/registry"
)

// Publish hands the announcements to the registry as they are; what is wrong with one of them is its
// own outcome and not the call's error.
func (s *Service) Publish(ctx context.Context, req *introducerv1.PublishRequest) (*introducerv1.PublishResponse, error) {
	if n := len(req.Announcements); n < 1 || n > maxAnnouncements {
		return nil, invalid("announcements", "%d of them; 1 to %d are allowed", n, maxAnnouncements)
	}
	items := make([]announce.Signed, len(req.Announcements))
	for i, a := range req.Announcements {
		items[i] = a.Signed()
	}
	results, err := s.reg.Publish(ctx, items)
	if err != nil {
		return nil, err
	}
	s.visitors.published(items, results)
	res := &introducerv1.PublishResponse{Results: make([]*introducerv1.PublishResult, len(results))}
	for i, r := range results {
		res.Results[i] = &introducerv1.PublishResult{
			Outcome:       outcomes[r.Outcome],
			Revision:      uint64(r.Revision),
			CurrentSeqnum: r.CurrentSeqnum,
			Reason:        r.Reason,
		}
	}
	return res, nil
}

var outcomes = map[registry.Outcome]introducerv1.PublishOutcome{
	registry.Accepted:     introducerv1.PublishOutcome_PUBLISH_OUTCOME_ACCEPTED,
	registry.Duplicate:    introducerv1.PublishOutcome_PUBLISH_OUTCOME_DUPLICATE,
	registry.TakenBack:    introducerv1.PublishOutcome_PUBLISH_OUTCOME_WITHDRAWN,
	registry.Stale:        introducerv1.PublishOutcome_PUBLISH_OUTCOME_STALE,
	registry.Invalid:      introducerv1.PublishOutcome_PUBLISH_OUTCOME_INVALID,
	registry.BadSignature: introducerv1.PublishOutcome_PUBLISH_OUTCOME_BAD_SIGNATURE,
	registry.Forbidden:    introducerv1.PublishOutcome_PUBLISH_OUTCOME_FORBIDDEN,
}
