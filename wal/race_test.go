//go:build race

package wal_test

// raceBuild says that everything takes several times as long, so the large tests do less.
const raceBuild = true
