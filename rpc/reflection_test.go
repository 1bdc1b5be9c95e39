package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/grpcreflect/v2"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/introducer/introducer/rpc"
)

func reflect(t *testing.T, in *introducer, w wire) *grpcreflect.ClientStream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stream := grpcreflect.NewClient(in.caller(w)).NewStream(ctx)
	t.Cleanup(func() {
		cancel()
		stream.Close()
	})
	return stream
}

// Tools learn the whole contract from the introducer, what it imports included, and of what else is
// compiled in nothing.
func TestReflection(t *testing.T) {
	in := start(t, settings{})
	for _, w := range wires {
		if !w.h2c || w.name == "connect binary gzip h2c" && raceDetector {
			continue
		}
		r := reflect(t, in, w)
		services, err := r.ListServices()
		if err != nil {
			t.Fatalf("over %s: %v", w.name, err)
		}
		slices.Sort(services)
		want := []protoreflect.FullName{
			"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "introducer.v1.IntroducerService",
		}
		if diff := cmp.Diff(services, want); diff != "" {
			t.Errorf("services over %s (-got +want):\n%s", w.name, diff)
		}
		for symbol, file := range map[protoreflect.FullName]string{
			"introducer.v1.IntroducerService":          "introducer/v1/introducer.proto",
			"introducer.v1.Peer.peer_id":               "introducer/v1/introducer.proto",
			"google.protobuf.Duration":                 "google/protobuf/duration.proto",
			"grpc.health.v1.HealthCheckResponse":       "grpc/health/v1/health.proto",
			"grpc.reflection.v1.ServerReflection":      "grpc/reflection/v1/reflection.proto",
			"grpc.reflection.v1alpha.ServerReflection": "grpc/reflection/v1alpha/reflection.proto",
			"google.protobuf.StringValue":              "", // this test has it compiled in
			"introducer.v1.Nothing":                    "",
		} {
			files, err := reflect(t, in, w).FileContainingSymbol(symbol)
			var got string
			for _, f := range files {
				if got = f.GetName(); got == file {
					break
				}
			}
			if got != file || file == "" && connect.CodeOf(err) != connect.CodeNotFound {
				t.Errorf("%s over %s: in %q, %v; want %q", symbol, w.name, got, err, file)
			}
		}
	}
}

// A stream of the reflection service may ask without end. No question is large, and so none counts
// against the budget of large requests.
func TestReflectionIsBounded(t *testing.T) {
	in := start(t, settings{server: rpc.ServerOptions{MaxInFlightBytes: 256 << 10}})
	grpc := wires[4]
	r := reflect(t, in, grpc)
	for i := range 1_000 {
		name := fmt.Sprintf("nothing%d.%s", i, strings.Repeat("x", 1_000))
		if _, err := r.FileByFilename(name); connect.CodeOf(err) != connect.CodeNotFound {
			t.Fatalf("question %d: %v", i, err)
		}
	}
	_, err := reflect(t, in, grpc).FileByFilename(strings.Repeat("x", 64<<10))
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a large question: %v", err)
	}
}

// The introducer stops though a client keeps a stream of the reflection service open.
func TestReflectionEndsWithTheIntroducer(t *testing.T) {
	in := start(t, settings{})
	r := reflect(t, in, wires[4])
	if _, err := r.ListServices(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := in.hs.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("the stream did not end in order: %v", err)
	}
	if _, err := reflect(t, in, wires[4]).ListServices(); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
