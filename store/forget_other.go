//go:build !linux

package store

import "go.etcd.io/bbolt"

// forget does something on Linux only.
func forget(*bbolt.DB) {}
