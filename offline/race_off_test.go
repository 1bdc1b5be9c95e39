//go:build !race

package offline_test

const raceDetector = false
