//go:build !race

package permute_test

const underRace = false
