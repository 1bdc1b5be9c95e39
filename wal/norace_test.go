//go:build !race

package wal_test

// raceBuild is told in race_test.go.
const raceBuild = false
