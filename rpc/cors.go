package rpc

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"
)

// AnyOrigin in ServerOptions.Origins lets the pages of every website call.
const AnyOrigin = "*"

// CheckOrigin says what is wrong with an origin for ServerOptions.Origins, if something is. An origin
// is what browsers send (RFC 6454, section 6.2): a scheme, a host, and a port unless it is the
// scheme's own.
func CheckOrigin(origin string) error {
	if origin == AnyOrigin {
		return nil
	}
	u, err := url.Parse(origin)
	switch {
	case err != nil:
		return errors.Unwrap(err)
	case u.Scheme == "" || u.Hostname() == "" || origin != u.Scheme+"://"+u.Host || strings.Contains(origin, "*"):
		return errors.New("must be an origin, such as https://app.example or http://localhost:8080, without a path, or * for every one")
	case u.Port() == "80" && u.Scheme == "http", u.Port() == "443" && u.Scheme == "https":
		return fmt.Errorf("browsers leave :%s out of an origin of this scheme; leave it out too", u.Port())
	}
	return nil
}

// crossOrigin serves next to pages of other origins as well, as far as browsers ask (Fetch standard,
// "CORS protocol"). Whoever is no browser never asks: this keeps no one out, it lets pages in.
func crossOrigin(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: connectcors.AllowedMethods(),
		AllowedHeaders: connectcors.AllowedHeaders(),
		ExposedHeaders: connectcors.ExposedHeaders(),
		MaxAge:         7200, // seconds; browsers keep a preflight's answer no longer
	}).Handler(next)
}
