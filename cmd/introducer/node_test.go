package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startSidecar starts a node with a configuration, and waits until it is ready.
func startSidecar(t *testing.T, config string, args ...string) *process {
	t.Helper()
	p, err := startProcess(binary(t), os.Environ(), append([]string{"node", "--config", config, "--log-format", "text"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	if _, _, err := p.stdout.wait(`node ready.*\n|"event":"ready".*\n`, 0); err != nil {
		t.Fatalf("%v\nstderr:\n%s", err, p.stderr)
	}
	return p
}

// The life of a storage server's node, as its operator sees it.
func TestNode(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	tool(t, "keygen", "--out", filepath.Join(dir, "node.privkey"))
	config := filepath.Join(dir, "node.toml")
	write := func(text string) {
		t.Helper()
		text = fmt.Sprintf("nickname = \"alder\"\nkey = \"node.privkey\"\nintroducers = [%q]\n%s", server.url, text)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	storage := "wants = [\"upload_storage\"]\nlisten = \":0\"\n[storage]\nenabled = true\nfurl = \"pb://swissnum@192.0.2.7:3456/\"\n"
	write(storage)
	n := startSidecar(t, config, "--withdraw-on-exit", "--log-level", "debug")
	ready, seen, err := n.stdout.wait(`node ready, peer id (v0-[a-z2-7]{52}), lookups at (http://127\.0\.0\.1:\d+)\n`, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`\+ upload_storage  ` + ready[1] + `  alder  seqnum 1  pb://192\.0\.2\.7:3456\n`,
		`= 1 peer of upload_storage; 1 of 1 introducer answering; download_storage announced at 1 of 1; upload_storage announced at 1 of 1\n`,
	} {
		if _, seen, err = n.stdout.wait(want, seen); err != nil {
			t.Fatal(err)
		}
	}

	// It answers lookups as the introducer does.
	for _, args := range [][]string{
		{"peers", "upload_storage", "-o", "json"},
		{"permute", "upload_storage", demoStorageIndex, "-o", "json"},
	} {
		own := regexp.MustCompile(`"revision":\d+,|"(first_seen|announced)":"[^"]*",`)
		from := func(url string) string { return own.ReplaceAllString(tool(t, append(args, "--server", url)...), "") }
		if got, want := from(ready[2]), from(server.url); got != want {
			t.Errorf("%v of the node:\n%sof the introducer:\n%s", args, got, want)
		}
	}

	// A configuration that is wrong changes nothing.
	hangUp := func(want string) {
		t.Helper()
		from := len(n.stderr.String())
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if _, _, err := n.stderr.wait(want, from); err != nil {
			t.Fatal(err)
		}
	}
	write(storage + "frul = \"pb://swissnum\"\n")
	hangUp(`level=ERROR msg="reading the configuration again: the old one stays" err=.*storage\.frul: unknown key`)
	if got := tool(t, "peers", "upload_storage", "--server", server.url); !strings.Contains(got, "alder") {
		t.Errorf("after a wrong configuration:\n%s", got)
	}
	write(storage + "read-only = true\n")
	hangUp("read the configuration again")
	if _, seen, err = n.stdout.wait(`- upload_storage  `+ready[1]+`  alder\n`, seen); err != nil {
		t.Fatal(err)
	}
	if _, _, err = n.stdout.wait(`download_storage announced at 1 of 1; upload_storage withdrawn at 1 of 1\n`, seen); err != nil {
		t.Fatal(err)
	}

	if err := n.stop(); err != nil {
		t.Errorf("stopping: %v\n%s", err, n.stderr)
	}
	if got := tool(t, "peers", "download_storage", "--server", server.url); !strings.Contains(got, "No peers offer download_storage") {
		t.Errorf("with --withdraw-on-exit there is still\n%s", got)
	}
	if text := n.stdout.String() + n.stderr.String(); strings.Contains(text, "swissnum") || strings.Contains(text, "priv-v0") {
		t.Errorf("a secret was shown:\n%s", text)
	}
}

// Without --withdraw-on-exit the announcements outlive the node; with it, and nobody to tell, it gives up.
func TestNodeEnds(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	tool(t, "keygen", "--out", filepath.Join(dir, "node.privkey"))
	config := filepath.Join(dir, "node.toml")
	text := fmt.Sprintf("key = \"node.privkey\"\nintroducers = [%q]\n[[offer]]\nservice = \"helper\"\nfurl = \"pb://x\"\n", server.url)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startSidecar(t, config, "-o", "json")
	if _, _, err := n.stdout.wait(`"event":"state","synced":true,"peers":0,.*"own":\[{"service":"helper","seqnum":1,"accepted":\["http://[^"]*"\]}\]`, 0); err != nil {
		t.Fatal(err)
	}
	if err := n.stop(); err != nil {
		t.Errorf("stopping: %v\n%s", err, n.stderr)
	}
	if got := tool(t, "services", "--server", server.url); !strings.Contains(got, "helper") {
		t.Errorf("the announcement is gone:\n%s", got)
	}

	server.kill()
	n = startSidecar(t, config, "--withdraw-on-exit", "--withdraw-timeout", "100ms")
	if got := exitCode(n.stop()); got != exitUnreachable || !strings.Contains(n.stderr.String(), "not every announcement could be withdrawn within 100ms (--withdraw-timeout)") {
		t.Errorf("nobody to tell: got exit code %d and\n%s", got, n.stderr)
	}
}

// A program that reads no more of what the node shows does not keep it from withdrawing and ending.
func TestNodeUnread(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	tool(t, "keygen", "--out", filepath.Join(dir, "node.privkey"))
	config := filepath.Join(dir, "node.toml")
	text := fmt.Sprintf("key = \"node.privkey\"\nintroducers = [%q]\n[[offer]]\nservice = \"helper\"\nfurl = \"pb://x\"\n", server.url)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for n := 1; n > 0; { // until it is full
		if err := w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, _ = w.Write(make([]byte, 1<<20))
	}
	stderr := newOutput()
	cmd := exec.Command(binary(t), "node", "--config", config, "--withdraw-on-exit", "--log-format", "text")
	cmd.Stdout, cmd.Stderr = w, stderr
	p := &process{cmd: cmd, stdout: newOutput(), stderr: stderr, ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); p.err = cmd.Wait() }()
	t.Cleanup(p.kill)
	offered := func() bool { return !strings.Contains(tool(t, "peers", "helper", "--server", server.url), "No peers") }
	for deadline := time.Now().Add(patience); !offered(); {
		if time.Now().After(deadline) {
			t.Fatalf("it announces nothing; stderr:\n%s", stderr)
		}
	}
	if err := p.stop(); err != nil {
		t.Errorf("stopping: %v\n%s", err, stderr)
	}
	if offered() {
		t.Errorf("it ended without withdrawing; stderr:\n%s", stderr)
	}
}

// Two nodes cannot share a state directory; the second says so.
func TestNodeTwice(t *testing.T) {
	config := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(config, []byte("introducers = [\"http://127.0.0.1:1\"]\nwants = [\"storage\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	startSidecar(t, config)
	_, stderr, code := runTool("", "node", "--config", config)
	if code != exitFailed || !strings.Contains(stderr, "node.state") {
		t.Errorf("got exit code %d and %q", code, stderr)
	}
}
