//go:build race

package rpc_test

// raceDetector multiplies memory and time.
const raceDetector = true
