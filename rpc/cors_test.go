package rpc_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/rpc"
)

const app = "https://app.example"

// ask sends a request as a browser does for a page of origin, and returns the answer's headers that
// browsers look at.
func (in *introducer) ask(method, path, origin string, header map[string]string, body []byte) (int, map[string]string) {
	in.t.Helper()
	req, err := http.NewRequestWithContext(in.t.Context(), method, "http://introducer.test"+path, bytes.NewReader(body))
	if err != nil {
		in.t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DialContext: in.net.DialContext}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		in.t.Fatal(err)
	}
	told := make(map[string]string)
	for name, values := range res.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			told[name] = strings.Join(values, ", ")
		}
	}
	return res.StatusCode, told
}

// browserCalls are the RPCs of a page, by protocol, with the headers that clients in browsers send.
var browserCalls = []struct {
	name, method, path string
	header             map[string]string
	body               string
}{
	{"connect", "POST", "/introducer.v1.IntroducerService/GetPeers",
		map[string]string{"Content-Type": "application/json", "Connect-Protocol-Version": "1", "Connect-Timeout-Ms": "5000"}, `{"service":"storage"}`},
	{"connect get", "GET", "/introducer.v1.IntroducerService/GetPeers?connect=v1&encoding=json&message=%7B%22service%22%3A%22storage%22%7D",
		map[string]string{"Connect-Timeout-Ms": "5000"}, ""},
	{"connect stream", "POST", "/introducer.v1.IntroducerService/StreamPermutedPeers",
		map[string]string{"Content-Type": "application/connect+proto", "Connect-Protocol-Version": "1"}, "\x00\x00\x00\x00\x0c\x0a\x07storage\x12\x01x"},
	{"grpc-web", "POST", "/introducer.v1.IntroducerService/GetPeers",
		map[string]string{"Content-Type": "application/grpc-web+proto", "Grpc-Timeout": "5000m", "X-Grpc-Web": "1", "X-User-Agent": "grpc-web"}, "\x00\x00\x00\x00\x09\x0a\x07storage"},
}

// A page of a listed origin may call over each protocol that browsers speak: both what the browser
// asks before, and the call.
func TestCORS(t *testing.T) {
	listed := start(t, settings{server: rpc.ServerOptions{Origins: []string{"http://localhost:8080", app}}})
	every := start(t, settings{server: rpc.ServerOptions{Origins: []string{rpc.AnyOrigin}}})
	none := start(t, settings{})
	for _, c := range browserCalls {
		var names []string
		for name := range c.header {
			names = append(names, strings.ToLower(name))
		}
		slices.Sort(names)
		preflight := map[string]string{"Access-Control-Request-Method": c.method, "Access-Control-Request-Headers": strings.Join(names, ",")}
		allowed := map[string]string{
			"Access-Control-Allow-Methods": c.method,
			"Access-Control-Allow-Headers": strings.Join(names, ","),
			"Access-Control-Max-Age":       "7200",
		}
		exposed := map[string]string{"Access-Control-Expose-Headers": "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"}
		for _, test := range []struct {
			name, origin string
			in           *introducer
			allow        string // the origin in the answer; "": none
		}{
			{"listed", app, listed, app},
			{"listed too", "http://localhost:8080", listed, "http://localhost:8080"},
			{"a stranger", "https://evil.example", listed, ""},
			{"of another scheme", "http://app.example", listed, ""},
			{"of another port", "https://app.example:8443", listed, ""},
			{"that begins as a listed one", "https://app.example.evil.example", listed, ""},
			{"of a file", "null", listed, ""},
			{"anyone", "https://evil.example", every, "*"},
			{"anyone, where there is none", app, none, ""},
		} {
			wantBefore, wantThen := map[string]string{}, map[string]string{}
			if test.allow != "" {
				wantBefore, wantThen = clone(allowed), clone(exposed)
				wantBefore["Access-Control-Allow-Origin"] = test.allow
				wantThen["Access-Control-Allow-Origin"] = test.allow
			}
			_, before := test.in.ask(http.MethodOptions, c.path, test.origin, preflight, nil)
			if diff := cmp.Diff(before, wantBefore); diff != "" {
				t.Errorf("%s: %s: the preflight's answer (-got +want):\n%s", c.name, test.name, diff)
			}
			// The call itself is served to everyone: it is the browser that keeps the answer from a page.
			status, then := test.in.ask(c.method, c.path, test.origin, c.header, []byte(c.body))
			if diff := cmp.Diff(then, wantThen); status != http.StatusOK || diff != "" {
				t.Errorf("%s: %s: status %d (-got +want):\n%s", c.name, test.name, status, diff)
			}
		}
	}
}

func clone(m map[string]string) map[string]string {
	c := make(map[string]string)
	for k, v := range m {
		c[k] = v
	}
	return c
}

// What no client of ours sends is not allowed to listed pages either.
func TestCORSAllowsNoMore(t *testing.T) {
	in := start(t, settings{server: rpc.ServerOptions{Origins: []string{app}}})
	for _, header := range []map[string]string{
		{"Access-Control-Request-Method": "DELETE"},
		{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"},
	} {
		_, got := in.ask(http.MethodOptions, browserCalls[0].path, app, header, nil)
		if diff := cmp.Diff(got, map[string]string{}); diff != "" {
			t.Errorf("%v (-got +want):\n%s", header, diff)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	const form = "must be an origin, such as https://app.example or http://localhost:8080, without a path, or * for every one"
	for origin, want := range map[string]string{
		"*":                           "",
		"https://app.example":         "",
		"http://localhost:8080":       "",
		"http://[::1]:8080":           "",
		"chrome-extension://abcdef":   "",
		"":                            form,
		"app.example":                 form,
		"https://":                    form,
		"https://:8080":               form,
		"https://app.example/":        form,
		"https://app.example/path":    form,
		"https://app.example?x":       form,
		"https://user@app.example":    form,
		"https://*.app.example":       form,
		"null":                        form,
		"https://app.example:443":     "browsers leave :443 out of an origin of this scheme; leave it out too",
		"http://app.example:80":       "browsers leave :80 out of an origin of this scheme; leave it out too",
		"https://app.example:x":       `invalid port ":x" after host`,
		"https://app.example, https:": `invalid character " " in host name`,
	} {
		var got string
		if err := rpc.CheckOrigin(origin); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", origin, got, want)
		}
	}
}
