package follow

import (
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait before the next try: a quarter of a second, then twice as long each time,
// up to 30 s, each less up to a half by chance, so that those who lost one introducer don't come back as
// one. The zero value is ready. It is for one goroutine.
type Backoff struct{ last time.Duration }

// Next returns the next wait.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(2*b.last, firstWait), longestWait)
	return Jitter(b.last)
}

// Reset begins again with the shortest wait.
func (b *Backoff) Reset() { b.last = 0 }

// Jitter is d, which is above zero, less up to a half by chance.
func Jitter(d time.Duration) time.Duration { return d - rand.N((d+1)/2) }
