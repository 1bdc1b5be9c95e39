package visible

import (
	"strconv"
	"time"
)

// Count writes a number with its thousands apart: 1,234,567.
func Count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Duration writes a time span as a person would, in two units at most and rounded down: 3.2ms, 41.5s,
// 5 min 7 s, 3 h 20 min, 12 d 5 h. One below zero has a minus before it.
func Duration(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(large time.Duration, first string, small time.Duration, second string) string {
		return strconv.Itoa(int(d/large)) + first + strconv.Itoa(int(d%large/small)) + second
	}
	switch {
	case d < 0:
		return "-" + Duration(-max(d, -1<<62))
	case d < time.Millisecond:
		return d.Truncate(time.Microsecond).String()
	case d < time.Second:
		return d.Truncate(100 * time.Microsecond).String()
	case d < time.Minute:
		return d.Truncate(100 * time.Millisecond).String()
	case d < time.Hour:
		return two(time.Minute, " min ", time.Second, " s")
	case d < day:
		return two(time.Hour, " h ", time.Minute, " min")
	}
	return two(day, " d ", time.Hour, " h")
}

// Bytes writes a size in binary units: 0 B, 1,023 B, 16.0 KiB, 3.4 GiB.
func Bytes(n uint64) string {
	if n < 1<<10 {
		return Count(n) + " B"
	}
	units := "KMGTPE"
	size := float64(n) / (1 << 10)
	for size >= 1023.95 && len(units) > 1 { // 1024.0 in the smaller unit is 1.0 in the next
		size /= 1 << 10
		units = units[1:]
	}
	return strconv.FormatFloat(size, 'f', 1, 64) + " " + units[:1] + "iB"
}
