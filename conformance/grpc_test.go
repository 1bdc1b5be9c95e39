package conformance

import (
	"bytes"
	"context"
	"crypto/sha1"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

const service = "/introducer.v1.IntroducerService/"

// dial connects with grpc-go, which speaks nothing but gRPC over HTTP/2.
func (in *introducer) dial() *grpc.ClientConn {
	in.t.Helper()
	conn, err := grpc.NewClient(in.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { conn.Close() })
	return conn
}

// What is published through grpc-go is read back byte for byte, flat and permuted, and in the order
// that everyone computes.
func TestGRPC(t *testing.T) {
	in := start(t)
	conn := in.dial()
	said := []*introducerv1.SignedAnnouncement{offer(t, "alder", "storage", 1), offer(t, "birch", "storage", 1), offer(t, "cedar", "storage", 1)}
	published := new(introducerv1.PublishResponse)
	if err := conn.Invoke(t.Context(), service+"Publish", &introducerv1.PublishRequest{Announcements: said}, published); err != nil {
		t.Fatal(err)
	}
	want := &introducerv1.PublishResponse{}
	for i := range said {
		want.Results = append(want.Results, &introducerv1.PublishResult{
			Outcome: introducerv1.PublishOutcome_PUBLISH_OUTCOME_ACCEPTED, Revision: uint64(i + 1), CurrentSeqnum: 1,
		})
	}
	if diff := cmp.Diff(published, want, protocmp.Transform()); diff != "" {
		t.Errorf("Publish (-got +want):\n%s", diff)
	}

	flat := new(introducerv1.GetPeersResponse)
	if err := conn.Invoke(t.Context(), service+"GetPeers", &introducerv1.GetPeersRequest{Service: "storage"}, flat); err != nil {
		t.Fatal(err)
	}
	byID := slices.SortedFunc(slices.Values(said), func(a, b *introducerv1.SignedAnnouncement) int { return bytes.Compare(a.PeerId, b.PeerId) })
	var got []*introducerv1.SignedAnnouncement
	for _, p := range flat.Peers {
		got = append(got, p.Announcement)
	}
	if diff := cmp.Diff(got, byID, protocmp.Transform()); diff != "" {
		t.Errorf("GetPeers (-got +want):\n%s", diff)
	}

	si := []byte("0123456789abcdef")
	permutedID := func(s *introducerv1.SignedAnnouncement) []byte {
		id := sha1.Sum(slices.Concat(si, s.PeerId)) // without a seed of its own, a node's is its peer id
		return id[:]
	}
	inOrder := slices.SortedFunc(slices.Values(said), func(a, b *introducerv1.SignedAnnouncement) int {
		return bytes.Compare(permutedID(a), permutedID(b))
	})
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, service+"StreamPermutedPeers")
	if err != nil {
		t.Fatal(err)
	}
	ask(t, stream, &introducerv1.StreamPermutedPeersRequest{Service: "storage", StorageIndex: si})
	got = nil
	for {
		res := new(introducerv1.StreamPermutedPeersResponse)
		err := stream.RecvMsg(res)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range res.Peers {
			got = append(got, p.Peer.Announcement)
		}
	}
	if diff := cmp.Diff(got, inOrder, protocmp.Transform()); diff != "" {
		t.Errorf("StreamPermutedPeers (-got +want):\n%s", diff)
	}
}

// ask sends the one request of a stream.
func ask(t *testing.T, stream grpc.ClientStream, req proto.Message) {
	t.Helper()
	if err := stream.SendMsg(req); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

// A subscriber on grpc-go hears changes as they come, goes on after its token without hearing again
// what it knows, and is told when the introducer stops.
func TestGRPCSubscribe(t *testing.T) {
	in := start(t)
	in.put("storage", "alder", "birch")
	conn := in.dial()

	var token *introducerv1.ResumeToken
	// events reads up to and with the first event of the kind given, and describes all.
	events := func(stream grpc.ClientStream, last string) string {
		t.Helper()
		var heard []string
		for {
			res := new(introducerv1.SubscribeResponse)
			if err := stream.RecvMsg(res); err != nil {
				t.Fatalf("after %v: %v", heard, err)
			}
			kind := event(res, &token)
			heard = append(heard, kind)
			if strings.HasPrefix(kind, last) {
				return strings.Join(heard, ", ")
			}
		}
	}
	subscribe := func(ctx context.Context) grpc.ClientStream {
		t.Helper()
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, service+"Subscribe")
		if err != nil {
			t.Fatal(err)
		}
		ask(t, stream, &introducerv1.SubscribeRequest{Services: []string{"storage"}, Resume: token})
		return stream
	}

	ctx, hangUp := context.WithCancel(t.Context())
	first := subscribe(ctx)
	if got, want := events(first, "synced"), "reset, changes: alder birch, synced at 2"; got != want {
		t.Errorf("from nothing: %s, want %s", got, want)
	}
	in.put("storage", "cedar")
	if got, want := events(first, "changes"), "changes: cedar"; got != want {
		t.Errorf("live: %s, want %s", got, want)
	}
	hangUp()
	in.put("storage", "dogwood")
	again := subscribe(t.Context())
	if got, want := events(again, "synced"), "changes: dogwood, synced at 4"; got != want {
		t.Errorf("resumed: %s, want %s", got, want)
	}
	in.stop()
	if got, want := events(again, "drain"), "drain at 4"; got != want {
		t.Errorf("at the end: %s, want %s", got, want)
	}
	if err := again.RecvMsg(new(introducerv1.SubscribeResponse)); err != io.EOF {
		t.Errorf("the stream ended with %v, want in order", err)
	}
}

// event says what one was, and keeps its token.
func event(e *introducerv1.SubscribeResponse, token **introducerv1.ResumeToken) string {
	switch e := e.Event.(type) {
	case *introducerv1.SubscribeResponse_Reset_:
		return "reset"
	case *introducerv1.SubscribeResponse_Changes:
		*token = e.Changes.Token
		said := "changes:"
		for _, c := range e.Changes.Changes {
			said += " " + c.GetAnnounced().GetNickname()
		}
		return said
	case *introducerv1.SubscribeResponse_Synced:
		*token = e.Synced.Token
		return fmt.Sprintf("synced at %d", e.Synced.Token.Revision)
	case *introducerv1.SubscribeResponse_Drain:
		return fmt.Sprintf("drain at %d", e.Drain.Token.Revision)
	}
	return "progress"
}

// Errors have the codes that the contract gives them.
func TestGRPCCodes(t *testing.T) {
	in := start(t)
	conn := in.dial()
	for _, test := range []struct {
		method string
		req    proto.Message
		code   codes.Code
		text   string
	}{
		{service + "GetPeers", &introducerv1.GetPeersRequest{Service: "Storage"}, codes.InvalidArgument, "service: "},
		{service + "GetPermutedPeers", &introducerv1.GetPermutedPeersRequest{Service: "storage"}, codes.InvalidArgument, "storage_index: "},
		{service + "Publish", &introducerv1.PublishRequest{}, codes.InvalidArgument, "announcements: "},
		{service + "GetPeers", &introducerv1.GetPeersRequest{Service: "storage", PageToken: strings.Repeat("x", 5<<20)}, codes.ResourceExhausted, ""},
		{service + "Nothing", &introducerv1.GetInfoRequest{}, codes.Unimplemented, ""},
		{"/introducer.v1.Nothing/GetInfo", &introducerv1.GetInfoRequest{}, codes.Unimplemented, ""},
	} {
		err := conn.Invoke(t.Context(), test.method, test.req, new(introducerv1.GetInfoResponse))
		if s := status.Convert(err); s.Code() != test.code || !strings.HasPrefix(s.Message(), test.text) {
			t.Errorf("%s: %v, want %v %q", test.method, err, test.code, test.text)
		}
	}
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, service+"ReadLog")
	if err != nil {
		t.Fatal(err)
	}
	ask(t, stream, &introducerv1.ReadLogRequest{FromRevision: 7})
	if err := stream.RecvMsg(new(introducerv1.ReadLogResponse)); status.Code(err) != codes.OutOfRange {
		t.Errorf("ReadLog from where there is nothing: %v", err)
	}
}

// grpc-go's own health client, which brings generated code of the same messages into this process.
func TestGRPCHealth(t *testing.T) {
	in := start(t)
	client := grpc_health_v1.NewHealthClient(in.dial())
	const serving, not = grpc_health_v1.HealthCheckResponse_SERVING, grpc_health_v1.HealthCheckResponse_NOT_SERVING
	all, err := client.List(t.Context(), new(grpc_health_v1.HealthListRequest))
	if err != nil {
		t.Fatal(err)
	}
	want := &grpc_health_v1.HealthListResponse{Statuses: map[string]*grpc_health_v1.HealthCheckResponse{
		"": {Status: serving}, "introducer.v1.IntroducerService": {Status: serving}, "publish": {Status: serving},
	}}
	if diff := cmp.Diff(all, want, protocmp.Transform()); diff != "" {
		t.Errorf("List (-got +want):\n%s", diff)
	}
	for name := range want.Statuses {
		got, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: name})
		if err != nil || got.Status != serving {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	if _, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "nothing"}); status.Code(err) != codes.NotFound {
		t.Errorf("a name that is none: %v", err)
	}
	watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "publish"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.Status != serving {
		t.Errorf("watching: %v, %v", got, err)
	}
	in.stop()
	if got, err := watch.Recv(); err != nil || got.Status != not {
		t.Errorf("watching while it stops: %v, %v", got, err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("watching at the end: %v", err)
	}
}

// grpc-go's own reflection client.
func TestGRPCReflection(t *testing.T) {
	stream, err := reflectionpb.NewServerReflectionClient(start(t).dial()).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	res, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range res.GetListServicesResponse().GetService() {
		names = append(names, s.Name)
	}
	want := []string{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "introducer.v1.IntroducerService"}
	if diff := cmp.Diff(slices.Sorted(slices.Values(names)), want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
}
