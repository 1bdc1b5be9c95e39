package node

import (
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/permute"
)

// lookups answers programs on this machine from what the client has heard, in the introducer's own
// contract: GetPeers, GetPermutedPeers, StreamPermutedPeers and ListServices. What only an introducer
// knows is left out: revisions are 0, and there are no times. A service that the node does not subscribe
// to is refused with failed_precondition, since an empty answer would be taken for an empty grid.
type lookups struct {
	introducerv1connect.UnimplementedIntroducerServiceHandler
	client *client.Client
}

// The limits of the contract, in numbers of things unless said otherwise.
const (
	maxPreferred    = 10_000
	maxPageSize     = 10_000
	defaultPageSize = 1_000
	maxPage         = 7 << 19 // bytes, with a margin below the 4 MiB that clients read by default
	chunk           = 32      // peers in a message of a stream: few look further, and the longest fit in JSON too
)

// GetPeers is a page of a service's peers. The token is the peer id after which to go on.
func (l *lookups) GetPeers(_ context.Context, req *introducerv1.GetPeersRequest) (*introducerv1.GetPeersResponse, error) {
	service, err := l.service(req.GetService(), req.GetView())
	if err != nil {
		return nil, err
	}
	size := int(req.GetPageSize())
	if size > maxPageSize {
		return nil, invalid("page_size", "%d; at most %d is allowed", size, maxPageSize)
	}
	if size == 0 {
		size = defaultPageSize
	}
	var after announce.PeerID
	if req.GetPageToken() != "" {
		if after, err = announce.ParsePeerID(req.GetPageToken()); err != nil {
			return nil, invalid("page_token", "not one that this node gave")
		}
	}
	res := new(introducerv1.GetPeersResponse)
	bytes := 0
	var last *client.Peer
	for id, p := range l.client.Table(service).From(after) {
		if req.GetPageToken() != "" && announce.PeerID(id) == after {
			continue
		}
		basic := wirePeer(p, introducerv1.PeerView_PEER_VIEW_BASIC)
		// An upper bound of what it takes as JSON, where a byte of text takes up to six (\u0001), one
		// of bytes four thirds, and the fields' names are spelt out.
		bytes += 512 + 6*proto.Size(basic) + 2*len(p.Signed.Message)
		if len(res.Peers) == size || last != nil && bytes > maxPage {
			res.NextPageToken = last.ID.String()
			break
		}
		res.Peers = append(res.Peers, wirePeer(p, req.GetView()))
		last = p
	}
	return res, nil
}

// GetPermutedPeers orders one service's peers for one storage index.
func (l *lookups) GetPermutedPeers(_ context.Context, req *introducerv1.GetPermutedPeersRequest) (*introducerv1.GetPermutedPeersResponse, error) {
	service, preferred, err := l.permuted(req)
	if err != nil {
		return nil, err
	}
	res := new(introducerv1.GetPermutedPeersResponse)
	q := permute.Query{Limit: int(min(req.GetLimit(), 1<<30)), Preferred: preferred}
	for _, r := range l.client.Table(service).Append(nil, req.GetStorageIndex(), q, nil) {
		res.Peers = append(res.Peers, wirePermuted(&r, req.GetView()))
	}
	return res, nil
}

// StreamPermutedPeers makes the order as far as it is read.
func (l *lookups) StreamPermutedPeers(_ context.Context, req *introducerv1.StreamPermutedPeersRequest, stream introducerv1connect.IntroducerServiceStreamPermutedPeersServerStream) error {
	service, preferred, err := l.permuted(req)
	if err != nil {
		return err
	}
	res := new(introducerv1.StreamPermutedPeersResponse)
	for r := range l.client.Table(service).Permuted(req.GetStorageIndex(), preferred) {
		if len(res.Peers) == chunk {
			if err := stream.Send(res); err != nil {
				return err
			}
			res = new(introducerv1.StreamPermutedPeersResponse)
		}
		res.Peers = append(res.Peers, wirePermuted(&r, req.GetView()))
	}
	return stream.Send(res)
}

// ListServices counts the peers of the services that the node subscribes to.
func (l *lookups) ListServices(context.Context, *introducerv1.ListServicesRequest) (*introducerv1.ListServicesResponse, error) {
	res := new(introducerv1.ListServicesResponse)
	for _, s := range l.client.Status().Services {
		res.Services = append(res.Services, &introducerv1.Service{Service: string(s.Service), Peers: uint64(s.Peers)})
	}
	return res, nil
}

// service reads what all requests for peers have.
func (l *lookups) service(name string, view introducerv1.PeerView) (announce.Service, error) {
	service, err := announce.ParseService(name)
	if err != nil {
		return "", invalid("service", "%v", err)
	}
	switch view {
	case introducerv1.PeerView_PEER_VIEW_UNSPECIFIED, introducerv1.PeerView_PEER_VIEW_BASIC, introducerv1.PeerView_PEER_VIEW_FULL:
	default:
		return "", invalid("view", "%d is no PeerView", view)
	}
	wanted := slices.ContainsFunc(l.client.Status().Services, func(s client.ServiceStatus) bool { return s.Service == service })
	if !wanted {
		return "", connect.Errorf(connect.CodeFailedPrecondition, "this node does not subscribe to %s: add it to wants in its configuration", service)
	}
	return service, nil
}

// permuted reads what all requests for permuted peers have.
func (l *lookups) permuted(req interface {
	GetService() string
	GetView() introducerv1.PeerView
	GetStorageIndex() []byte
	GetPreferredPeerIds() [][]byte
}) (announce.Service, []permute.Key, error) {
	service, err := l.service(req.GetService(), req.GetView())
	if err != nil {
		return "", nil, err
	}
	if n := len(req.GetStorageIndex()); n < 1 || n > permute.MaxStorageIndex {
		return "", nil, invalid("storage_index", "%d bytes; 1 to %d are allowed", n, permute.MaxStorageIndex)
	}
	preferred, err := parsePreferred(req.GetPreferredPeerIds())
	return service, preferred, err
}

func parsePreferred(ids [][]byte) ([]permute.Key, error) {
	if len(ids) > maxPreferred {
		return nil, invalid("preferred_peer_ids", "%d of them; at most %d are allowed", len(ids), maxPreferred)
	}
	all := make([]permute.Key, len(ids))
	for i, id := range ids {
		if len(id) != len(permute.Key{}) {
			return nil, invalid(fmt.Sprintf("preferred_peer_ids[%d]", i), "%d bytes; a peer id has %d", len(id), len(permute.Key{}))
		}
		all[i] = permute.Key(id)
	}
	return all, nil
}

// invalid refuses a request for one of its fields.
func invalid(field, format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, field+": "+fmt.Sprintf(format, args...))
}

// wirePeer is p as the contract has it.
func wirePeer(p *client.Peer, view introducerv1.PeerView) *introducerv1.Peer {
	out := &introducerv1.Peer{
		Service: string(p.Service), PeerId: p.ID[:], Seqnum: p.Seqnum, Nickname: p.Nickname,
		Endpoints: p.Endpoints, PermutationSeed: p.PermutationSeed,
	}
	if view != introducerv1.PeerView_PEER_VIEW_BASIC {
		out.Announcement = introducerv1.NewSignedAnnouncement(p.Signed)
	}
	return out
}

func wirePermuted(r *permute.Ranked[*client.Peer], view introducerv1.PeerView) *introducerv1.PermutedPeer {
	return &introducerv1.PermutedPeer{PermutedId: r.ID[:], Peer: wirePeer(r.Value, view)}
}
