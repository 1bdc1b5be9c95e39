package conformance

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/rpc"
)

// introducer is a whole one, on a port of its own.
type introducer struct {
	t    *testing.T
	reg  *registry.Registry
	addr string // host:port

	hs     *http.Server
	served chan error
}

func start(t *testing.T) *introducer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := &introducer{t: t, reg: registrytest.New(t), addr: l.Addr().String(), served: make(chan error, 1)}
	in.hs = rpc.New(in.reg, rpc.Options{Version: "1.2.3"}).NewServer(rpc.ServerOptions{})
	go func() { in.served <- in.hs.Serve(l) }()
	t.Cleanup(in.stop)
	return in
}

// stop ends it in order. A second call does nothing.
func (in *introducer) stop() {
	if in.hs == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := in.hs.Shutdown(ctx); err != nil {
		in.t.Errorf("stopping: %v", err)
		in.hs.Close()
	}
	if err := <-in.served; !errors.Is(err, http.ErrServerClosed) {
		in.t.Error(err)
	}
	in.hs = nil
}

// offer is a node's announcement of a service.
func offer(t *testing.T, node string, service announce.Service, seqnum uint64) *introducerv1.SignedAnnouncement {
	t.Helper()
	return introducerv1.NewSignedAnnouncement(registrytest.Sign(t, registrytest.Key(node), announce.Announcement{
		Service: service, Seqnum: seqnum, Nickname: node, Endpoints: []string{"https://" + node + ".test"},
	}))
}

// put makes the nodes offer a service.
func (in *introducer) put(service announce.Service, nodes ...string) {
	in.t.Helper()
	for _, n := range nodes {
		registrytest.Publish(in.t, in.reg, offer(in.t, n, service, 1).Signed())
	}
}
