package web

import (
	"html/template"
	"net/url"
	"strconv"
	"time"

	"github.com/introducer/introducer/web/visible"
)

// shownEndpoints bounds the endpoints of one row: an announcement has room for thousands.
const shownEndpoints = 4

// functions are what plain.html may call.
func functions() template.FuncMap {
	return template.FuncMap{
		"text":      func(s string) string { return visible.Clip(s, 120) },
		"nickname":  func(s string) string { return visible.Clip(s, 48) },
		"endpoints": endpoints,
		"count":     count,
		"moment":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"machine":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"duration":  visible.Duration,
		"serviceURL": func(name string) string {
			return "/plain?" + url.Values{"service": {name}}.Encode() + "#peers"
		},
	}
}

// endpoints are the first few, shortened, and how many more there are.
func endpoints(all []string) []string {
	var out []string
	for i, s := range all {
		if i == shownEndpoints {
			return append(out, "and "+strconv.Itoa(len(all)-i)+" more")
		}
		out = append(out, visible.Endpoint(s))
	}
	return out
}

// count is for all the kinds of whole numbers there are on the page, none of which is below zero.
func count(n any) string {
	if n, ok := n.(int); ok {
		return visible.Count(uint64(n))
	}
	return visible.Count(n.(uint64))
}
