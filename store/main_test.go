package store_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// childEnv names what the test binary does when it is run again as a child that may be killed, hang
// or die.
const childEnv = "STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch deed := os.Getenv(childEnv); deed {
	case "":
		os.Exit(m.Run())
	case "apply":
		applyForEver(os.Args[1])
	case "damage":
		damageTrials(os.Args[1:])
	default:
		panic("no child's deed " + deed)
	}
}

// child is this test binary, to be run for a deed.
func child(ctx context.Context, t *testing.T, deed string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+deed)
	cmd.Stderr = os.Stderr
	return cmd
}
