package main

// The tests of this command lie in its own package: no other can import it.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"introducer": main, "disk-fails": diskFails})
}

// diskFails is a program that does what serve does when a sync fails.
func diskFails() {
	logger, err := newLogger(os.Stderr, "info", "text")
	if err != nil {
		panic(err)
	}
	(&daemon{logger: logger}).fatal(errors.New("no sync"))
}

// patience bounds every wait of these tests. Nothing takes nearly so long, except on a machine that
// is busy with something else.
const patience = 60 * time.Second

// process is a running introducer.
type process struct {
	cmd            *exec.Cmd
	url            string // where it answers
	ready          string // what it said when it was ready
	stdout, stderr *output
	ended          chan struct{} // closed when it ended
	err            error         // of Wait, once ended
}

// output is what a process writes; others wait for something in it.
type output struct {
	mu     sync.Mutex
	text   bytes.Buffer
	closed bool
	more   *sync.Cond
}

func newOutput() *output {
	o := new(output)
	o.more = sync.NewCond(&o.mu)
	return o
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.more.Broadcast()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.more.Broadcast()
}

// wait waits until the output, from byte from on, matches, and returns the match and where it ends.
func (o *output) wait(pattern string, from int) ([]string, int, error) {
	re := regexp.MustCompile(pattern)
	late := false
	alarm := time.AfterFunc(patience, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		late = true
		o.more.Broadcast()
	})
	defer alarm.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		text := o.text.String()
		if at := re.FindStringSubmatchIndex(text[from:]); at != nil {
			return re.FindStringSubmatch(text[from:]), from + at[1], nil
		}
		if o.closed || late {
			return nil, 0, fmt.Errorf("waited in vain for %q in:\n%s", pattern, text[from:])
		}
		o.more.Wait()
	}
}

// startProcess starts a program and does not wait for anything.
func startProcess(program string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		p.stdout.close()
		p.stderr.close()
		close(p.ended)
	}()
	return p, nil
}

// startServer starts an introducer and waits until it is ready.
func startServer(program string, env []string, args ...string) (*process, error) {
	p, err := startProcess(program, env, append([]string{"serve", "--log-format", "text"}, args...)...)
	if err != nil {
		return nil, err
	}
	match, _, err := p.stdout.wait(`introducer ready at (\S+): .*\n`, 0)
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("%w\nstderr:\n%s", err, p.stderr)
	}
	p.ready, p.url = match[0], match[1]
	return p, nil
}

// kill is kill -9, and waits for the end.
func (p *process) kill() {
	p.cmd.Process.Kill() // an error says that it ended by itself
	<-p.ended
}

// stop asks it to stop in order, and returns how it ended.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.wait()
}

func (p *process) wait() error {
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("it did not end within %v; stderr:\n%s", patience, p.stderr)
	}
}

// exitCode is how a process ended.
func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// binary builds the program as `make build` does, once, and returns its path.
func binary(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var built = sync.OnceValues(func() (string, error) {
	// Beside the test binary, which the go tool removes with its directory.
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), "introducer-under-test")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w\n%s", err, text)
	}
	return path, nil
})

// serve starts the built program as a server that ends with the test.
func serve(t *testing.T, args ...string) *process {
	t.Helper()
	p, err := startServer(binary(t), os.Environ(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// tool runs a command line of the program in this process and returns what it says.
func tool(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := runTool("", args...)
	if code != exitOK {
		t.Fatalf("introducer %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

func runTool(stdin string, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	code = a.main(args)
	return out.String(), errs.String(), code
}

// copyTree copies a directory and what is in it.
func copyTree(from, to string) error {
	return os.CopyFS(to, os.DirFS(from))
}

// steady replaces what differs from run to run.
func steady(r io.Reader) (string, error) {
	var out strings.Builder
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		text := lines.Text()
		for _, c := range steadied {
			text = c.pattern.ReplaceAllString(text, c.with)
		}
		out.WriteString(text + "\n")
	}
	return out.String(), lines.Err()
}

var steadied = [...]struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "SERVER"},
	{regexp.MustCompile(`"log_id":"[0-9a-f]{32}"`), `"log_id":"LOG"`},
	{regexp.MustCompile(`"(\w+_seconds)":[0-9.e-]+`), `"$1":SECONDS`},
	{regexp.MustCompile(`"bytes":\d+`), `"bytes":BYTES`},
	{regexp.MustCompile(`"version":"[^"]*"`), `"version":"VERSION"`},
}
