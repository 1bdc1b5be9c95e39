package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What probes ask by HTTP and what they ask of the gRPC health service agree, while all is well and
// when the disk has lost something. Whoever asks from a website's page hears it if that is allowed.
func TestProbesAgree(t *testing.T) {
	dir := t.TempDir()
	data, old, keyFile := filepath.Join(dir, "data"), filepath.Join(dir, "old"), filepath.Join(dir, "node.privkey")
	log := filepath.Join(data, "grid", "log")
	tool(t, "keygen", "--out", keyFile)
	flags := []string{"--data", data, "--listen", "127.0.0.1:0", "--cors-origin", "https://app.example"}

	server := serve(t, flags...)
	tool(t, "publish", "--key", keyFile, "storage", "--server", server.url)
	probe(t, server, http.StatusOK, "SERVING", "SERVING")
	server.kill()
	if err := copyTree(log, old); err != nil {
		t.Fatal(err)
	}
	server = serve(t, flags...)
	tool(t, "publish", "--key", keyFile, "helper", "--server", server.url)
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(log), copyTree(old, log)); err != nil {
		t.Fatal(err)
	}
	probe(t, serve(t, flags...), http.StatusServiceUnavailable, "SERVING", "NOT_SERVING")
}

// probe asks in every way whether reads and publishes are served.
func probe(t *testing.T, server *process, readyz int, reads, publishes string) {
	t.Helper()
	if status, _ := ask(t, http.MethodGet, server.url+"/healthz", ""); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	if status, body := ask(t, http.MethodGet, server.url+"/readyz", ""); status != readyz {
		t.Errorf("/readyz: %d %s, want %d", status, body, readyz)
	}
	for service, want := range map[string]string{"": reads, "introducer.v1.IntroducerService": reads, "publish": publishes} {
		status, body := ask(t, http.MethodPost, server.url+"/grpc.health.v1.Health/Check", `{"service":"`+service+`"}`)
		if status != http.StatusOK || body != `{"status":"`+want+`"}` {
			t.Errorf("health of %q: %d %s, want %s", service, status, body, want)
		}
	}
}

// ask asks as a page of https://app.example does.
func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", "https://app.example")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Access-Control-Allow-Origin"); got != "https://app.example" {
		t.Errorf("%s may be read by pages of %q", url, got)
	}
	return res.StatusCode, string(b)
}
