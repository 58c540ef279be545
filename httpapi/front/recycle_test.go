package front

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// TestRecycle has requests of one connection made of what the last one was made of, where
// the handler allows it, and only there: each says what its client has sent, and one that
// is held goes on saying it.
func TestRecycle(t *testing.T) {
	type said struct {
		uri, path, query, host, body string
		header                       http.Header
	}
	long := "/" + strings.Repeat("l", maxKeptTarget)
	text := request("GET", "/v1/models?a=1", "Authorization: Bearer one", "X-First: 1", "X-Twice: 1", "X-Twice: 2", "Pragma: no-cache") +
		request("POST", "/v1/chat", "Authorization: Bearer two", "Content-Length: 5", "BODY hello") +
		request("POST", "/v1/chat", "X-Api-Key: three", "Content-Length: 3", "BODY bye") +
		request("GET", long) + request("GET", long, "X-Last: 1") + request("GET", "/v1/models?a=1")
	want := []said{
		{"/v1/models?a=1", "/v1/models", "a=1", "example.test", "", http.Header{
			"Authorization": {"Bearer one"}, "X-First": {"1"}, "X-Twice": {"1", "2"}, "Pragma": {"no-cache"}, "Cache-Control": {"no-cache"},
		}},
		{"/v1/chat", "/v1/chat", "", "example.test", "hello", http.Header{"Authorization": {"Bearer two"}, "Content-Length": {"5"}}},
		{"/v1/chat", "/v1/chat", "", "example.test", "bye", http.Header{"X-Api-Key": {"three"}, "Content-Length": {"3"}}},
		{long, long, "", "example.test", "", http.Header{}},
		{long, long, "", "example.test", "", http.Header{"X-Last": {"1"}}},
		{"/v1/models?a=1", "/v1/models", "a=1", "example.test", "", http.Header{}},
	}
	for name, recycles := range map[string]bool{"recycled": true, "held": false} {
		t.Run(name, func(t *testing.T) {
			var now []said
			var held []*http.Request
			describe := func(r *http.Request) said {
				return said{uri: r.RequestURI, path: r.URL.Path, query: r.URL.RawQuery, host: r.Host, header: r.Header.Clone()}
			}
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				is := describe(r)
				body, _ := io.ReadAll(r.Body)
				is.body = string(body)
				now, held = append(now, is), append(held, r)
				r.Header["X-Added"] = []string{"here"}
				r.URL.Path = "/changed"
				if recycles {
					w.(interface{ Recycle() }).Recycle()
				}
			}))
			s.answers(t, text, 1<<20, "GET", "POST", "POST", "GET", "GET", "GET")
			if !reflect.DeepEqual(now, want) {
				t.Errorf("got\n%q, want\n%q", now, want)
			}
			for i, r := range held {
				if recycles {
					if r != held[0] {
						t.Errorf("request %d is made of new memory", i)
					}
					continue
				}
				is := describe(r)
				is.body, is.path = want[i].body, want[i].path
				delete(is.header, "X-Added")
				if !reflect.DeepEqual(is, want[i]) {
					t.Errorf("request %d, which is held, has become %q, want %q", i, is, want[i])
				}
			}
		})
	}
}
