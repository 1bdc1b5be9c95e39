package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func TestServerURL(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:7271": "http://127.0.0.1:7271", "http://example.net/": "http://example.net",
		"https://example.net:8443/grid/": "https://example.net:8443/grid", "[::1]:7271": "http://[::1]:7271",
	} {
		c, err := newConnection(in, time.Second)
		if err != nil || c.url != want {
			t.Errorf("of %q: got %v, %v, want %s", in, c, err, want)
		}
	}
}

// Whatever is in a string, JSON shows it in characters that print, and means the same.
func TestJSONIsVisible(t *testing.T) {
	for _, s := range []string{"node", "Zürich 東京", "\u202eolleh", "\x7f\u009b2J", "\U000e0041", "<&>\u2028", "\x00\n"} {
		var out bytes.Buffer
		if err := (&printer{w: &out, json: true}).object(s); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\u202e\x7f\u009b\U000e0041\u2028") {
			t.Errorf("of %q: got %q", s, out.String())
		}
		var back string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back != s {
			t.Errorf("of %q: read back as %q, %v", s, back, err)
		}
	}
}

// A fault of ours is one line for who sees it.
func TestPanicIsToldInALine(t *testing.T) {
	var stderr bytes.Buffer
	a := &app{stdout: panicky{}, stderr: &stderr, getenv: os.Getenv}
	if got := a.main([]string{"version"}); got != exitFailed {
		t.Errorf("got exit code %d, want %d", got, exitFailed)
	}
	want := "introducer: internal error: planted\nPlease report this with the command line that led to it.\n"
	if diff := cmp.Diff(want, stderr.String()); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
}

type panicky struct{}

func (panicky) Write([]byte) (int, error) { panic("planted") }

// Every command says in a line what it is for, and every example in the help is one that is understood.
func TestHelp(t *testing.T) {
	a := &app{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer), getenv: func(string) string { return "" }}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s: no short help", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			for _, part := range strings.Split(line, " | ") {
				part, _, _ = strings.Cut(part, " > ") // the shell's
				words := strings.Fields(part)
				if len(words) == 0 || words[0] != "introducer" {
					continue
				}
				found, rest, err := a.root().Find(words[1:])
				if err == nil {
					err = found.ParseFlags(rest)
				}
				if err == nil && found.Args != nil {
					err = found.Args(found, found.Flags().Args())
				}
				if err != nil {
					t.Errorf("%s: the example %q: %v", c.CommandPath(), strings.TrimSpace(line), err)
				}
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(a.root())
}

// The sample grid publishes itself over the wire, and a second run finds all of it there.
func TestDemo(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for _, known := range []string{"0", "22"} {
		demo, err := startProcess(binary(t), os.Environ(), "demo", "--data", data, "--listen", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(demo.kill)
		match, _, err := demo.stdout.wait(`(?s)ready at (\S+):.*A sample grid of 12 nodes made 22 announcements; `+known+
			` were known from before\..*\n1  [0-9a-f]{40}  \w+.*\n5  [0-9a-f]{40}  .*In a browser:  (\S+)/\n.*kill -9 \d+ .*\nCtrl-C`, 0)
		if err != nil {
			t.Fatalf("%v\n%s", err, demo.stderr)
		}
		if match[1] != match[2] {
			t.Errorf("it is at %s, and says %s", match[1], match[2])
		}
		got := tool(t, "services", "-o", "json", "--server", match[1])
		want := `{"service":"download_storage","peers":11,"subscribers":0}
{"service":"helper","peers":1,"subscribers":0}
{"service":"upload_storage","peers":10,"subscribers":0}
`
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("services (-want +got):\n%s", diff)
		}
		if err := demo.stop(); err != nil {
			t.Errorf("stopping: %v\n%s", err, demo.stderr)
		}
	}
}

// What the demo shows is typed by people: each line has to do what it says.
func TestDemoCommands(t *testing.T) {
	dir := t.TempDir()
	path := binary(t)
	demo, err := startProcess(path, os.Environ(), "demo", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(demo.kill)
	match, _, err := demo.stdout.wait(`(?s)In a second terminal:\n\n(.*)\nAnd in a third`, 0)
	if err != nil {
		t.Fatalf("%v\n%s", err, demo.stderr)
	}
	var server string
	for line := range strings.Lines(match[1]) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		words := strings.Fields(line)
		if words[0] == "export" {
			server = words[1]
			continue
		}
		if words[1] == "subscribe" {
			words = append(words, "--once") // or it watches for ever
		}
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), server)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, text)
		}
	}
}

// Certificates are renewed by SIGHUP, and one that cannot be read leaves the old one in place.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, certFile, keyFile, 1)
	server := serve(t, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--tls-cert", certFile, "--tls-key", keyFile)
	if !strings.HasPrefix(server.url, "https://127.0.0.1:") {
		t.Fatalf("it is at %s", server.url)
	}
	// The tools take the system's authorities; SSL_CERT_FILE names this one.
	cmd := exec.Command(binary(t), "info", "--server", server.url)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+certFile)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("info over TLS: %v\n%s", err, text)
	}
	if _, stderr, code := runTool("", "info", "--server", server.url); code != exitUnreachable || !strings.Contains(stderr, "certificate") {
		t.Errorf("without the authority: got exit code %d and %q", code, stderr)
	}
	serial := func() int64 {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(server.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	hup := func(want string) {
		from := len(server.stderr.String())
		if err := server.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if _, _, err := server.stderr.wait(want, from); err != nil {
			t.Fatal(err)
		}
	}
	if got := serial(); got != 1 {
		t.Errorf("got serial %d, want 1", got)
	}
	writeCertificate(t, certFile, keyFile, 2)
	hup("read the files again")
	if got := serial(); got != 2 {
		t.Errorf("after SIGHUP: got serial %d, want 2", got)
	}
	if err := os.WriteFile(certFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	hup("the old one stays")
	if got := serial(); got != 2 {
		t.Errorf("after a bad file: got serial %d, want 2", got)
	}
}

func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
