package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Requests hidden in requests. Whatever the server takes for a request is judged
// for itself; what it does not is never sent on as one.
func TestAttackSmuggling(t *testing.T) {
	s, d := attacked(t, setup{})
	hidden := "GET /v1/hidden HTTP/1.1\r\nHost: h\r\nAuthorization: " + apiKey(stolenKey) + "\r\n\r\n"
	post := "POST /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: " + apiKey(ownKey) + "\r\n"
	end := "GET /v1/end HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: " + apiKey(ownKey) + "\r\n\r\n"
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	chunk := func(text, extension string) string { return fmt.Sprintf("%x%s\r\n%s\r\n", len(text), extension, text) }
	const te, last = "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"
	tests := map[string]struct {
		text string
		want []int // of the answers; nil: any refusals of the server's
	}{
		"pipelined":                  {post + length(0) + "\r\n" + hidden + end, []int{200, 403, 200}},
		"body of known length":       {post + length(len(hidden)) + "\r\n" + hidden + end, []int{200, 200}},
		"bytes after the body":       {post + length(2) + "\r\nab" + hidden + end, []int{200, 403, 200}},
		"length and chunks":          {post + length(len(hidden)+5) + te + "\r\n" + last + hidden + end, nil},
		"chunks and length":          {post + te + length(4) + "\r\n" + chunk(hidden, "") + last + end, nil},
		"in a chunk":                 {post + te + "\r\n" + chunk(hidden, "") + last + end, []int{200, 200}},
		"chunk extension":            {post + te + "\r\n" + chunk(hidden, ";a=\"0\r") + last + end, nil},
		"long chunk extension":       {post + te + "\r\n" + chunk(hidden, ";"+strings.Repeat("x", 3000)) + last + end, []int{200, 200}},
		"bare LF after a size":       {post + te + "\r\n2;\nxx\r\n0\r\n\r\n" + hidden + end, nil},
		"chunked twice":              {post + te + te + "\r\n" + last + hidden + end, nil},
		"chunked, identity":          {post + "Transfer-Encoding: chunked, identity\r\n" + length(3) + "\r\n" + last + hidden + end, nil},
		"xchunked":                   {post + "Transfer-Encoding: xchunked\r\n" + length(5) + "\r\n" + last + hidden + end, nil},
		"space before the colon":     {post + "Transfer-Encoding : chunked\r\n" + length(5) + "\r\n" + last + hidden + end, nil},
		"vertical tab":               {post + "Transfer-Encoding: \vchunked\r\n" + length(5) + "\r\n" + last + hidden + end, nil},
		"folded":                     {post + "Transfer-Encoding:\r\n chunked\r\n" + length(5) + "\r\n" + last + hidden + end, nil},
		"folded X":                   {post + "X: y\r\n Transfer-Encoding: chunked\r\n" + length(5) + "\r\n" + last + hidden + end, []int{200, 403, 200}},
		"two lengths":                {post + length(0) + length(len(hidden)) + "\r\n" + hidden + end, nil},
		"length with a sign":         {post + "Content-Length: +0\r\n\r\n" + hidden + end, nil},
		"list of lengths":            {post + "Content-Length: 0, 0\r\n\r\n" + hidden + end, nil},
		"length named in Connection": {post + length(len(hidden)) + "Connection: Content-Length\r\n\r\n" + hidden + end, []int{200, 200}},
		"chunks named in Connection": {post + te + "Connection: Transfer-Encoding\r\n\r\n" + chunk(hidden, "") + last + end, []int{200, 200}},
		"bare CR in a value":         {post + "X: y\rAuthorization: " + apiKey(stolenKey) + "\r\n\r\n" + end, nil},
		"NUL in a value":             {post + "X: y\x00\r\n\r\n" + end, nil},
		"HTTP/1.0 keep-alive": {strings.Replace(post, "HTTP/1.1", "HTTP/1.0", 1) + "Connection: keep-alive\r\n" + length(len(hidden)) +
			"\r\n" + hidden + end, []int{200, 200}},
		"HTTP/1.0 with chunks": {strings.Replace(post, "HTTP/1.1", "HTTP/1.0", 1) + "Connection: keep-alive\r\n" + te + "\r\n" + last + hidden + end, nil},
		"upgrade with a body": {"GET /v1/realtime HTTP/1.1\r\nHost: h\r\nAuthorization: " + apiKey(ownKey) + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + length(len(hidden)) + "\r\n" + hidden + end, []int{200, 200}},
		"upgrade that is refused": {"GET /v1/realtime HTTP/1.1\r\nHost: h\r\nAuthorization: " + apiKey(stolenKey) + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + hidden + end, []int{403, 403, 200}},
		"upgrade that is not taken": {"GET /v1/realtime HTTP/1.1\r\nHost: h\r\nAuthorization: " + apiKey(ownKey) + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + hidden + end, []int{200, 403, 200}},
		"refused, then the rest": {strings.Replace(hidden, "\r\n\r\n", "\r\n"+length(len(hidden))+"\r\n", 1) + hidden + end, []int{403, 200}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := s.talk(tt.text)
			if tt.want != nil && !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			for _, r := range d.take() {
				if r.URL.Path == "/v1/hidden" || bearing(r, apiKey(stolenKey)) {
					t.Errorf("%s reached the downstream", r.RequestURI)
				}
			}
		})
	}
}

// Spellings of a header that only some parsers take for it.
func TestAttackHeaderSpellings(t *testing.T) {
	s, d := attacked(t, setup{})
	stolen := apiKey(stolenKey)
	for name, tt := range map[string]struct {
		lines string
		want  int
	}{
		"lower case":        {"authorization: " + stolen, 403},
		"mixed case":        {"aUTHORIZATION:" + stolen, 403},
		"folded":            {"Authorization: Bearer\r\n " + stolen, 403},
		"folded with tab":   {"Authorization:\r\n\t" + stolen, 403},
		"folded key":        {"X-Api-Key: " + stolen + "\r\n -1", 403},
		"space after name":  {"Authorization : " + stolen, 400},
		"repeated":          {"Authorization: " + apiKey(ownKey) + "\r\nauthorization: " + stolen, 400},
		"repeated, empty":   {"X-Api-Key:\r\nX-Api-Key: " + stolen, 400},
		"colon in front":    {":Authorization: " + stolen, 400},
		"first line folded": {" Authorization: " + stolen, 400},
		"two hosts":         {"Host: other\r\nAuthorization: " + stolen, 400},
		"NUL in the name":   {"Authorization\x00: " + stolen, 400},
		"NUL in the key":    {"Authorization: " + stolen + "\x00", 400},
		"DEL in the key":    {"Authorization: " + stolen + "\x7f", 400},
		"65 KB":             {"X-Padding: " + strings.Repeat("a", 65<<10) + "\r\nAuthorization: " + stolen, 431},
		"5 KB of key":       {"Authorization: " + strings.Repeat(" x", 5<<10) + stolen, 400},
	} {
		first := "GET /v1/models HTTP/1.1\r\n"
		if name != "first line folded" {
			first += "Host: h\r\n"
		}
		if got := s.talk(first + tt.lines + "\r\nConnection: close\r\n\r\n"); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s: got %v, want %d", name, got, tt.want)
		}
	}
	if sent := d.take(); len(sent) != 0 {
		t.Errorf("%d requests reached the downstream", len(sent))
	}
}

// Bound keys are held on every path, however it is written, and whatever host or
// user the target names.
func TestAttackTargets(t *testing.T) {
	s, d := attacked(t, setup{})
	for _, target := range []string{
		"/%761/models", "/v1/%6dessages", "//v1/messages", "/v1beta/../v1/messages", "/v1/./messages", "/v1%2Fmessages", "/v1/messages/", "/v1/messages%00",
		"/v1/messages;x", "/v1/messages%3b", "/V1/MESSAGES", "/", "/v1\\messages", "/v1/messages?", "*", "/health", "/pg/chat/completions", "//mj/submit/imagine",
		"http://h/v1/messages", "http://user:" + apiKey(ownKey) + "@h/v1/messages", "HTTP://other:80/v1/messages", "https://h/v1/messages", "http://h", "http://h?x",
	} {
		for _, header := range []string{"Authorization", "X-Api-Key", "Sec-WebSocket-Protocol"} {
			got := s.talk("POST " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n" + header + ": " + apiKey(stolenKey) + "\r\n\r\n")
			if len(got) != 1 || got[0] != 403 {
				t.Errorf("%s in %s: got %v, want 403", target, header, got)
			}
		}
	}
	if sent := d.take(); len(sent) != 0 {
		t.Errorf("%d requests reached the downstream", len(sent))
	}
	if got := s.talk("GET http://user:" + apiKey(stolenKey) + "@other/v1/models HTTP/1.1\r\nHost: third\r\nConnection: close\r\n\r\n"); len(got) != 1 || got[0] != 200 {
		t.Fatalf("user in the target: got %v, want 200", got)
	}
	if sent := d.last(t); bearing(sent, apiKey(stolenKey)) || sent.RequestURI != "/v1/models" || sent.Host == "other" || sent.Host == "third" {
		t.Errorf("the downstream was sent %s for %s", sent.RequestURI, sent.Host)
	}
}

// Keys and addresses in trailers, announced or not: they are judged by nobody, so
// they are not sent.
func TestAttackTrailers(t *testing.T) {
	s, d := attacked(t, setup{})
	names := []string{"Authorization", "X-Api-Key", "x-goog-api-key", "MJ-API-SECRET", "Sec-WebSocket-Protocol", "X-Real-IP", "X-Forwarded-For", "Forwarded", "X-Original-URL"}
	for _, announced := range []string{"", "Trailer: X-Kept\r\n", "Trailer: X-Kept, " + strings.Join(names, ", ") + "\r\n"} {
		text := "POST /v1/messages HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" + announced + "\r\n2\r\n{}\r\n0\r\nX-Kept: 1\r\n"
		for _, name := range names {
			text += name + ": " + apiKey(stolenKey) + "\r\n"
		}
		if got := s.talk(text + "\r\n"); len(got) != 1 || got[0] != 200 {
			t.Fatalf("%q: got %v, want 200", announced, got)
		}
		if sent := d.last(t); bearing(sent, apiKey(stolenKey)) {
			t.Errorf("%q: the downstream was sent %v and %v", announced, sent.Header, sent.Trailer)
		}
	}
}

// h2 is one HTTP/2 connection, by prior knowledge, of which every frame is the
// test's own.
type h2 struct {
	t      *testing.T
	framer *http2.Framer
	block  bytes.Buffer
	encode *hpack.Encoder
}

func (s *site) h2() *h2 {
	s.t.Helper()
	conn := s.raw(away, http2.ClientPreface)
	c := &h2{t: s.t, framer: http2.NewFramer(conn, conn)}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encode = hpack.NewEncoder(&c.block)
	must(s.t, c.framer.WriteSettings())
	must(s.t, conn.SetDeadline(time.Now().Add(patience)))
	return c
}

// status sends one request, in the order of fields, with trailers if there are
// any, and returns the status; 0 if the stream or the connection was ended.
func (c *h2) status(fields, trailers [][2]string) string {
	c.t.Helper()
	write := func(fields [][2]string, end bool) {
		c.block.Reset()
		for _, f := range fields {
			must(c.t, c.encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
		must(c.t, c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: end}))
	}
	write(fields, trailers == nil)
	if trailers != nil {
		must(c.t, c.framer.WriteData(1, false, []byte("{}")))
		write(trailers, true)
	}
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return "0"
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "0"
		}
	}
}

// What HTTP/2 lets clients write, and HTTP/1.1 towards the downstream does not.
func TestAttackHTTP2(t *testing.T) {
	s, d := attacked(t, setup{})
	stolen, own := apiKey(stolenKey), apiKey(ownKey)
	request := func(path string, more ...[2]string) [][2]string {
		return append([][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "h"}}, more...)
	}
	for name, tt := range map[string]struct {
		fields, trailers [][2]string
		want             string // "0": ended; empty: either
	}{
		"plain":                    {request("/v1/messages", [2]string{"authorization", stolen}), nil, "403"},
		"beside an own one":        {request("/v1/messages", [2]string{"authorization", own}, [2]string{"x-api-key", stolen}), nil, "403"},
		"twice":                    {request("/v1/messages", [2]string{"authorization", own}, [2]string{"authorization", stolen}), nil, "400"},
		"upper case":               {request("/v1/messages", [2]string{"Authorization", stolen}), nil, "0"},
		"line break in a value":    {request("/v1/messages", [2]string{"x", "y\r\nauthorization: " + stolen}), nil, "0"},
		"line break in a name":     {request("/v1/messages", [2]string{"x: y\r\nauthorization", stolen}), nil, "0"},
		"colon in a name":          {request("/v1/messages", [2]string{"authorization: " + stolen + "\r\nx", "y"}), nil, "0"},
		"line break in the path":   {request("/v1/messages HTTP/1.1\r\nauthorization: " + stolen + "\r\nx: "), nil, ""},
		"line break in the method": {append([][2]string{{":method", "GET / HTTP/1.1\r\nauthorization: " + stolen}}, request("/")[1:]...), nil, "0"},
		"connection":               {request("/v1/messages", [2]string{"authorization", stolen}, [2]string{"connection", "authorization"}), nil, "400"},
		"transfer-encoding":        {request("/v1/messages", [2]string{"authorization", own}, [2]string{"transfer-encoding", "chunked"}), nil, "400"},
		"upgrade":                  {request("/v1/messages", [2]string{"authorization", own}, [2]string{"upgrade", "websocket"}), nil, "400"},
		"two paths":                {request("/", [2]string{":path", "/v1/messages"}, [2]string{"authorization", stolen}), nil, "0"},
		"path after fields":        {request("/", [2]string{"authorization", stolen}, [2]string{":authority", "x"}), nil, "0"},
		"unknown pseudo-header":    {append([][2]string{{":protocol", "websocket"}}, request("/v1/realtime", [2]string{"authorization", stolen})...), nil, ""},
		"extended CONNECT":         {append([][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}}, request("/v1/realtime", [2]string{"authorization", own})[1:]...), nil, ""},
		"CONNECT":                  {[][2]string{{":method", "CONNECT"}, {":authority", "h:80"}, {"authorization", own}}, nil, "405"},
		"path without slash":       {request("v1/messages", [2]string{"authorization", stolen}), nil, "0"},
		"absolute path":            {request("http://h/v1/messages", [2]string{"authorization", stolen}), nil, "403"},
		"host beside authority":    {request("/v1/messages", [2]string{"host", "other"}, [2]string{"authorization", stolen}), nil, "403"},
		"alias":                    {request("/v1/messages", [2]string{"authorization", own}, [2]string{"x_api_key", stolen}), nil, "200"},
		"trailers": {request("/v1/messages", [2]string{"authorization", own}, [2]string{"trailer", "x-api-key, x_api_key"}),
			[][2]string{{"x-api-key", stolen}, {"x_api_key", stolen}, {"mj-api-secret", stolen}}, "200"},
		"trailer that may be none":  {request("/v1/messages", [2]string{"authorization", own}), [][2]string{{"authorization", stolen}}, ""},
		"pseudo-header in trailers": {request("/v1/messages", [2]string{"authorization", own}), [][2]string{{":path", "/v1/" + stolen}}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.h2().status(tt.fields, tt.trailers); tt.want != "" && got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			for _, r := range d.take() {
				if bearing(r, stolen) || r.Method == http.MethodConnect {
					t.Errorf("the downstream was sent %s %s with %v and %v", r.Method, r.RequestURI, r.Header, r.Trailer)
				}
			}
		})
	}
}

// A downstream that does not keep to HTTP: its answer is made good or refused, and
// a key is bound only where the answer is a success.
func TestAttackOddAnswers(t *testing.T) {
	long := strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 11_000) // over net/http's 10 MB
	for name, tt := range map[string]struct {
		answer string
		status int
		body   string
		bound  int
	}{
		"many informational answers": {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 1000) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", 1},
		"informational, then none":   {strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 10), 502, "", 0},
		"endless head":               {"HTTP/1.1 200 OK\r\n" + long + "\r\n", 502, "", 0},
		"length and chunks":          {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", 1},
		"204 with a body":            {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, "", 1},
		"304 with a body":            {"HTTP/1.1 304 Not Modified\r\n\r\nhello", 304, "", 0},
		"two lengths":                {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", 502, "", 0},
		"bad length":                 {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", 502, "", 0},
		"bad encoding":               {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nok", 502, "", 0},
		"unasked upgrade":            {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502, "", 0},
		"hop-by-hop headers":         {"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r\nContent-Length: 2\r\n\r\nok", 200, "ok", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil, setup{downstream: rawDownstream(t, tt.answer)})
			res, err := s.client(home).Do(s.request(http.MethodGet, "/v1/models", apiKey(1), nil))
			must(t, err)
			body, err := io.ReadAll(res.Body)
			must(t, err)
			must(t, res.Body.Close())
			if res.StatusCode != tt.status || tt.body != "" && string(body) != tt.body || res.Header.Get("X-Hop")+res.Header.Get("Keep-Alive") != "" {
				t.Errorf("got %d %q %v, want %d %q", res.StatusCode, body, res.Header, tt.status, tt.body)
			}
			if n := s.bound(); n != tt.bound {
				t.Errorf("got %d bindings, want %d", n, tt.bound)
			}
		})
	}
}
