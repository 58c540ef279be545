package client_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestProblem(t *testing.T) {
	tests := []struct {
		name        string
		status      int
		header      map[string]string
		body        string
		code        string
		text        string // all of it
		after       time.Duration
		fieldFaults int
	}{
		{
			name: "field", status: 422, header: map[string]string{"Content-Type": "application/problem+json"}, code: "invalid", fieldFaults: 2,
			body: `{"type":"about:blank","status":422,"code":"invalid","detail":"the request has faults, and changed nothing",` +
				`"errors":[{"location":"body.rule.prefixes[0]","message":"is no prefix"},{"location":"","message":"and so on"}],"requestId":"r1"}`,
			text: "the request has faults, and changed nothing\nbody.rule.prefixes[0]: is no prefix\nand so on",
		},
		{
			name: "retry", status: 429, header: map[string]string{"Content-Type": "application/problem+json; charset=utf-8", "Retry-After": "90"},
			body: `{"code":"locked","detail":"too many"}`, code: "locked", text: "too many; try again in 1m30s", after: 90 * time.Second,
		},
		{
			name: "server's own fault", status: 500, header: map[string]string{"Content-Type": "application/problem+json", "X-Request-Id": "abc"},
			body: `{"code":"internal","detail":"an internal error"}`, code: "internal", text: "an internal error (request abc)",
		},
		{
			name: "steers the terminal", status: 409, header: map[string]string{"Content-Type": "application/problem+json"},
			body: `{"code":"x","detail":"a\u001b[2Jb","errors":[{"location":"l\u009b","message":"m\u202e\nn"}]}`, code: "x", fieldFaults: 1,
			text: `a\x1b[2Jb` + "\n" + `l\u009b: m\u202e\nn`,
		},
		{
			name: "not Sentinel", status: 502, header: map[string]string{"Content-Type": "text/html"}, body: "<html>", text: "",
		},
		{
			name: "broken JSON", status: 404, header: map[string]string{"Content-Type": "application/problem+json"}, body: `{"detail":`, text: "",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := remote(t, func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range test.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			err := c.Do(t.Context(), http.MethodGet, "/x", nil, nil)
			var p *client.Problem
			if !errors.As(err, &p) {
				t.Fatalf("got %v, want a Problem", err)
			}
			if p.Status != test.status || p.Code != test.code || p.RetryAfter != test.after || len(p.Errors) != test.fieldFaults {
				t.Errorf("got %+v", p)
			}
			if test.text == "" && !strings.Contains(err.Error(), strconv.Itoa(test.status)) || test.text != "" && err.Error() != test.text {
				t.Errorf("got %q, want %q", err, test.text)
			}
		})
	}
}

// TestServerGoesInTheMiddle ends the connection before the answer is whole, with
// and without its length announced.
func TestServerGoesInTheMiddle(t *testing.T) {
	for _, announced := range []string{"", "1000"} {
		c := remote(t, func(w http.ResponseWriter, _ *http.Request) {
			if announced != "" {
				w.Header().Set("Content-Length", announced)
			}
			_, _ = io.WriteString(w, `{"items":[`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		var out any
		if err := c.Do(t.Context(), http.MethodGet, "/x", nil, &out); !errors.As(err, new(*client.UnreachableError)) {
			t.Errorf("Do: got %v, want an UnreachableError", err)
		}
		res, err := c.Stream(t.Context(), client.Request{Path: "/x"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		if !errors.As(err, new(*client.UnreachableError)) || string(got) != `{"items":[` {
			t.Errorf("Stream: got %q and %v, want what came and an UnreachableError", got, err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnswerThatIsNotTheAPIs(t *testing.T) {
	c := remote(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	var out any
	err := c.Do(t.Context(), http.MethodGet, "/x", nil, &out)
	if err == nil || errors.As(err, new(*client.UnreachableError)) || !strings.Contains(err.Error(), "not what the admin API answers") {
		t.Errorf("got %v", err)
	}
}

func TestAnswerTimeout(t *testing.T) {
	held := make(chan struct{})
	c := remote(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin/api/long" {
			<-held
			return
		}
		<-r.Context().Done()
	}, client.Options{AnswerTimeout: 10 * time.Millisecond})
	err := c.Do(t.Context(), http.MethodGet, "/x", nil, nil)
	if !errors.As(err, new(*client.UnreachableError)) || !strings.Contains(err.Error(), "no answer within 10ms") {
		t.Errorf("got %v, want no answer within 10ms", err)
	}
	// Long work is held until a call that began after it has timed out.
	long := make(chan error, 1)
	go func() {
		long <- c.DoRequest(t.Context(), client.Request{Path: "/long", Long: true}, nil, nil)
	}()
	_ = c.Do(t.Context(), http.MethodGet, "/x", nil, nil)
	close(held)
	if err := <-long; err != nil {
		t.Errorf("long work: got %v", err)
	}
}

// TestSlowAnswerIsNotTimedOut has a body that takes longer than an answer may
// take to begin.
func TestSlowAnswerIsNotTimedOut(t *testing.T) {
	more := make(chan struct{})
	c := remote(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin/api/never" {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "a")
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, "b")
	}, client.Options{AnswerTimeout: 50 * time.Millisecond})
	res, err := c.Stream(t.Context(), client.Request{Path: "/x"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	_ = c.Do(t.Context(), http.MethodGet, "/never", nil, nil) // takes as long as an answer may
	close(more)
	if got, err := io.ReadAll(res.Body); string(got) != "ab" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestStreamsUpload has the server read each line before the next is sent.
func TestStreamsUpload(t *testing.T) {
	seen := make(chan string)
	c := remote(t, func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 16)
		for {
			n, err := r.Body.Read(b)
			if n > 0 {
				seen <- string(b[:n])
			}
			if err != nil {
				break
			}
		}
		_, _ = io.WriteString(w, `{"rows":2}`)
	})
	reader, writer := io.Pipe()
	go func() {
		for _, line := range []string{"one", "two"} {
			_, _ = io.WriteString(writer, line)
			if got := <-seen; got != line {
				t.Errorf("the server has %q, want %q", got, line)
			}
		}
		_ = writer.Close()
	}()
	item, err := c.Import(t.Context(), reader, client.ImportOptions{Format: "csv", OnConflict: "skip", DryRun: true})
	if err != nil || item.Value.Rows != 2 {
		t.Errorf("got %+v, %v", item.Value, err)
	}
}

func TestIfMatch(t *testing.T) {
	var got []string
	c := remote(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("If-Match"))
		_, _ = io.WriteString(w, "{}")
	})
	label := "x"
	for _, revision := range []uint64{7, 0} {
		if _, err := c.EditBinding(t.Context(), "ab", revision, client.BindingEdit{Label: &label}); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 2 || got[0] != `"7"` || got[1] != "" {
		t.Errorf("got %q", got)
	}
}

// pagesOf serves numbers as pages of a list, size of them at most on each, with
// an empty page in front.
func pagesOf(total, size int, limits *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*limits = append(*limits, r.URL.Query().Get("limit"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		if r.URL.Query().Get("after") == "" {
			_, _ = fmt.Fprintf(w, `{"items":[],"next":"0","total":%d}`, total)
			return
		}
		from, _ := strconv.Atoi(r.URL.Query().Get("after"))
		to := min(from+min(limit, size), total)
		var items []string
		for i := from; i < to; i++ {
			items = append(items, strconv.Itoa(i))
		}
		next := ""
		if to < total {
			next = fmt.Sprintf(`,"next":"%d"`, to)
		}
		_, _ = fmt.Fprintf(w, `{"items":[%s]%s}`, strings.Join(items, ","), next)
	}
}

func TestPages(t *testing.T) {
	for _, test := range []struct{ total, size, limit, want int }{
		{0, 10, 0, 0}, {25, 10, 0, 25}, {20, 10, 0, 20}, {25, 10, 7, 7}, {25, 10, 10, 10}, {25, 10, 12, 12}, {25, 10, 99, 25}, {2500, 1000, 0, 2500},
	} {
		var limits []string
		c := remote(t, pagesOf(test.total, test.size, &limits))
		got := 0
		for page, err := range client.Pages[int](t.Context(), c, "/x", url.Values{"a": {"b"}}, test.limit) {
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				if item.Value != got || string(item.Raw) != strconv.Itoa(got) {
					t.Fatalf("%+v: got %+v, want %d", test, item, got)
				}
				got++
			}
		}
		if got != test.want {
			t.Errorf("%+v: got %d items", test, got)
		}
		for _, limit := range limits {
			if n, err := strconv.Atoi(limit); err != nil || n < 1 || n > client.MaxPage {
				t.Errorf("%+v: asked for a page of %s", test, limit)
			}
		}
	}
}

func TestPagesEndWhereTheServerGoesInCircles(t *testing.T) {
	c := remote(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"items":[1],"next":"same"}`) })
	pages := 0
	var last error
	for _, err := range client.Pages[int](t.Context(), c, "/x", nil, 0) {
		pages, last = pages+1, err
	}
	if pages != 2 || last == nil {
		t.Errorf("got %d pages and %v, want an error with the second", pages, last)
	}
}

func TestFilterQuery(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	f := client.BindingFilter{
		Text: "t", Hint: "h…", Label: "l", Network: "10.0.0.0/8", Status: "active", Rule: "all", CreatedSince: at, CreatedBefore: at,
		UsedSince: at, UsedBefore: at, IdleSince: at, HitsBelow: 3, Returned: true, All: true,
	}
	const moment = "2026-01-02T02%3A04%3A05Z"
	want := "createdBefore=" + moment + "&createdSince=" + moment + "&hint=h%E2%80%A6&hitsBelow=3&idleSince=" + moment + "&label=l&network=10.0.0.0%2F8" +
		"&returned=true&rule=all&status=active&text=t&usedBefore=" + moment + "&usedSince=" + moment
	if got := f.Query().Encode(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if f.IsZero() || !(client.BindingFilter{All: true}).IsZero() || len((client.BindingFilter{}).Query()) != 0 {
		t.Error("only a filter that chooses something is not zero")
	}
	logs := client.LogFilter{Since: at, Until: at, Hash: "h", Network: "n", Reason: "r", Path: "/p"}
	if got, want := logs.Query().Encode(), "hash=h&network=n&path=%2Fp&reason=r&since="+moment+"&until="+moment; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "plain": "plain", "密钥 é": "密钥 é", `back\slash "quoted"`: `back\slash "quoted"`,
		"a\x1b[31mb": `a\x1b[31mb`, "two\nlines": `two\nlines`, "\u202eevil": `\u202eevil`, "\u009b2J": `\u009b2J`, "\x9b2J": `\x9b2J`,
		"\x00\"": `\x00"`,
	} {
		if got := client.Printable(s); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"plain", "\x1b]0;x\a", "密钥\u202e", "\xff\xfe", `\"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := client.Printable(s)
		if !utf8.ValidString(got) {
			t.Errorf("%q: %q is no text", s, got)
		}
		for _, r := range got {
			if !strconv.IsPrint(r) {
				t.Errorf("%q: %q has %U", s, got, r)
			}
		}
	})
}
