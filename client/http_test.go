package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/rpc"
)

// listen serves an introducer over HTTP on the loopback interface, and returns its URL.
func listen(t testing.TB, reg *host) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := reg.svc.NewServer(rpc.ServerOptions{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// Over a real network: published, heard, and after Close no goroutine of the client is left.
func TestHTTP(t *testing.T) {
	w := newWorld(t)
	url := listen(t, w.serve(urlA, t.TempDir()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := client.Open(ctx, client.Options{
		Introducers: []string{url + "/", "http://127.0.0.1:1"}, Key: registrytest.Key("alder"), Dir: t.TempDir(), Services: []announce.Service{storage},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(ctx, offer()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(c.WaitSynced(ctx), c.WaitPeers(ctx, storage, 1)); err != nil {
		t.Error(err)
	}
	if got := shown(c); got != "alder 1" {
		t.Errorf("shown is %q", got)
	}
	for s := range c.Statuses(ctx) {
		if s.Introducers[1].Err != nil && s.Introducers[1].PublishErr != nil {
			break // nobody is there, and that is said
		}
	}
	closeClient(t, c)
	for ctx.Err() == nil && clientGoroutines() != "" {
		runtime.Gosched() // the connections' own end a moment after they were closed
	}
	if left := clientGoroutines(); left != "" {
		t.Errorf("after Close:\n%s", left)
	}
}

// clientGoroutines are the goroutines that run this package's code or an HTTP client's.
func clientGoroutines() string {
	buf := make([]byte, 1<<20)
	var left []string
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "introducer/client.") || strings.Contains(g, "introducer/client/") || strings.Contains(g, "net/http.(*persistConn)") {
			if !strings.Contains(g, "client_test") {
				left = append(left, g)
			}
		}
	}
	return strings.Join(left, "\n\n")
}

// An introducer cannot send its clients elsewhere, and what is none is named.
func TestNoIntroducer(t *testing.T) {
	reached := make(chan struct{}, 100)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	defer other.Close()
	redirect := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer redirect.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }))
	defer page.Close()
	c, err := client.Open(t.Context(), client.Options{Introducers: []string{redirect.URL, page.URL}, Key: registrytest.Key("alder"), Services: []announce.Service{storage}})
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for s := range c.Statuses(ctx) {
		if s.Introducers[0].Err != nil && s.Introducers[1].Err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		t.Error("no error is told")
	}
	if len(reached) > 0 {
		t.Error("it followed a redirection")
	}
}

// A way that has gone silent is given up, and not taken again by the next stream.
func TestSilentWay(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var silent atomic.Bool
	var passing sync.WaitGroup
	defer passing.Wait()
	defer l.Close()
	pass := func(to, from net.Conn) {
		defer to.Close()
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if !silent.Load() {
				to.Write(buf[:n])
			}
		}
	}
	passing.Go(func() {
		down, err := l.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			down.Close()
			return
		}
		passing.Go(func() { pass(up, down) })
		passing.Go(func() { pass(down, up) })
	})
	c := client.NewHTTPClient(20 * time.Millisecond)
	defer c.CloseIdleConnections()
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	silent.Store(true)
	if _, err := io.ReadAll(res.Body); err == nil || res.ProtoMajor != 2 || ctx.Err() != nil {
		t.Errorf("the stream, of %s, ends with %v", res.Proto, err)
	}
}

// A program that has put something else in place of http.DefaultTransport has a client none the less.
func TestDefaultTransport(t *testing.T) {
	old := http.DefaultTransport
	defer func() { http.DefaultTransport = old }()
	http.DefaultTransport = struct{ http.RoundTripper }{old}
	c, err := client.Open(t.Context(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	closeClient(t, c)
}
