package rpc

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

// maxPage bounds the bytes of a page, with a margin below the 4 MiB that clients read by default.
const maxPage = 7 << 19

// GetPeers is a page of a service's peers. There is no cursor at the server: the token says after
// which peer id to go on, in the view of its own time.
func (s *Service) GetPeers(ctx context.Context, req *introducerv1.GetPeersRequest) (*introducerv1.GetPeersResponse, error) {
	service, err := parseService("service", req.Service)
	if err != nil {
		return nil, err
	}
	if err := checkView(req.View); err != nil {
		return nil, err
	}
	if req.PageSize > maxPageSize {
		return nil, invalid("page_size", "%d; at most %d is allowed", req.PageSize, maxPageSize)
	}
	var after announce.PeerID
	if req.PageToken != "" {
		if after, err = parsePageToken(service, req.PageToken); err != nil {
			return nil, err
		}
	}
	pageSize := int(req.PageSize)
	if pageSize == 0 {
		pageSize = defaultPageSize
	}

	view := s.reg.View(service)
	res := &introducerv1.GetPeersResponse{Revision: uint64(view.Revision)}
	forms := make([]*wireForm, 0, min(pageSize, view.Peers.Len()))
	var size, cost int
	var last announce.PeerID
	for id, p := range view.Peers.From(after) {
		if req.PageToken != "" && announce.PeerID(id) == after {
			continue
		}
		f, err := s.cache.of(p)
		if err != nil {
			return nil, err
		}
		cost += pageCost(ctx, f, req.View)
		if len(forms) == pageSize || len(forms) > 0 && cost > maxPage {
			res.NextPageToken = pageToken(service, last)
			break
		}
		forms = append(forms, f)
		size += fieldSize(peersField, len(f.in(req.View)))
		last = id
	}

	body, err := callOf(ctx).answer(ctx, size)
	if err != nil {
		return nil, err
	}
	for _, f := range forms {
		body = appendField(body, peersField, f.in(req.View))
	}
	carry(res, body)
	return plain(ctx, res)
}

// pageCost is an upper bound of the bytes that a peer takes in a page. In JSON a byte of text takes
// up to six (\u0001), one of bytes four thirds, and the fields' names are spelt out.
func pageCost(ctx context.Context, f *wireForm, v introducerv1.PeerView) int {
	n := len(f.in(v))
	if isBinary(ctx) {
		return fieldSize(peersField, n)
	}
	const names = 512
	return names + 6*f.basic + 2*(n-f.basic)
}

const (
	pageTokenVersion = 1
	pageTokenSize    = 1 + 4 + len(announce.PeerID{})
)

// pageTokenText is strict about unused bits.
var pageTokenText = base64.RawURLEncoding.Strict()

func pageToken(service announce.Service, last announce.PeerID) string {
	b := make([]byte, 0, pageTokenSize)
	b = append(b, pageTokenVersion)
	b = binary.BigEndian.AppendUint32(b, serviceSum(service))
	return pageTokenText.EncodeToString(append(b, last[:]...))
}

func parsePageToken(service announce.Service, text string) (announce.PeerID, error) {
	b, err := pageTokenText.DecodeString(text)
	// The standard library skips line breaks; no two texts shall be one token.
	if err != nil || pageTokenText.EncodeToString(b) != text || len(b) != pageTokenSize || b[0] != pageTokenVersion {
		return announce.PeerID{}, invalid("page_token", "not one that this introducer gave")
	}
	if binary.BigEndian.Uint32(b[1:]) != serviceSum(service) {
		return announce.PeerID{}, invalid("page_token", "one of another service than %s", service)
	}
	return announce.PeerID(b[5:]), nil
}

func serviceSum(service announce.Service) uint32 {
	return crc32.Checksum([]byte(service), crc32.MakeTable(crc32.Castagnoli))
}
