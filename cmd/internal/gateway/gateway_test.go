package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

// Two keys that the gateway knows, and one that it does not.
var (
	firstKey   = "sk-" + strings.Repeat("Aa11", 12)
	secondKey  = "sk-" + strings.Repeat("Bb22", 12)
	unknownKey = "sk-" + strings.Repeat("Zz99", 12)
)

// start runs a gateway that knows the two keys, unless the options say others.
func start(t *testing.T, opts gateway.Options) (*gateway.Gateway, *httptest.Server) {
	t.Helper()
	if opts.Keys == nil {
		opts.Keys = []string{firstKey, secondKey}
	}
	g, err := gateway.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return g, server
}

func newRequest(t *testing.T, method, url, body string, header http.Header) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	return r
}

// send returns the status and the body of the answer.
func send(t *testing.T, method, url, body string, header http.Header) (int, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(newRequest(t, method, url, body, header))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func bearer(key string) http.Header {
	return http.Header{"Authorization": {"Bearer " + key}}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("decode %q: %v", text, err)
	}
	return v
}

func TestNewRefusesUnusableKeys(t *testing.T) {
	for _, key := range []string{"", "sk-", "sk-with-hyphen"} {
		if _, err := gateway.New(gateway.Options{Keys: []string{key}}); err == nil {
			t.Errorf("New with key %q: got no error", key)
		}
	}
}

func TestRoutes(t *testing.T) {
	_, server := start(t, gateway.Options{})
	tests := []struct {
		name         string
		method, path string
		header       http.Header
		want         int
	}{
		{"page", "GET", "/", nil, 200},
		{"page of a deep link", "GET", "/console/keys", nil, 200},
		{"page for an unknown path of a picture API", "GET", "/mj/nothing", nil, 200},
		{"page for /v1 in other letters on the wire", "GET", "/%761/nothing", nil, 200},
		{"page for two slashes", "GET", "//v1/models", nil, 200},
		{"no page under /v1", "GET", "/v1/nothing", nil, 404},
		{"no page under /api", "GET", "/api/nothing", nil, 404},
		{"wrong method", "GET", "/v1/chat/completions", bearer(firstKey), 404},
		{"status", "GET", "/api/status", nil, 200},
		{"pre-flight without key", "OPTIONS", "/v1/chat/completions", http.Header{"Origin": {"https://app.example"}}, 204},
		{"options without origin", "OPTIONS", "/v1/chat/completions", nil, 404},
		{"models", "GET", "/v1/models", bearer(firstKey), 200},
		{"models without key", "GET", "/v1/models", nil, 401},
		{"models by an encoded path", "GET", "/v1%2Fmodels", bearer(firstKey), 200},
		{"one model", "GET", "/v1/models/demo-chat", bearer(firstKey), 200},
		{"unknown model", "GET", "/v1/models/other", bearer(firstKey), 404},
		{"picture without key", "GET", "/mj/image/1", nil, 200},
		{"picture of a mode without key", "GET", "/fast/mj/image/1", nil, 200},
		{"picture task", "POST", "/mj/submit/imagine", bearer(firstKey), 200},
		{"picture task without key", "POST", "/mj/submit/imagine", nil, 401},
		{"picture task of a mode", "POST", "/fast/mj/submit/imagine", bearer(firstKey), 200},
		{"task state", "GET", "/fast/mj/task/1/fetch", bearer(firstKey), 200},
		{"music", "POST", "/suno/submit/music", bearer(firstKey), 200},
		{"video", "POST", "/kling/v1/videos/text2video", bearer(firstKey), 200},
		{"video state", "GET", "/kling/v1/videos/text2video/1", bearer(firstKey), 200},
		{"video of another maker", "POST", "/jimeng/", bearer(firstKey), 200},
		{"video content", "GET", "/v1/videos/1/content", bearer(firstKey), 200},
		{"billing", "GET", "/dashboard/billing/usage", bearer(firstKey), 200},
		{"billing under /v1", "GET", "/v1/dashboard/billing/usage", bearer(unknownKey), 401},
		{"key usage", "GET", "/api/usage/token/", bearer(firstKey + "-any"), 200},
		{"key usage of an unknown key", "GET", "/api/usage/token/", bearer(unknownKey), 401},
		{"public echo", "PUT", "/echo/x", nil, 200},
		{"echo", "PUT", "/v1/echo", bearer(firstKey), 200},
		{"echo without key", "PUT", "/v1/echo", nil, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, body := send(t, tt.method, server.URL+tt.path, "", tt.header); got != tt.want {
				t.Errorf("%s %s: got %d, want %d: %s", tt.method, tt.path, got, tt.want, body)
			}
		})
	}
}

func TestUnknownKeyIsRefusedInOpenAIShape(t *testing.T) {
	g, server := start(t, gateway.Options{})
	status, body := send(t, "GET", server.URL+"/v1/models", "", bearer(unknownKey))
	got := decode[struct {
		Error struct{ Message, Type string } `json:"error"`
	}](t, body)
	if status != http.StatusUnauthorized || got.Error.Message != "Invalid token" || got.Error.Type != "new_api_error" {
		t.Errorf("got %d %s, want 401 and an OpenAI error", status, body)
	}
	if state := g.State(); state.Unauthorized != 1 || len(state.Keys) != 0 {
		t.Errorf("got state %+v, want one refusal and no use", state)
	}
}

func TestReadKeys(t *testing.T) {
	var opts gateway.Options
	file := "# demo\n\n " + firstKey + " \naccess-token  abc\n" + secondKey
	if err := opts.ReadKeys(strings.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(opts.Keys, " "), firstKey+" "+secondKey; got != want {
		t.Errorf("keys: got %q, want %q", got, want)
	}
	if got := strings.Join(opts.AccessTokens, " "); got != "abc" {
		t.Errorf("access tokens: got %q, want %q", got, "abc")
	}
	if err := opts.ReadKeys(strings.NewReader(strings.Repeat("x", 1<<20))); err == nil {
		t.Error("a line of 1 MiB: got no error")
	}
}
