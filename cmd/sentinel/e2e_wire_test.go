package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

// TestRequestsArriveUnchanged sends the same bytes to the gateway and to
// Sentinel, and compares what the gateway saw.
func TestRequestsArriveUnchanged(t *testing.T) {
	key := testKey(9500)
	g := startGateway(t, key)
	sentinel := startSentinel(t, g.url)
	tests := []struct {
		name, method, path, body string
		header                   http.Header
	}{
		{"plain", "GET", "/v1/echo", "", nil},
		{"encoded path", "GET", "/v1/echo/a%2Fb%20c%C3%A9/%2e%2e/d", "", nil},
		{"odd path", "GET", "/v1/echo/;a=b//c/./d/../e:f@g", "", nil},
		{"odd query", "GET", "/v1/echo?a=%20+&b&=c&d=%41&a=2", "", nil},
		{"empty query", "GET", "/v1/echo?", "", nil},
		{"body", "POST", "/v1/echo", "some\x00bytes\xff", http.Header{"Content-Type": {"application/octet-stream"}}},
		{"method of its own", "PROPFIND", "/v1/echo", "x", nil},
		{"delete with a body", "DELETE", "/v1/echo", "x", nil},
		{"repeated headers", "GET", "/v1/echo", "", http.Header{"X-Two": {"b", "a", ""}, "Cookie": {"a=1", "b=2"}}},
		{"text of other scripts", "GET", "/v1/echo", "", http.Header{"X-Text": {"h\u00e9llo \u4f60\u597d"}}},
		{"no encoding asked", "GET", "/v1/echo", "", http.Header{"Accept-Encoding": {"identity;q=0"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			direct := echoOf(t, g.url+tt.path, tt.method, key, tt.body, tt.header)
			through := echoOf(t, sentinel.url+tt.path, tt.method, key, tt.body, tt.header)
			if got := through.Header("X-Real-Ip"); got != homeIP {
				t.Errorf("X-Real-IP: got %q, want %q", got, homeIP)
			}
			withoutForwarding(&direct)
			withoutForwarding(&through)
			if !reflect.DeepEqual(direct, through) {
				t.Errorf("\ndirect  %+v\nthrough %+v", direct, through)
			}
		})
	}
}

func echoOf(t *testing.T, url, method, key, body string, header http.Header) gateway.Echo {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := from(t, homeIP).Do(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	var echo gateway.Echo
	must(t, json.NewDecoder(res.Body).Decode(&echo))
	return echo
}

// withoutForwarding takes out what a proxy is there to add, and what differs
// between any two connections.
func withoutForwarding(e *gateway.Echo) {
	e.Headers = slices.DeleteFunc(e.Headers, func(line [2]string) bool {
		return line[0] == "X-Real-Ip" || strings.HasPrefix(line[0], "X-Forwarded-") || line[0] == "X-Request-Id"
	})
	e.RemoteAddr, e.Host = "", ""
}

func TestLargeBodiesPassUnchanged(t *testing.T) {
	const size = 8<<20 + 3
	key := testKey(9501)
	sentinel := startSentinel(t, startGateway(t, key).url)
	hash := sha256.New()
	_, err := io.Copy(hash, gateway.Pattern(size))
	must(t, err)
	want := hex.EncodeToString(hash.Sum(nil))
	if got := call(t, from(t, homeIP), "POST", sentinel.url+"/v1/upload", key, gateway.Pattern(size)); !strings.Contains(got.body, want) {
		t.Errorf("upload: got %s, want %s", got.body, want)
	}
	for _, query := range []string{"", "&chunked"} {
		got := call(t, from(t, homeIP), "GET", sentinel.url+"/v1/download?bytes=8388611"+query, key, nil)
		if sum := sha256.Sum256([]byte(got.body)); hex.EncodeToString(sum[:]) != want {
			t.Errorf("download%s: got %d bytes that differ", query, len(got.body))
		}
	}
}

// TestEventsPassOneByOne takes the first event of a stream whose second is an
// hour away, and gives up: the gateway notices.
func TestEventsPassOneByOne(t *testing.T) {
	key := testKey(9502)
	g := startGateway(t, key)
	sentinel := startSentinel(t, g.url)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	r, err := http.NewRequestWithContext(ctx, "POST", sentinel.url+"/v1/chat/completions", strings.NewReader(`{"model":"demo-slow","stream":true}`))
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("X-Demo-Delay", "1h")
	res, err := from(t, homeIP).Do(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	must(t, err)
	if !strings.Contains(line, `"role":"assistant"`) {
		t.Errorf("got %q, want the first event", line)
	}
	giveUp()
	if state := g.state("cancelled:1"); state.Cancelled != 1 {
		t.Errorf("got %+v, want one cancelled", state)
	}
}

// TestClientGoneBeforeTheAnswer gives up on a gateway that never answers.
func TestClientGoneBeforeTheAnswer(t *testing.T) {
	key := testKey(9503)
	g := startGateway(t, key)
	sentinel := startSentinel(t, g.url)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	r, err := http.NewRequestWithContext(ctx, "POST", sentinel.url+"/v1/hang", strings.NewReader("a body"))
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+key)
	client, failed := from(t, homeIP), make(chan error, 1)
	go func() {
		res, err := client.Do(r)
		if err == nil {
			_ = res.Body.Close()
		}
		failed <- err
	}()
	g.state("requests:1")
	giveUp()
	if <-failed == nil {
		t.Error("got an answer")
	}
	if state := g.state("cancelled:1"); state.Cancelled != 1 {
		t.Errorf("got %+v, want one cancelled", state)
	}
}

// TestBothWaysAtOnce sends the second piece only after the first has come back.
func TestBothWaysAtOnce(t *testing.T) {
	key := testKey(9504)
	sentinel := startSentinel(t, startGateway(t, key).url)
	reader, writer := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", sentinel.url+"/v1/duplex", reader)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := from(t, homeIP).Do(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	for _, piece := range []string{"first", "second"} {
		_, err := io.WriteString(writer, piece)
		must(t, err)
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != piece {
			t.Fatalf("got %q, %v; want %q", got, err, piece)
		}
	}
	must(t, writer.Close())
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) != 0 {
		t.Errorf("got %q, %v; want the end", rest, err)
	}
}

func TestTrailersHintsHeadsAndBreaksPass(t *testing.T) {
	key := testKey(9505)
	sentinel := startSentinel(t, startGateway(t, key).url)
	client := from(t, homeIP)

	got := call(t, client, "GET", sentinel.url+"/v1/trailers", key, nil)
	if got.trailer.Get("X-Demo-Announced") != "yes" || got.trailer.Get("X-Demo-Surprise") != "yes" {
		t.Errorf("trailers: got %v, want both", got.trailer)
	}

	hints := make(chan string, 4)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			if status == http.StatusEarlyHints {
				hints <- header.Get("Link")
			}
			return nil
		},
	})
	res, err := client.Do(withKey(t, "GET", sentinel.url+"/v1/early-hints", key).WithContext(ctx))
	must(t, err)
	must(t, res.Body.Close())
	if len(hints) != 1 || !strings.Contains(<-hints, "preload") {
		t.Error("early hints: did not come once")
	}

	if got := call(t, client, "HEAD", sentinel.url+"/v1/download?bytes=5", key, nil); got.length != 5 || got.body != "" {
		t.Errorf("HEAD: got length %d and %q, want 5 and nothing", got.length, got.body)
	}

	res, err = client.Do(withKey(t, "GET", sentinel.url+"/v1/abort", key))
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	if got, err := io.ReadAll(res.Body); err == nil || !strings.HasPrefix(string(got), "the beginning") {
		t.Errorf("abort: got %q, %v; want half an answer and an error", got, err)
	}
}

func withKey(t *testing.T, method, url, key string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+key)
	return r
}

// TestWebSocketMessagesPassUnchanged sends text and bytes both ways, then goes
// without a goodbye.
func TestWebSocketMessagesPassUnchanged(t *testing.T) {
	key := testKey(9506)
	g := startGateway(t, key)
	sentinel := startSentinel(t, g.url)
	conn, res, err := websocket.Dial(t.Context(), sentinel.url+"/v1/realtime", &websocket.DialOptions{
		HTTPClient: from(t, homeIP), HTTPHeader: http.Header{"Authorization": {"Bearer " + key}},
	})
	must(t, err)
	if res.Body != nil {
		defer func() { _ = res.Body.Close() }()
	}
	defer func() { _ = conn.CloseNow() }()
	_, greeting, err := conn.Read(t.Context())
	must(t, err)
	if !strings.Contains(string(greeting), "session.created") {
		t.Errorf("got %s, want session.created", greeting)
	}
	for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
		must(t, conn.Write(t.Context(), kind, []byte("hello \x00")))
		got, message, err := conn.Read(t.Context())
		if err != nil || got != kind || string(message) != "hello \x00" {
			t.Errorf("got %v %q, %v; want it back as %v", got, message, err, kind)
		}
	}
	must(t, conn.CloseNow())
	if state := g.state("cancelled:1"); state.Cancelled != 1 {
		t.Errorf("got %+v, want one cancelled", state)
	}
}
