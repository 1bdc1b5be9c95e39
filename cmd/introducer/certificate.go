package main

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// certificate is the server's certificate, which is renewed while it serves.
type certificate struct {
	certPath, keyPath string
	current           atomic.Pointer[tls.Certificate]
}

func loadCertificate(certPath, keyPath string) (*certificate, error) {
	c := &certificate{certPath: certPath, keyPath: keyPath}
	return c, c.reload()
}

// reload reads the files again. On an error the certificate stays what it was.
func (c *certificate) reload() error {
	next, err := tls.LoadX509KeyPair(c.certPath, c.keyPath)
	if err != nil {
		return fmt.Errorf("--tls-cert %s, --tls-key %s: %w", c.certPath, c.keyPath, err)
	}
	c.current.Store(&next)
	return nil
}

// get is for tls.Config.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
