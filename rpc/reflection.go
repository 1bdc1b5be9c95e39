package rpc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/grpcreflect/v2"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// registerReflection lets tools such as grpcurl ask server for the schema of what is registered on
// it, and of nothing else that the program has compiled in.
func registerReflection(server *connect.Server) {
	files := new(protoregistry.Files)
	grpcreflect.Register(server,
		grpcreflect.WithDescriptorResolver(files),
		grpcreflect.WithExtensionResolver(new(protoregistry.Types)))
	for spec := range server.Specs() {
		addFile(files, spec.Schema.(protoreflect.MethodDescriptor).ParentFile())
	}
}

// addFile adds a file and what it imports.
func addFile(files *protoregistry.Files, file protoreflect.FileDescriptor) {
	if _, err := files.FindFileByPath(file.Path()); err == nil {
		return
	}
	for i := range file.Imports().Len() {
		addFile(files, file.Imports().Get(i).FileDescriptor)
	}
	if err := files.RegisterFile(file); err != nil {
		panic(fmt.Sprintf("two services of one server do not agree: %v", err))
	}
}

// isReflection reports whether a request is one of the reflection service: the only streams in which
// clients send any number of messages. Each is small (see mountOptions), so they are not counted.
func isReflection(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/grpc.reflection.")
}

// endReflection ends streams of the reflection service in order when the introducer stops. Their
// handler waits for the client alone, which may keep its stream as long as it likes: here it reads
// the end of the client's messages.
func (s *Service) endReflection(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isReflection(r) {
			next.ServeHTTP(w, r)
			return
		}
		unblocked := make(chan struct{})
		forget := context.AfterFunc(s.draining, func() {
			defer close(unblocked)
			// Over HTTP/1.1 such a stream is refused at once, and there is nothing to unblock.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now())
		})
		defer func() {
			if !forget() {
				<-unblocked // w may not be used once this handler has returned
			}
		}()
		ending := *r
		ending.Body = &endingBody{r.Body, s.draining}
		next.ServeHTTP(w, &ending)
	})
}

// endingBody ends, in order, when ending does.
type endingBody struct {
	io.ReadCloser
	ending context.Context
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.ending.Err() != nil {
		err = io.EOF
	}
	return n, err
}
