package conformance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/introducer/introducer/rpc"
)

// suiteServer is connectrpc.conformance.v1.ConformanceService, which does with each call what the
// call's request says. The suite's generated code cannot be imported, so its messages are made from
// its .proto files as this starts, and read and written here in their JSON form.
type suiteServer struct {
	methods protoreflect.MethodDescriptors
	codes   protoreflect.EnumValueDescriptors
}

const suitePackage = "connectrpc.conformance.v1."

// serveSuite serves as the suite asks on in, says on out where, and ends with SIGTERM. Either is one
// message behind its length, 4 bytes, big-endian.
func serveSuite(protos string, in io.Reader, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	files, err := suiteFiles(ctx, protos)
	if err != nil {
		return err
	}
	service, err := files.FindDescriptorByName(suitePackage + "ConformanceService")
	if err != nil {
		return err
	}
	codes, err := files.FindDescriptorByName(suitePackage + "Code")
	if err != nil {
		return err
	}
	s := &suiteServer{service.(protoreflect.ServiceDescriptor).Methods(), codes.(protoreflect.EnumDescriptor).Values()}

	var asked struct {
		UseTLS              bool
		ClientTLSCert       []byte
		MessageReceiveLimit int
		ServerCreds         struct{ Cert, Key []byte }
	}
	if err := readSized(in, files, "ServerCompatRequest", &asked); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// As the introducer is by default, but for the limit that is to be tested.
	hs := rpc.NewServer(rpc.ServerOptions{MaxRequestBytes: asked.MessageReceiveLimit}, s.register)
	served := make(chan error, 1)
	if asked.UseTLS {
		hs.TLSConfig, err = tlsConfig(asked.ServerCreds.Cert, asked.ServerCreds.Key, asked.ClientTLSCert)
		if err != nil {
			return err
		}
		go func() { served <- hs.ServeTLS(l, "", "") }()
	} else {
		go func() { served <- hs.Serve(l) }()
	}
	addr := l.Addr().(*net.TCPAddr)
	if err := writeSized(out, files, "ServerCompatResponse", map[string]any{
		"host": addr.IP.String(), "port": addr.Port, "pemCert": asked.ServerCreds.Cert,
	}); err != nil {
		return err
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		if err := hs.Close(); err != nil {
			return err
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

func tlsConfig(cert, key, clientCert []byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	if len(clientCert) > 0 {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(clientCert) {
			return nil, errors.New("the client's certificate is none")
		}
	}
	return c, nil
}

// suiteFiles compiles the suite's files, and makes their messages known to the JSON codec, which has
// to find what is inside an Any.
func suiteFiles(ctx context.Context, protos string) (*protoregistry.Files, error) {
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{protos}})}
	const dir = "connectrpc/conformance/v1"
	compiled, err := c.Compile(ctx,
		filepath.Join(dir, "config.proto"), filepath.Join(dir, "service.proto"), filepath.Join(dir, "server_compat.proto"))
	if err != nil {
		return nil, fmt.Errorf("the suite's .proto files: %w", err)
	}
	files := new(protoregistry.Files)
	for _, f := range compiled {
		err = errors.Join(err, files.RegisterFile(f), registerTypes(f.Messages()))
	}
	return files, err
}

func registerTypes(messages protoreflect.MessageDescriptors) (err error) {
	for i := range messages.Len() {
		m := messages.Get(i)
		err = errors.Join(err, protoregistry.GlobalTypes.RegisterMessage(dynamicpb.NewMessageType(m)), registerTypes(m.Messages()))
	}
	return err
}

func readSized(r io.Reader, files *protoregistry.Files, name protoreflect.Name, into any) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	d, err := files.FindDescriptorByName(suitePackage + protoreflect.FullName(name))
	if err != nil {
		return err
	}
	m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
	if err := proto.Unmarshal(b, m); err != nil {
		return err
	}
	return fromMessage(m, into)
}

func writeSized(w io.Writer, files *protoregistry.Files, name protoreflect.Name, value any) error {
	d, err := files.FindDescriptorByName(suitePackage + protoreflect.FullName(name))
	if err != nil {
		return err
	}
	m, err := toMessage(d.(protoreflect.MessageDescriptor), value)
	if err != nil {
		return err
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func fromMessage(m proto.Message, into any) error {
	b, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

func toMessage(d protoreflect.MessageDescriptor, value any) (proto.Message, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	m := dynamicpb.NewMessage(d)
	return m, protojson.Unmarshal(b, m)
}

func (s *suiteServer) register(server *connect.Server) {
	for name, idempotency := range map[protoreflect.Name]connect.IdempotencyLevel{
		"Unary": connect.IdempotencyUnknown, "IdempotentUnary": connect.IdempotencyNoSideEffects,
	} {
		server.Register(connect.Method{Spec: s.spec(name, connect.StreamTypeUnary, idempotency), Handler: s.unary})
	}
	server.Register(connect.Method{Spec: s.spec("Unimplemented", connect.StreamTypeUnary, connect.IdempotencyUnknown), Handler: unimplemented})
	server.Register(connect.Method{Spec: s.spec("ServerStream", connect.StreamTypeServer, connect.IdempotencyUnknown), Handler: s.stream})
}

func (s *suiteServer) spec(name protoreflect.Name, kind connect.StreamType, idempotency connect.IdempotencyLevel) connect.Spec {
	return connect.Spec{
		StreamType:       kind,
		IdempotencyLevel: idempotency,
		Schema:           s.methods.ByName(name),
		Procedure:        "/" + suitePackage + "ConformanceService/" + string(name),
	}
}

// The JSON forms of what the suite's messages say. Data is never decoded.
type (
	// definition is what a call is to do. D is a string for one answer, []string for a stream.
	definition[D any] struct {
		ResponseHeaders  []header
		ResponseTrailers []header
		ResponseData     D
		ResponseDelayMs  int
		Error            *failure
	}
	header struct {
		Name  string   `json:"name"`
		Value []string `json:"value"`
	}
	failure struct {
		Code    protoreflect.Name
		Message string
		Details []json.RawMessage // of google.protobuf.Any
	}
	payload struct {
		Data        string       `json:"data,omitempty"`
		RequestInfo *requestInfo `json:"requestInfo,omitempty"`
	}
	requestInfo struct {
		RequestHeaders []header          `json:"requestHeaders"`
		TimeoutMs      *int64            `json:"timeoutMs,omitempty"`
		Requests       []json.RawMessage `json:"requests"` // of google.protobuf.Any
		ConnectGetInfo *getInfo          `json:"connectGetInfo,omitempty"`
	}
	getInfo struct {
		QueryParams []header `json:"queryParams"`
	}
)

func (s *suiteServer) unary(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
	def, info, err := receive[string](ctx, spec, stream)
	if err != nil {
		return err
	}
	if err := wait(ctx, def.ResponseDelayMs); err != nil {
		return err
	}
	if def.Error != nil {
		return s.failed(spec, def.Error, info)
	}
	return send(spec, stream, payload{def.ResponseData, info})
}

func unimplemented(context.Context, connect.Spec, connect.ServerStream) error {
	return connect.NewError(connect.CodeUnimplemented, "unimplemented")
}

func (s *suiteServer) stream(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
	def, info, err := receive[[]string](ctx, spec, stream)
	if err != nil {
		return err
	}
	if len(def.ResponseData) > 0 {
		if err := stream.SendHeaders(); err != nil {
			return err
		}
	}
	// What the request said is told once: with the first answer, or with the error if there is none.
	for _, data := range def.ResponseData {
		if err := wait(ctx, def.ResponseDelayMs); err != nil {
			return err
		}
		if err := send(spec, stream, payload{data, info}); err != nil {
			return err
		}
		info = nil
	}
	if def.Error != nil {
		return s.failed(spec, def.Error, info)
	}
	return nil
}

// receive reads a request, gives its headers and trailers to the answer, and tells what the request
// was like.
func receive[D any](ctx context.Context, spec connect.Spec, stream connect.ServerStream) (definition[D], *requestInfo, error) {
	var request struct{ ResponseDefinition definition[D] }
	m := dynamicpb.NewMessage(spec.Schema.(protoreflect.MethodDescriptor).Input())
	if err := stream.Receive(m); err != nil {
		return request.ResponseDefinition, nil, err
	}
	info, err := describe(ctx, m)
	if err != nil {
		return request.ResponseDefinition, nil, err
	}
	if err := fromMessage(m, &request); err != nil {
		return request.ResponseDefinition, nil, err
	}
	call, _ := connect.CallInfoForServerContext(ctx)
	add(call.ResponseHeader(), request.ResponseDefinition.ResponseHeaders)
	add(call.ResponseTrailer(), request.ResponseDefinition.ResponseTrailers)
	return request.ResponseDefinition, info, nil
}

func add(to *connect.Header, headers []header) {
	for _, h := range headers {
		for _, v := range h.Value {
			to.Add(h.Name, v)
		}
	}
}

func describe(ctx context.Context, request proto.Message) (*requestInfo, error) {
	wrapped, err := anypb.New(request)
	if err != nil {
		return nil, err
	}
	asJSON, err := protojson.Marshal(wrapped)
	if err != nil {
		return nil, err
	}
	info := &requestInfo{Requests: []json.RawMessage{asJSON}}
	call, _ := connect.CallInfoForServerContext(ctx)
	for name, values := range call.RequestHeader().All() {
		info.RequestHeaders = append(info.RequestHeaders, header{name, values})
	}
	if deadline, ok := ctx.Deadline(); ok {
		ms := time.Until(deadline).Milliseconds()
		info.TimeoutMs = &ms
	}
	if server, ok := connecthttp.ServerInfoForContext(ctx); ok && len(server.HTTPGetQueryParams()) > 0 {
		info.ConnectGetInfo = new(getInfo)
		for name, values := range server.HTTPGetQueryParams() {
			info.ConnectGetInfo.QueryParams = append(info.ConnectGetInfo.QueryParams, header{name, values})
		}
	}
	return info, nil
}

func wait(ctx context.Context, ms int) error {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func send(spec connect.Spec, stream connect.ServerStream, p payload) error {
	m, err := toMessage(spec.Schema.(protoreflect.MethodDescriptor).Output(), map[string]payload{"payload": p})
	if err != nil {
		return err
	}
	return stream.Send(m)
}

// failed is the error that a request asked for. info, unless it is nil, is one more detail.
func (s *suiteServer) failed(spec connect.Spec, f *failure, info *requestInfo) error {
	code := s.codes.ByName(f.Code)
	if code == nil {
		return fmt.Errorf("no such code: %q", f.Code)
	}
	failed := connect.NewError(connect.Code(code.Number()), f.Message)
	for _, asJSON := range f.Details {
		detail := new(anypb.Any)
		if err := protojson.Unmarshal(asJSON, detail); err != nil {
			return err
		}
		d, err := connectproto.NewErrorDetail(detail)
		if err != nil {
			return err
		}
		failed = failed.WithDetail(d)
	}
	if info != nil {
		payloads := spec.Schema.(protoreflect.MethodDescriptor).Output().Fields().ByName("payload").Message()
		m, err := toMessage(payloads.Fields().ByName("request_info").Message(), info)
		if err != nil {
			return err
		}
		d, err := connectproto.NewErrorDetail(m)
		if err != nil {
			return err
		}
		failed = failed.WithDetail(d)
	}
	return failed
}
