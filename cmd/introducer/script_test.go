package main

import (
	"crypto/sha256"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/introducer/introducer/announce"
)

var update = flag.Bool("update", false, "write what the scripts compare with anew; read the diff")

// TestScripts runs the command lines of testdata/script. Besides testscript's own commands there are
//
//	serve NAME [ARG…]      start an introducer; its URL is in $INTRODUCER_SERVER and $NAME
//	crash NAME             kill -9
//	halt NAME              SIGTERM, and wait; it must end with 0. Its stderr is in the file NAME.stderr
//	hup NAME TEXT          SIGHUP, and wait for TEXT on its stderr
//	key FILE LABEL         write a key that follows from the label
//	get [!] PATH           the body of $INTRODUCER_SERVER/PATH on stdout; "!" for an answer that is no 200
//	copytree FROM TO       copy a directory
//	steady FILE            replace in FILE what differs from run to run
//	exits CODE ARG…        run introducer with ARG…, which must end with CODE; with disk-fails, see diskFails
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			all := make(servers)
			env.Values[serversKey{}] = all
			env.Defer(func() {
				for _, p := range all {
					p.kill()
				}
			})
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":    scriptServe,
			"crash":    scriptCrash,
			"halt":     scriptHalt,
			"hup":      scriptHup,
			"key":      scriptKey,
			"get":      scriptGet,
			"copytree": scriptCopyTree,
			"steady":   scriptSteady,
			"exits":    scriptExits,
		},
	})
}

type serversKey struct{}

// servers are those of one script. :: name → its process
type servers map[string]*process

func scriptServers(ts *testscript.TestScript) servers { return ts.Value(serversKey{}).(servers) }

func scriptServer(ts *testscript.TestScript, args []string) *process {
	if len(args) == 0 || scriptServers(ts)[args[0]] == nil {
		ts.Fatalf("no such server: %v", args)
	}
	return scriptServers(ts)[args[0]]
}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve NAME [ARG…]")
	}
	// The program of these scripts is the test binary, under the name that testscript gave it.
	var path string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "introducer")); err == nil {
			path = filepath.Join(dir, "introducer")
			break
		}
	}
	rest := args[1:]
	for i, a := range rest {
		if a == "--data" {
			rest[i+1] = ts.MkAbs(rest[i+1])
		}
	}
	p, err := startServer(path, os.Environ(), append([]string{"--listen", "127.0.0.1:0"}, rest...)...)
	ts.Check(err)
	scriptServers(ts)[args[0]] = p
	ts.Setenv("INTRODUCER_SERVER", p.url)
	ts.Setenv(args[0], p.url)
}

func scriptCrash(ts *testscript.TestScript, _ bool, args []string) { scriptServer(ts, args).kill() }

func scriptHalt(ts *testscript.TestScript, _ bool, args []string) {
	p := scriptServer(ts, args)
	if err := p.stop(); err != nil {
		ts.Fatalf("stopping: %v\n%s", err, p.stderr)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".stderr"), []byte(p.stderr.String()), 0o600))
}

func scriptHup(ts *testscript.TestScript, _ bool, args []string) {
	p := scriptServer(ts, args)
	from := len(p.stderr.String())
	ts.Check(p.cmd.Process.Signal(syscall.SIGHUP))
	_, _, err := p.stderr.wait(args[1], from)
	ts.Check(err)
}

func scriptKey(ts *testscript.TestScript, _ bool, args []string) {
	key := announce.NewKeyFromSeed(sha256.Sum256([]byte(args[1])))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(key.Text()+"\n"), 0o600))
}

func scriptGet(ts *testscript.TestScript, neg bool, args []string) {
	res, err := http.Get(ts.Getenv("INTRODUCER_SERVER") + args[0])
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
	if neg == (res.StatusCode == http.StatusOK) {
		ts.Fatalf("got status %s", res.Status)
	}
}

func scriptCopyTree(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(copyTree(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
}

func scriptSteady(ts *testscript.TestScript, _ bool, args []string) {
	text, err := steady(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	program, rest := "introducer", args[1:]
	if rest[0] == "disk-fails" {
		program = rest[0]
	}
	err := ts.Exec(program, rest...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("got exit code %s, want %s", got, args[0])
	}
}
