package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

func TestEchoTellsWhatArrived(t *testing.T) {
	_, server := start(t, gateway.Options{})
	header := http.Header{"X-Two": {"b", "a"}, "Authorization": {firstKey}}
	r := newRequest(t, "PATCH", server.URL+"/echo/a%2Fb;c//d?x=%zz&y", "the body", header)
	r.ContentLength = -1
	r.Trailer = http.Header{"X-Sum": {"7"}}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := decode[gateway.Echo](t, string(body))
	if got.Method != "PATCH" || got.RequestURI != "/echo/a%2Fb;c//d?x=%zz&y" || got.Path != "/echo/a/b;c//d" {
		t.Errorf("got %s %s (%s)", got.Method, got.RequestURI, got.Path)
	}
	if got.Header("x-two") != "b, a" {
		t.Errorf("X-Two: got %q, want lines in their order", got.Header("x-two"))
	}
	if got.BodyBytes != 8 || got.BodySHA256 != sum([]byte("the body")) || got.ContentLength != -1 || !slices.Equal(got.TransferEncoding, []string{"chunked"}) {
		t.Errorf("got body %d %s, announced %d, %v", got.BodyBytes, got.BodySHA256, got.ContentLength, got.TransferEncoding)
	}
	if len(got.Trailers) != 1 || got.Trailers[0] != [2]string{"X-Sum", "7"} {
		t.Errorf("got trailers %v, want X-Sum", got.Trailers)
	}
	if got.Key != strings.TrimPrefix(firstKey, "sk-") || !strings.HasPrefix(got.RemoteAddr, "127.0.0.1:") {
		t.Errorf("got key %q from %s", got.Key, got.RemoteAddr)
	}
}

func sum(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

func TestBulk(t *testing.T) {
	_, server := start(t, gateway.Options{})
	const size = 3<<20 + 7
	want, err := io.ReadAll(gateway.Pattern(size))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/download?bytes=3145735", "/v1/download?bytes=3145735&chunked"} {
		if status, got := send(t, "GET", server.URL+path, "", bearer(firstKey)); status != http.StatusOK || got != string(want) {
			t.Errorf("%s: got %d and %d bytes, want the pattern of %d", path, status, len(got), size)
		}
	}
	_, body := send(t, "POST", server.URL+"/v1/upload", string(want), bearer(firstKey))
	got := decode[struct {
		Bytes  int64
		SHA256 string
	}](t, body)
	if got.Bytes != size || got.SHA256 != sum(want) {
		t.Errorf("upload: got %+v", got)
	}
	if status, _ := send(t, "GET", server.URL+"/v1/download?bytes=-1", "", bearer(firstKey)); status != http.StatusBadRequest {
		t.Errorf("negative download: got %d, want 400", status)
	}
}

func TestHeadOfADownload(t *testing.T) {
	_, server := start(t, gateway.Options{})
	res, err := http.DefaultClient.Do(newRequest(t, "HEAD", server.URL+"/v1/download?bytes=5", "", bearer(firstKey)))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.ContentLength != 5 {
		t.Errorf("got length %d, want 5", res.ContentLength)
	}
}

// TestDuplex sends the second piece only after the first has come back.
func TestDuplex(t *testing.T) {
	_, server := start(t, gateway.Options{})
	reader, writer := io.Pipe()
	r := newRequest(t, "POST", server.URL+"/v1/duplex", "", bearer(firstKey))
	r.Body, r.ContentLength = reader, -1
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for _, piece := range []string{"first", "second"} {
		if _, err := io.WriteString(writer, piece); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != piece {
			t.Fatalf("got %q, %v; want %q", got, err, piece)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) != 0 {
		t.Errorf("got %q, %v; want the end", rest, err)
	}
}

func TestTrailers(t *testing.T) {
	_, server := start(t, gateway.Options{})
	res, err := http.DefaultClient.Do(newRequest(t, "GET", server.URL+"/v1/trailers", "", bearer(firstKey)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	if res.Trailer.Get("X-Demo-Announced") != "yes" || res.Trailer.Get("X-Demo-Surprise") != "yes" {
		t.Errorf("got trailers %v, want both", res.Trailer)
	}
}

func TestEarlyHints(t *testing.T) {
	_, server := start(t, gateway.Options{})
	hints := make(chan string, 1)
	r := newRequest(t, "GET", server.URL+"/v1/early-hints", "", bearer(firstKey))
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			if status == http.StatusEarlyHints {
				hints <- header.Get("Link")
			}
			return nil
		},
	}))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || len(hints) != 1 || !strings.Contains(<-hints, "preload") {
		t.Errorf("got %d, want 200 after one hint", res.StatusCode)
	}
}

func TestStatusAndAbort(t *testing.T) {
	_, server := start(t, gateway.Options{})
	for _, status := range []string{"204", "404", "503"} {
		res, err := http.DefaultClient.Do(newRequest(t, "GET", server.URL+"/v1/status/"+status, "", bearer(firstKey)))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if !strings.HasPrefix(res.Status, status) {
			t.Errorf("got %s, want %s", res.Status, status)
		}
	}
	res, err := http.DefaultClient.Do(newRequest(t, "GET", server.URL+"/v1/abort", "", bearer(firstKey)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(body, []byte("the beginning")) {
		t.Errorf("got %q, %v; want half an answer", body, err)
	}
}

func TestRealtime(t *testing.T) {
	g, server := start(t, gateway.Options{})
	dial := func(header http.Header, protocols ...string) (conn *websocket.Conn, status int, err error) {
		conn, res, err := websocket.Dial(t.Context(), server.URL+"/v1/realtime?model=demo-realtime",
			&websocket.DialOptions{HTTPHeader: header, Subprotocols: protocols})
		if res == nil {
			return conn, 0, err
		}
		if res.Body != nil {
			_ = res.Body.Close()
		}
		return conn, res.StatusCode, err
	}
	tests := []struct {
		name      string
		header    http.Header
		protocols []string
		want      string
	}{
		{"header", bearer(firstKey), nil, ""},
		{"subprotocol", nil, []string{"realtime", "openai-insecure-api-key." + firstKey, "openai-beta.realtime-v1"}, "realtime"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, _, err := dial(tt.header, tt.protocols...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.CloseNow() }()
			if got := conn.Subprotocol(); got != tt.want {
				t.Errorf("got subprotocol %q, want %q", got, tt.want)
			}
			if _, greeting, err := conn.Read(t.Context()); err != nil || !bytes.Contains(greeting, []byte(`"session.created"`)) {
				t.Fatalf("got %s, %v; want a greeting", greeting, err)
			}
			sent := []byte{0, 1, 0xff}
			if err := conn.Write(t.Context(), websocket.MessageBinary, sent); err != nil {
				t.Fatal(err)
			}
			if kind, got, err := conn.Read(t.Context()); err != nil || kind != websocket.MessageBinary || !bytes.Equal(got, sent) {
				t.Errorf("got %v %v, %v; want the message back", kind, got, err)
			}
			if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Error(err)
			}
		})
	}
	if _, status, err := dial(bearer(unknownKey)); err == nil || status != http.StatusUnauthorized {
		t.Errorf("unknown key: got %d, %v; want 401", status, err)
	}

	conn, _, err := dial(bearer(firstKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseNow(); err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(t.Context(), func(s gateway.State) bool { return s.Cancelled == 1 }); err != nil {
		t.Error(err)
	}
}
