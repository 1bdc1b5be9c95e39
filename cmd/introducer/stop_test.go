package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A stop in order tells subscribers, who come back to the next introducer and miss nothing.
func TestDrain(t *testing.T) {
	dir := t.TempDir()
	data, keyFile := filepath.Join(dir, "data"), filepath.Join(dir, "node.privkey")
	server := serve(t, "--data", data, "--listen", "127.0.0.1:0")
	tool(t, "keygen", "--out", keyFile)
	tool(t, "publish", "--key", keyFile, "storage", "--server", server.url)
	watch, err := startProcess(binary(t), os.Environ(), "subscribe", "storage", "--server", server.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.kill)
	if _, _, err := watch.stdout.wait(`= synced at revision 1, 1 peer\n`, 0); err != nil {
		t.Fatal(err)
	}
	listen := address(server)
	if err := server.stop(); err != nil {
		t.Fatalf("stopping: %v\n%s", err, server.stderr)
	}
	if text := server.stderr.String(); !strings.Contains(text, "msg=stopping") || !strings.Contains(text, "msg=stopped") || strings.Contains(text, "did not end in time") {
		t.Errorf("it did not stop in order:\n%s", text)
	}
	_, seen, err := watch.stdout.wait(`= the introducer is about to stop; back in \S+\n! disconnected: .*\n`, 0)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, "--data", data, "--listen", listen)
	if _, _, err = watch.stdout.wait(`= resumed at revision 1, 1 peer held\n= synced at revision 1, 1 peer\n`, seen); err != nil {
		t.Fatal(err)
	}
	if err := watch.stop(); err != nil {
		t.Errorf("the subscriber ended with %v after SIGTERM, want in order\n%s", err, watch.stderr)
	}
}

// A second signal does not wait for whoever holds up the first.
func TestSecondSignal(t *testing.T) {
	server := serve(t, "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--drain-timeout", "1h")
	// A call whose request never ends.
	conn, err := net.Dial("tcp", address(server))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /introducer.v1.IntroducerService/GetInfo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	// The server asks for the body, so it is in the midst of the call.
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("got %q, %v, want 100 Continue", line, err)
	}
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.stderr.wait("msg=stopping ", 0); err != nil {
		t.Fatal(err)
	}
	// Those that come right behind the first count as the same, so it takes some more.
	again := time.NewTicker(sameSignal / 4)
	defer again.Stop()
	for running := true; running; {
		select {
		case <-server.ended:
			running = false
		case <-again.C:
			server.cmd.Process.Signal(syscall.SIGINT) // an error says that it ended
		}
	}
	if got := exitCode(server.wait()); got != exitFailed {
		t.Errorf("got exit code %d, want %d\n%s", got, exitFailed, server.stderr)
	}
	if text := server.stderr.String(); !strings.Contains(text, `msg="stopping at once"`) {
		t.Errorf("it does not say so:\n%s", text)
	}
}

// One that never reads is cut off when its time is up, and the stores are closed in order.
func TestDrainTimeout(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	server := serve(t, "--data", data, "--listen", "127.0.0.1:0", "--drain-timeout", "1ms")
	conn, err := net.Dial("tcp", address(server))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /introducer.v1.IntroducerService/GetInfo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("got %q, %v, want 100 Continue", line, err)
	}
	if err := server.stop(); err != nil {
		t.Errorf("stopping: %v\n%s", err, server.stderr)
	}
	if text := server.stderr.String(); !strings.Contains(text, "did not end in time") || !strings.Contains(text, "msg=stopped") {
		t.Errorf("it did not cut the call off and stop:\n%s", text)
	}
}
