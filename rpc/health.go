package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/registry"
)

// health serves grpc.health.v1.Health, which probes of gRPC services ask: whether lookups and
// subscriptions are answered, and whether announcements are taken.
type health struct {
	service *Service

	methods  protoreflect.MethodDescriptors
	request  protoreflect.MessageDescriptor // of Check and Watch
	name     protoreflect.FieldDescriptor   // in it
	response protoreflect.MessageDescriptor // of Check and Watch
	status   protoreflect.FieldDescriptor   // in it
	list     protoreflect.MessageDescriptor // the response of List
	statuses protoreflect.FieldDescriptor   // in it
}

// healthPublish is the name by which probes ask whether announcements are taken. By "" and by the
// service's own name they ask for the rest.
const healthPublish = "publish"

// healthInterval is how often a Watch stream looks whether there is news. That the introducer stops
// it hears at once.
const healthInterval = time.Second

// healthSchema is the file grpc/health/v1/health.proto. It is not generated code, since that would
// stand in the process's registry of types, where a program that also links another implementation
// of it, grpc-go's for one, would have it twice and panic.
const healthSchema = `
name: "grpc/health/v1/health.proto" package: "grpc.health.v1" syntax: "proto3"
message_type {
  name: "HealthCheckRequest"
  field { name: "service" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
}
message_type {
  name: "HealthCheckResponse"
  field { name: "status" number: 1 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".grpc.health.v1.HealthCheckResponse.ServingStatus" }
  enum_type {
    name: "ServingStatus"
    value { name: "UNKNOWN" number: 0 }
    value { name: "SERVING" number: 1 }
    value { name: "NOT_SERVING" number: 2 }
    value { name: "SERVICE_UNKNOWN" number: 3 }
  }
}
message_type { name: "HealthListRequest" }
message_type {
  name: "HealthListResponse"
  field { name: "statuses" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".grpc.health.v1.HealthListResponse.StatusesEntry" }
  nested_type {
    name: "StatusesEntry"
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".grpc.health.v1.HealthCheckResponse" }
    options { map_entry: true }
  }
}
service {
  name: "Health"
  method { name: "Check" input_type: ".grpc.health.v1.HealthCheckRequest" output_type: ".grpc.health.v1.HealthCheckResponse" }
  method { name: "List" input_type: ".grpc.health.v1.HealthListRequest" output_type: ".grpc.health.v1.HealthListResponse" }
  method { name: "Watch" input_type: ".grpc.health.v1.HealthCheckRequest" output_type: ".grpc.health.v1.HealthCheckResponse" server_streaming: true }
}`

// servingStatus is grpc.health.v1.HealthCheckResponse.ServingStatus.
type servingStatus = protoreflect.EnumNumber

const (
	serving        servingStatus = 1
	notServing     servingStatus = 2
	serviceUnknown servingStatus = 3
)

func registerHealth(server *connect.Server, s *Service) {
	schema := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(healthSchema), schema); err != nil {
		panic(fmt.Sprintf("the schema of grpc.health.v1: %v", err))
	}
	file, err := protodesc.NewFile(schema, nil)
	if err != nil {
		panic(fmt.Sprintf("the schema of grpc.health.v1: %v", err))
	}
	h := &health{
		service:  s,
		methods:  file.Services().ByName("Health").Methods(),
		request:  file.Messages().ByName("HealthCheckRequest"),
		response: file.Messages().ByName("HealthCheckResponse"),
		list:     file.Messages().ByName("HealthListResponse"),
	}
	h.name = h.request.Fields().ByName("service")
	h.status = h.response.Fields().ByName("status")
	h.statuses = h.list.Fields().ByName("statuses")
	server.Register(
		h.method("Check", connect.StreamTypeUnary, h.check),
		h.method("List", connect.StreamTypeUnary, h.listAll),
		h.method("Watch", connect.StreamTypeServer, h.watch),
	)
}

func (h *health) method(name protoreflect.Name, kind connect.StreamType, serve connect.ServerFunc) connect.Method {
	return connect.Method{
		Spec: connect.Spec{
			StreamType: kind,
			Schema:     h.methods.ByName(name),
			Procedure:  "/grpc.health.v1.Health/" + string(name),
		},
		Handler: serve,
	}
}

func (h *health) check(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
	req := dynamicpb.NewMessage(h.request)
	if err := stream.Receive(req); err != nil {
		return err
	}
	status := h.service.statuses(ctx)[req.Get(h.name).String()]
	if status == 0 {
		return connect.NewError(connect.CodeNotFound, fmt.Sprintf(
			"service: no such one; there are %q, %q and %q", "", introducerv1connect.IntroducerServiceName, healthPublish))
	}
	return stream.Send(h.answer(status))
}

func (h *health) listAll(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
	if err := stream.Receive(dynamicpb.NewMessage(h.methods.ByName("List").Input())); err != nil {
		return err
	}
	res := dynamicpb.NewMessage(h.list)
	all := res.Mutable(h.statuses).Map()
	for name, status := range h.service.statuses(ctx) {
		all.Set(protoreflect.ValueOfString(name).MapKey(), protoreflect.ValueOfMessage(h.answer(status)))
	}
	return stream.Send(res)
}

// watch sends the status of a service when it begins and whenever it has changed. A service that is
// none may be one some day, says the protocol, so that is a status too. When the introducer stops it
// says so, and ends.
func (h *health) watch(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
	req := dynamicpb.NewMessage(h.request)
	if err := stream.Receive(req); err != nil {
		return err
	}
	name := req.Get(h.name).String()
	ctx, stop := h.service.untilDrained(ctx)
	defer stop()
	look := time.NewTicker(healthInterval)
	defer look.Stop()
	var told servingStatus
	for {
		now := h.service.statuses(ctx)[name]
		if now == 0 {
			now = serviceUnknown
		}
		if now != told {
			if err := stream.Send(h.answer(now)); err != nil {
				return err
			}
			told = now
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			if told == serving && h.service.draining.Err() != nil {
				continue
			}
			return context.Cause(ctx)
		}
	}
}

func (h *health) answer(status servingStatus) *dynamicpb.Message {
	m := dynamicpb.NewMessage(h.response)
	m.Set(h.status, protoreflect.ValueOfEnum(status))
	return m
}

// statuses says what is served now, by the names that probes know.
// :: name → serving or notServing
func (s *Service) statuses(ctx context.Context) map[string]servingStatus {
	reads, publishes := serving, serving
	// To publish nothing writes nothing, and says whether anything could be written.
	_, err := s.reg.Publish(ctx, nil)
	if err != nil {
		publishes = notServing
	}
	if errors.Is(err, registry.ErrClosed) || s.draining.Err() != nil {
		reads, publishes = notServing, notServing
	}
	return map[string]servingStatus{
		"": reads,
		introducerv1connect.IntroducerServiceName: reads,
		healthPublish: publishes,
	}
}
