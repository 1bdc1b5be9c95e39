package conformance

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/introducer/introducer/announce"
)

// block is code in a document: what stands behind the fence's backquotes, and the code.
type block struct{ kind, code string }

// fenced are the fenced blocks of a document of the repository, in order.
func fenced(t *testing.T, path string) (all []block) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```([a-z ]+)\n(.*?)^```$").FindAllStringSubmatch(document(t, path), -1) {
		all = append(all, block{m[1], m[2]})
	}
	return all
}

func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// reader is someone who does what the documents say, at an introducer with some peers.
type reader struct {
	t    *testing.T
	in   *introducer
	dir  string // has api, as a clone does
	path string // for commands
}

func newReader(t *testing.T) *reader {
	t.Helper()
	for _, program := range []string{"sh", "curl", "perl"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") != "true" {
			t.Skipf("what the documents say needs it: %v", err)
		}
	}
	r := &reader{t: t, in: start(t), dir: t.TempDir()}
	for _, s := range []announce.Service{"upload_storage", "download_storage"} {
		r.in.put(s, "alder", "birch", "cedar", "dogwood")
	}
	api, err := filepath.Abs("../api")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	grpcurl := strings.TrimSpace(goCommand(t, "tool", "-n", "grpcurl"))
	for link, target := range map[string]string{filepath.Join(r.dir, "api"): api, filepath.Join(bin, "grpcurl"): grpcurl} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	r.path = bin + string(os.PathListSeparator) + os.Getenv("PATH")
	return r
}

// here is code with the introducer's address in place of the default one.
func (r *reader) here(code string) string {
	return strings.ReplaceAll(code, "127.0.0.1:7271", r.in.addr)
}

// run runs a command until it ends, which must be well, or until it has said last, unless that is "".
// It returns what it said on stdout.
func (r *reader) run(last, name string, args ...string) string {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "PATH="+r.path, "PYTHONPATH="+filepath.Join(r.dir, "generated")+":"+os.Getenv("PYTHONPATH"))
	cmd.Stderr = r.t.Output()
	// All of a pipeline ends, not only the shell that began it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	var said strings.Builder
	enough := false
	for lines := bufio.NewScanner(stdout); !enough && lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		enough = last != "" && strings.Contains(lines.Text(), last)
	}
	if enough {
		cancel()
	}
	if err := cmd.Wait(); (err != nil || last != "") && !enough {
		r.t.Errorf("%v\n%s\nsaid\n%s", err, strings.Join(cmd.Args, " "), said.String())
	}
	return said.String()
}

// sh runs lines for a shell, and checks that no call among them failed.
func (r *reader) sh(code string) string {
	r.t.Helper()
	last := ""
	if strings.Contains(code, "$url/Subscribe") {
		last = `{"synced":`
	}
	said := r.run(last, "sh", "-e", "-c", r.here(code))
	if said == "" || strings.Contains(said, `"code":`) || strings.Contains(said, `"error":`) {
		r.t.Errorf("%s\nsaid\n%s", code, said)
	}
	return said
}

func (r *reader) wants(said string, all ...string) {
	r.t.Helper()
	for _, want := range all {
		if !strings.Contains(said, want) {
			r.t.Errorf("no %q in\n%s", want, said)
		}
	}
}

// The curl and grpcurl lines of docs/clients.md do what it says.
func TestShellInDocs(t *testing.T) {
	r := newReader(t)
	var said strings.Builder
	for _, b := range fenced(t, "docs/clients.md") {
		if b.kind == "sh" {
			said.WriteString(r.sh(b.code))
		}
	}
	r.wants(said.String(),
		`"version":"1.2.3"`,                       // GetInfo
		`"nickname":"alder"`,                      // GetPeers
		`"permutedId":"`,                          // GetPermutedPeers
		`{"records":[{"revision":"1"`,             // ReadLog
		"\n{}\n",                                  // and its end
		`{"reset":{"reason":"RESET_REASON_NEW"}}`, // Subscribe
		"introducer.v1.IntroducerService.GetPermutedPeers\n",
		`"permutedId": "`, // StreamPermutedPeers
		`"status": "SERVING"`)
}

// So do the README's curl lines.
func TestCurlInReadme(t *testing.T) {
	r := newReader(t)
	lines := regexp.MustCompile(`(?m)^    curl (?:.*\\\n)*.*\n`).FindAllString(document(t, "README.md"), -1)
	if len(lines) < 2 {
		t.Fatalf("%d curl lines", len(lines))
	}
	for _, line := range lines {
		r.sh(line)
	}
}

// The Go program in docs/clients.md compiles and finds peers.
func TestGoInDocs(t *testing.T) {
	r := newReader(t)
	for _, b := range fenced(t, "docs/clients.md") {
		if b.kind != "go" {
			continue
		}
		file := filepath.Join(r.dir, "main.go")
		if err := os.WriteFile(file, []byte(r.here(b.code)), 0o600); err != nil {
			t.Fatal(err)
		}
		said := goCommand(t, "run", "-tags=pebblegozstd", file)
		if n := strings.Count(said, "\n"); n != 3 {
			t.Errorf("%d peers, want 3:\n%s", n, said)
		}
		r.wants(said, "v0-", ".test]")
		return
	}
	t.Error("there is none")
}

// The TypeScript program, with this repository's libraries: what npm would install is not pinned.
func TestTypeScriptInDocs(t *testing.T) {
	r := newReader(t)
	modules := filepath.Join(r.dir, "node_modules")
	links := map[string]string{
		".bin/buf":           "tools/node_modules/.bin/buf",
		".bin/protoc-gen-es": "web/client/node_modules/.bin/protoc-gen-es",
		"@bufbuild":          "web/client/node_modules/@bufbuild",
		"@connectrpc":        "web/client/node_modules/@connectrpc",
	}
	if err := os.MkdirAll(filepath.Join(modules, ".bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range links {
		target, err := filepath.Abs(filepath.Join("..", target))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(target); err != nil && os.Getenv("CI") != "true" {
			t.Skipf("make generate has not run: %v", err)
		}
		if err := os.Symlink(target, filepath.Join(modules, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(r.dir, "package.json"), []byte(`{"type": "module"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, b := range fenced(t, "docs/clients.md") {
		switch b.kind {
		case "sh typescript":
			r.run("", "sh", "-e", "-c", regexp.MustCompile(`(?m)^npm install .*\n`).ReplaceAllString(b.code, ""))
		case "ts":
			// It has no types of its own, so that Node.js runs it as it is.
			said := r.run("", "node", "--input-type=module", "--eval", r.here(b.code))
			if n := strings.Count(said, ".test' ]\n"); n != 3 {
				t.Errorf("%d permuted peers, want 3:\n%s", n, said)
			}
			r.wants(said, "4 changes\n")
			return
		}
	}
	t.Error("there is none")
}

// The Python program, where there is what it needs.
func TestPythonInDocs(t *testing.T) {
	r := newReader(t)
	// Debian's packages are for Debian's own python3, which need not be the first.
	has := func() error {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "python3 -c 'import grpc, grpc_tools.protoc'")
		cmd.Env = append(os.Environ(), "PATH="+r.path)
		return cmd.Run()
	}
	if has() != nil {
		r.path = "/usr/bin:" + r.path
		if err := has(); err != nil && os.Getenv("CI") != "true" {
			t.Skipf("Python's gRPC is not there (python3-grpcio and python3-grpc-tools, or grpcio-tools): %v", err)
		}
	}
	for _, b := range fenced(t, "docs/clients.md") {
		switch b.kind {
		case "sh python":
			r.run("", "sh", "-e", "-c", b.code)
		case "python":
			said := r.run("", "sh", "-c", `exec python3 -c "$0"`, r.here(b.code))
			if n := strings.Count(said, ".test']\n"); n != 3 {
				t.Errorf("%d permuted peers, want 3:\n%s", n, said)
			}
			r.wants(said, "\n4 peers at revision ")
			return
		}
	}
	t.Error("there is none")
}
