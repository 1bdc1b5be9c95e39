package rpc_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/introducer/introducer/store"
)

// The statuses of grpc.health.v1, by number.
var statusNames = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

// checkHealth asks as a probe does. The wrappers have the fields of the real messages: a string, and
// a number, of number 1.
func checkHealth(ctx context.Context, c *connect.Client, name string) (string, error) {
	spec := connect.Spec{Procedure: "/grpc.health.v1.Health/Check", StreamType: connect.StreamTypeUnary}
	res := new(wrapperspb.Int32Value)
	if err := c.CallUnary(ctx, spec, wrapperspb.String(name), res); err != nil {
		return "", err
	}
	return statusNames[res.Value], nil
}

// watch begins a Watch stream; next gives the next status.
func watch(t *testing.T, in *introducer, name string) (next func() (string, error)) {
	t.Helper()
	spec := connect.Spec{Procedure: "/grpc.health.v1.Health/Watch", StreamType: connect.StreamTypeServer}
	stream, err := in.caller(wire{}).CallClientStream(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() })
	if err := errors.Join(stream.Send(wrapperspb.String(name)), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	return func() (string, error) {
		res := new(wrapperspb.Int32Value)
		if err := stream.Receive(res); err != nil {
			return "", err
		}
		return statusNames[res.Value], nil
	}
}

// statuses are those that List gives.
func (in *introducer) statuses() map[string]string {
	in.t.Helper()
	var res struct {
		Statuses map[string]struct{ Status string }
	}
	body := in.http(http.MethodPost, "/grpc.health.v1.Health/List", "application/json", []byte("{}"))
	if err := json.Unmarshal(body, &res, json.MatchCaseInsensitiveNames(true)); err != nil {
		in.t.Fatal(err)
	}
	all := make(map[string]string)
	for name, s := range res.Statuses {
		all[name] = s.Status
	}
	return all
}

// quarantined is an introducer whose index knows of records that its log does not have.
func quarantined(t *testing.T) *introducer {
	t.Helper()
	whole := start(t, settings{})
	whole.put(whole.offer(1, "storage", 1))
	id := whole.reg.Info().LogID
	whole.stop()
	index, err := store.Open(filepath.Join(whole.dir, "grid", "index"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(index.Apply(store.Position{LogID: id, Revision: 5}, nil, nil), index.Close()); err != nil {
		t.Fatal(err)
	}
	return start(t, settings{dir: whole.dir})
}

// Each name has the status of what it stands for, whatever became of the introducer.
func TestHealth(t *testing.T) {
	draining := func(t *testing.T) *introducer {
		in := start(t, settings{})
		in.svc.Drain()
		return in
	}
	closed := func(t *testing.T) *introducer {
		in := start(t, settings{})
		if err := in.reg.Close(); err != nil {
			t.Fatal(err)
		}
		in.reg = nil
		return in
	}
	for _, test := range []struct {
		name             string
		start            func(*testing.T) *introducer
		reads, publishes string
	}{
		{"well", func(t *testing.T) *introducer { return start(t, settings{}) }, "SERVING", "SERVING"},
		{"quarantined", quarantined, "SERVING", "NOT_SERVING"},
		{"draining", draining, "NOT_SERVING", "NOT_SERVING"},
		{"closed", closed, "NOT_SERVING", "NOT_SERVING"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := test.start(t)
			want := map[string]string{"": test.reads, "introducer.v1.IntroducerService": test.reads, "publish": test.publishes}
			if diff := cmp.Diff(in.statuses(), want); diff != "" {
				t.Errorf("List (-got +want):\n%s", diff)
			}
			for _, w := range binaryWires() {
				c := in.caller(w)
				for name, status := range want {
					if got, err := checkHealth(t.Context(), c, name); got != status || err != nil {
						t.Errorf("%q over %s: %s, %v; want %s", name, w.name, got, err, status)
					}
				}
			}
			for name, status := range want {
				if got, err := watch(t, in, name)(); got != status || err != nil {
					t.Errorf("watching %q: %s, %v; want %s", name, got, err, status)
				}
			}
		})
	}
}

func binaryWires() (binary []wire) {
	for _, w := range wires {
		switch w.name {
		case "connect binary", "grpc", "grpc-web":
			binary = append(binary, w)
		}
	}
	return binary
}

// A name that is none is an error to Check, and a status to Watch.
func TestHealthOfNothing(t *testing.T) {
	in := start(t, settings{})
	const text = `service: no such one; there are "", "introducer.v1.IntroducerService" and "publish"`
	for _, w := range binaryWires() {
		_, err := checkHealth(t.Context(), in.caller(w), "introducer.v1")
		if e, ok := errors.AsType[*connect.Error](err); !ok || e.Code() != connect.CodeNotFound || e.Message() != text {
			t.Errorf("over %s: %v", w.name, err)
		}
	}
	if got, err := watch(t, in, "introducer.v1")(); got != "SERVICE_UNKNOWN" || err != nil {
		t.Errorf("watching: %s, %v", got, err)
	}
}

// In JSON the statuses have the names of the original.
func TestHealthInJSON(t *testing.T) {
	in := start(t, settings{})
	in.svc.Drain()
	var got map[string]string
	body := in.http(http.MethodPost, "/grpc.health.v1.Health/Check", "application/json", []byte(`{"service":"publish"}`))
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, map[string]string{"status": "NOT_SERVING"}); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

// A watcher hears the status once, then every change, and the end of the introducer last.
func TestHealthWatch(t *testing.T) {
	const serving, not, ended = "SERVING", "NOT_SERVING", "unavailable: the introducer is stopping; come back soon"
	for _, test := range []struct {
		name, watched string
		happens       func(*testing.T, *introducer)
		want          []string
	}{
		{"draining", "", func(_ *testing.T, in *introducer) { in.svc.Drain() }, []string{serving, not, ended}},
		{"draining, publish", "publish", func(_ *testing.T, in *introducer) { in.svc.Drain() }, []string{serving, not, ended}},
		{"draining, no name", "?", func(_ *testing.T, in *introducer) { in.svc.Drain() }, []string{"SERVICE_UNKNOWN", ended}},
		{"closed, then draining", "publish", func(t *testing.T, in *introducer) {
			if err := in.reg.Close(); err != nil {
				t.Error(err)
			}
			in.reg = nil
			time.Sleep(2 * time.Second) // of the bubble: it looks each second
			in.svc.Drain()
		}, []string{serving, not, ended}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := start(t, settings{listener: newPipeListener()})
				next := watch(t, in, test.watched)
				first, err := next()
				if err != nil {
					t.Fatal(err)
				}
				got := []string{first}
				// For a minute there is nothing to tell.
				time.Sleep(time.Minute)
				test.happens(t, in)
				for err == nil {
					var status string
					if status, err = next(); err == nil {
						got = append(got, status)
					}
				}
				if diff := cmp.Diff(append(got, err.Error()), test.want); diff != "" {
					t.Errorf("(-got +want):\n%s", diff)
				}
			})
		})
	}
}
