package registry_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/wal"
)

// killEnv makes the test binary the child of TestKillWhileCompacting; its value is the directory.
const killEnv = "REGISTRY_TEST_KILL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		if err := killChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// killChild publishes and compacts until it is killed. It tells what was acknowledged, line by line.
func killChild(dir string) error {
	ctx := context.Background()
	d, err := datadir.Open(dir, datadir.Options{MustExist: true})
	if err != nil {
		return err
	}
	r, err := registry.Open(ctx, d, byHand(-1, -1))
	if err != nil {
		return err
	}
	go func() {
		for {
			if err := r.Compact(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "compacting:", err)
				os.Exit(1)
			}
		}
	}()
	for n := uint64(r.Info().Last) + 1; ; n++ {
		key, withdraws := killed(n)
		message := fmt.Appendf(nil, `{"service-name":"storage","seqnum":%d,"withdrawn":%v}`, n, withdraws)
		res, err := r.Publish(ctx, []announce.Signed{registrytest.Key(key).Sign(message)})
		if err != nil {
			return err
		}
		if res[0].Outcome.Refused() {
			return fmt.Errorf("%s, seqnum %d: %v %s", key, n, res[0].Outcome, res[0].Reason)
		}
		fmt.Println(n)
	}
}

// killed is what the child does at revision and seqnum n.
func killed(n uint64) (key string, withdraws bool) { return fmt.Sprint("node", n%7), n%5 == 0 }

// Killed at any moment while it publishes and compacts, an introducer comes back with all that was
// acknowledged, the same from its index and from its log.
func TestKillWhileCompacting(t *testing.T) {
	kills := 25
	if testing.Short() {
		kills = 6
	}
	dir := t.TempDir()
	opts := byHand(-1, -1)
	registrytest.Close(t, registrytest.Open(t, dir, opts))
	rng := rand.New(rand.NewPCG(9, 9))
	floors := make(map[wal.Revision]bool)
	for range kills {
		acked := runAndKill(t, dir, 1+rng.IntN(60))
		var want state
		for _, how := range []string{"from the index", "from the log"} {
			if how == "from the log" {
				removeIndex(t, dir)
			}
			r := registrytest.Open(t, dir, opts)
			// One that was not acknowledged may be there, or not.
			last := uint64(r.Info().Last)
			if lost := r.Info().Lost; lost != nil || last < acked || last > acked+1 {
				t.Fatalf("%s: lost %v, last %d, acknowledged was %d", how, lost, last, acked)
			}
			for n := max(last, 7) - 6; n <= last; n++ {
				key, withdrawn := killed(n)
				p, ok := r.View("storage").Peers.Get(registrytest.Key(key).PeerID())
				if ok == withdrawn || ok && p.Seqnum != n {
					t.Errorf("%s: %s is served: %v; the newest of it is %d", how, key, ok, n)
				}
			}
			got := stateOf(t, r) // which reads all announcements
			if how == "from the index" {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", how, diff)
			}
			floors[r.Storage().History] = true
			registrytest.Close(t, r)
		}
	}
	if len(floors) < kills/2 {
		t.Errorf("only %d floors in %d runs: it hardly compacts", len(floors), kills)
	}
}

// runAndKill runs the child until so many publishes are acknowledged, and kills it. It returns the last that
// was acknowledged.
func runAndKill(t *testing.T, dir string, publishes int) (acked uint64) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), killEnv+"="+dir)
	var complaint strings.Builder
	child.Stderr = &complaint
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { child.Process.Kill() })
	defer watchdog.Stop()
	scanner := bufio.NewScanner(out)
	heard := 0
	for scanner.Scan() {
		if _, err := fmt.Sscan(scanner.Text(), &acked); err != nil {
			t.Fatal(err)
		}
		if heard++; heard == publishes {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	child.Wait() // it was killed
	if heard < publishes {
		t.Fatalf("the child ended by itself after %d publishes:\n%s", heard, complaint.String())
	}
	return acked
}
