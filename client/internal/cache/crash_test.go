package cache_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/introducer/introducer/client/internal/cache"
)

// childEnv is set when the test binary is run again as the writer that will be killed.
const childEnv = "CACHE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		appendForEver(os.Args[1])
	}
	os.Exit(m.Run())
}

// appendForEver is the child of TestKilled. It goes on with the history where the cache stands, and
// prints how far it is each time it has flushed.
func appendForEver(path string) {
	c, s, err := cache.Open(path, cache.Options{Verifier: verifier}.WithSlack(10_000))
	if err != nil {
		panic(err)
	}
	rng := rand.New(rand.NewPCG(come(s), 1))
	for r := come(s) + 1; ; r++ {
		if err := c.Append(group(r)...); err != nil {
			panic(err)
		}
		if rng.IntN(20) > 0 {
			continue
		}
		if err := c.Flush(context.Background()); err != nil {
			panic(err)
		}
		fmt.Println(r)
	}
}

// TestKilled kills a process that appends without pause, again and again: what loads is the state after
// some group, no older than the last one that was flushed.
func TestKilled(t *testing.T) {
	kills := 25
	if testing.Short() {
		kills = 5
	}
	self, err := os.Executable()
	ok(t, err)
	path := filepath.Join(t.TempDir(), "peers")
	rng := rand.New(rand.NewPCG(3, 4))
	w, at := newWorld(), uint64(0)
	for range kills {
		cmd := exec.CommandContext(t.Context(), self, path)
		cmd.Env = append(os.Environ(), childEnv+"=1")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		ok(t, err)
		ok(t, cmd.Start())
		flushed := at
		lines := bufio.NewScanner(out)
		killAt := rng.IntN(20)
		for n := 0; lines.Scan(); n++ {
			flushed, err = strconv.ParseUint(lines.Text(), 10, 64)
			ok(t, err)
			if n == killAt {
				// What it is doing just then is the scheduler's to choose.
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		s := reopen(t, path)
		got := come(s)
		if got < flushed {
			t.Fatalf("at group %d, %d had been flushed", got, flushed)
		}
		for at < got {
			at++
			w.apply(group(at)...)
		}
		wantView(t, s, w.view())
	}
	if at < 100 {
		t.Errorf("only %d groups in all: nothing was tried", at)
	}
}
