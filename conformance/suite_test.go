package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// suiteProtos is set in the processes that the suite starts: to the directory of its .proto files.
const suiteProtos = "INTRODUCER_SUITE_PROTOS"

// The suite starts this program as the server that it tests, several times.
func TestMain(m *testing.M) {
	if dir := os.Getenv(suiteProtos); dir != "" {
		if err := serveSuite(dir, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fewest is how many cases the suite has for what testdata/suite.yaml says. A later suite may have
// more; fewer are a mistake.
const fewest = 2636

// deadlines are the cases that may fail, few at a time: the suite's client and the server have the same
// deadline, and when the client's comes first, the suite looks at an answer that was never read to its
// end ("unexpected end of JSON input", one case in every fifth run or so).
const (
	deadlines    = "Timeouts/**/unary"
	mostDeadline = 2
)

// Every protocol, codec, compression and version of HTTP, each with every error, header, trailer,
// deadline and limit that the Connect project could think of, against the server that the introducer
// runs in, with its limits and interceptors.
func TestSuite(t *testing.T) {
	goCommand(t, "mod", "download", "connectrpc.com/conformance") // list names no folder before
	protos := strings.TrimSpace(goCommand(t, "list", "-m", "-f", "{{.Dir}}", "connectrpc.com/conformance")) + "/proto"
	this, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// One at a time, and few calls at once: the suite has deadlines of its own, in real time.
	cmd := exec.CommandContext(t.Context(), "go", "tool", "connectconformance",
		"--mode", "server", "--conf", "testdata/suite.yaml", "--max-servers", "1", "--parallel", "4", "--known-flaky", deadlines, "--", this)
	cmd.Env = append(os.Environ(), suiteProtos+"="+protos)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	summary := regexp.MustCompile(`(?s)Total cases: (\d+)\n(\d+) passed, (\d+) failed`).FindStringSubmatch(string(out))
	var total, passed, failed int
	if _, err := fmt.Sscan(strings.Join(summary[min(1, len(summary)):], " "), &total, &passed, &failed); err != nil {
		t.Fatalf("no summary: %v\n%s", err, out)
	}
	t.Logf("conformance suite: %d cases, %d passed, %d failed", total, passed, failed)
	if total < fewest || passed < total-mostDeadline || failed != 0 {
		t.Errorf("want at least %d, all but %d passed and none failed\n%s", fewest, mostDeadline, out)
	}
}

// goCommand runs the go command and returns what it says.
func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
