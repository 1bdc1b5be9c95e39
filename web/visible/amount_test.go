package visible_test

import (
	"math"
	"testing"
	"time"

	"github.com/introducer/introducer/web/visible"
)

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", math.MaxUint64: "18,446,744,073,709,551,615",
	} {
		if got := visible.Count(n); got != want {
			t.Errorf("Count(%d): got %q, want %q", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0:                                "0s",
		1999 * time.Nanosecond:           "1µs",
		3299 * time.Microsecond:          "3.2ms",
		1550 * time.Millisecond:          "1.5s",
		59999 * time.Millisecond:         "59.9s",
		time.Minute:                      "1 min 0 s",
		3599 * time.Second:               "59 min 59 s",
		3*time.Hour + 20*time.Minute:     "3 h 20 min",
		12*day + 5*time.Hour:             "12 d 5 h",
		-90 * time.Second:                "-1 min 30 s",
		time.Duration(math.MinInt64):     "-53375 d 23 h",
		time.Duration(math.MaxInt64) / 2: "53375 d 23 h",
	} {
		if got := visible.Duration(d); got != want {
			t.Errorf("Duration(%d): got %q, want %q", d, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1,023 B", 1024: "1.0 KiB", 16 << 10: "16.0 KiB", 1<<20 - 1: "1.0 MiB",
		3<<30 + 400<<20: "3.4 GiB", math.MaxUint64: "16.0 EiB",
	} {
		if got := visible.Bytes(n); got != want {
			t.Errorf("Bytes(%d): got %q, want %q", n, got, want)
		}
	}
}
