// Package conformance has tests only: of the introducer's server by programs that nobody here wrote.
// The Connect project's conformance suite, a client on grpc-go, grpcurl and curl speak to it over
// loopback. What docs/clients.md and the README show is run here as it stands there.
//
// It is a module of its own, so that none of what it needs becomes a requirement of those who use the
// introducer's packages. Its tests need the go command; for the documents' lines curl, perl, Python with
// gRPC, and Node.js with what `make generate` installs.
package conformance
