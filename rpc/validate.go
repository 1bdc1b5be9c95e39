package rpc

import (
	"fmt"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/wal"
)

// The limits of the contract, in numbers of things unless said otherwise.
const (
	maxAnnouncements  = 1_000
	maxServices       = 1_000
	maxStorageIndexes = 10_000
	maxPreferred      = 10_000
	maxPositions      = 10_000_000 // in one BatchGetPermutedPeersResponse
	maxPageSize       = 10_000
	defaultPageSize   = 1_000
	maxSubscriberText = 256 // bytes
)

func parseService(field, name string) (announce.Service, error) {
	s, err := announce.ParseService(name)
	if err != nil {
		return "", invalid(field, "%v", err)
	}
	return s, nil
}

func parseServices(names []string) ([]announce.Service, error) {
	if len(names) > maxServices {
		return nil, invalid("services", "%d names; at most %d are allowed", len(names), maxServices)
	}
	var services []announce.Service
	for i, name := range names {
		s, err := parseService(fmt.Sprintf("services[%d]", i), name)
		if err != nil {
			return nil, err
		}
		services = append(services, s)
	}
	return services, nil
}

func checkStorageIndex(field string, si []byte) error {
	if len(si) < 1 || len(si) > permute.MaxStorageIndex {
		return invalid(field, "%d bytes; 1 to %d are allowed", len(si), permute.MaxStorageIndex)
	}
	return nil
}

func checkStorageIndexes(all [][]byte) error {
	if len(all) < 1 || len(all) > maxStorageIndexes {
		return invalid("storage_indexes", "%d of them; 1 to %d are allowed", len(all), maxStorageIndexes)
	}
	for i, si := range all {
		if err := checkStorageIndex(fmt.Sprintf("storage_indexes[%d]", i), si); err != nil {
			return err
		}
	}
	return nil
}

func parsePreferred(ids [][]byte) ([]permute.Key, error) {
	if len(ids) > maxPreferred {
		return nil, invalid("preferred_peer_ids", "%d of them; at most %d are allowed", len(ids), maxPreferred)
	}
	var keys []permute.Key
	for i, id := range ids {
		if len(id) != len(permute.Key{}) {
			return nil, invalid(fmt.Sprintf("preferred_peer_ids[%d]", i), "%d bytes; a peer id has %d", len(id), len(permute.Key{}))
		}
		keys = append(keys, permute.Key(id))
	}
	return keys, nil
}

func checkView(v introducerv1.PeerView) error {
	switch v {
	case introducerv1.PeerView_PEER_VIEW_UNSPECIFIED, introducerv1.PeerView_PEER_VIEW_BASIC, introducerv1.PeerView_PEER_VIEW_FULL:
		return nil
	}
	return invalid("view", "%d is no PeerView", v)
}

// parseResume gives nil for no token.
func parseResume(t *introducerv1.ResumeToken) (*registry.Token, error) {
	if t == nil {
		return nil, nil
	}
	if len(t.LogId) != len(wal.LogID{}) {
		return nil, invalid("resume.log_id", "%d bytes; a log id has %d", len(t.LogId), len(wal.LogID{}))
	}
	return &registry.Token{LogID: wal.LogID(t.LogId), Revision: wal.Revision(t.Revision)}, nil
}

func checkSubscriber(s *introducerv1.SubscriberInfo) error {
	if n := len(s.GetNickname()); n > maxSubscriberText {
		return invalid("subscriber.nickname", "%d bytes; at most %d are allowed", n, maxSubscriberText)
	}
	if n := len(s.GetVersion()); n > maxSubscriberText {
		return invalid("subscriber.version", "%d bytes; at most %d are allowed", n, maxSubscriberText)
	}
	return nil
}

// permutedRequest is what the three requests for permuted peers have in common.
type permutedRequest interface {
	GetService() string
	GetView() introducerv1.PeerView
	GetPreferredPeerIds() [][]byte
}

func parsePermuted(req permutedRequest) (announce.Service, []permute.Key, error) {
	service, err := parseService("service", req.GetService())
	if err != nil {
		return "", nil, err
	}
	if err := checkView(req.GetView()); err != nil {
		return "", nil, err
	}
	preferred, err := parsePreferred(req.GetPreferredPeerIds())
	return service, preferred, err
}
