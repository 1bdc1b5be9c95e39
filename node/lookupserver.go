package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/client"
)

// lookupServer serves lookups over Connect, gRPC and gRPC-Web, without TLS. A nil one serves nothing.
type lookupServer struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{} // closed when Serve has returned
}

// serveLookups listens at an address as Config.Listen has it; "": nowhere, and the result is nil.
func serveLookups(c *client.Client, listen string, logger *slog.Logger) (*lookupServer, error) {
	address, err := listenAddress(listen)
	if err != nil || address == "" {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	calls := connect.NewServer()
	introducerv1connect.RegisterIntroducerServiceHandler(calls, &lookups{client: c})
	mux := http.NewServeMux()
	connecthttp.Mount(mux, calls)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &lookupServer{
		listener: listener,
		server: &http.Server{
			Handler: sameMachine(listener.Addr(), mux), Protocols: protocols,
			ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
			// No ReadTimeout and no WriteTimeout: they would cut off who reads an order slowly.
			ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
			HTTP2: &http.HTTP2Config{SendPingTimeout: time.Minute, PingTimeout: 30 * time.Second, WriteByteTimeout: time.Minute},
		},
		served: make(chan struct{}),
	}
	go func() {
		defer close(s.served)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("lookups are no longer answered", "listen", listen, "err", err)
		}
	}()
	return s, nil
}

// sameMachine keeps web pages out of a server on loopback: a page whose own host name is made to lead
// here (DNS rebinding) may read what it answers, and that has secrets in it.
func sameMachine(at net.Addr, next http.Handler) http.Handler {
	if a, err := netip.ParseAddrPort(at.String()); err != nil || !a.Addr().IsLoopback() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" {
			http.Error(w, "this server is for programs on its own machine: ask for it as localhost or by its address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *lookupServer) url() string {
	if s == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String()
}

// close ends the calls under way, in order if they end soon.
func (s *lookupServer) close() {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		s.server.Close()
	}
	<-s.served
}
