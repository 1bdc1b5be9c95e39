package cache_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/introducer/introducer/client/internal/cache"
)

// TestModel appends random groups, with a file that is written anew every few of them, and reopens at
// random moments: what is found is always what plain maps would hold.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	rounds := 0
	rapid.Check(t, func(rt *rapid.T) {
		rounds++
		path := filepath.Join(dir, fmt.Sprint(rounds))
		opts := cache.Options{Verifier: verifier}.WithSlack(rapid.Int64Range(1, 5000).Draw(rt, "slack"))
		c, _, err := cache.Open(path, opts)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { c.Close() }()
		want := newWorld()
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				ops := group(rapid.Uint64Range(1, 1<<40).Draw(rt, "group"))
				if err := c.Append(ops...); err != nil {
					rt.Fatal(err)
				}
				want.apply(ops...)
			},
			"reopen": func(rt *rapid.T) {
				if err := c.Close(); err != nil {
					rt.Fatal(err)
				}
				var s *cache.State
				if c, s, err = cache.Open(path, opts); err != nil {
					rt.Fatal(err)
				}
				if s.Notes != nil {
					rt.Fatalf("damaged: %q", s.Notes)
				}
				if diff := diffViews(want.view(), viewOf(s)); diff != "" {
					rt.Fatalf("state (-want +got):\n%s", diff)
				}
			},
		})
	})
}
