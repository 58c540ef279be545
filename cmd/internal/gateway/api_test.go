package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

const prompt = `"messages":[{"role":"user","content":[{"type":"text","text":"one two"}]}]`

const spoken = "Hello from the demo gateway. You said: one two"

func TestPlainAnswers(t *testing.T) {
	_, server := start(t, gateway.Options{})
	tests := []struct {
		name, path, body string
		want             int
		contains         string
	}{
		{"chat", "/v1/chat/completions", `{"model":"demo-chat",` + prompt + `}`, 200, `"content":"` + spoken + `"`},
		{"chat cut short", "/v1/chat/completions", `{"model":"demo-chat","max_tokens":2,` + prompt + `}`, 200, `"content":"Hello from"`},
		{"chat error", "/v1/chat/completions", `{"model":"demo-error"}`, 500, `"type":"server_error"`},
		{"chat limited", "/v1/chat/completions", `{"model":"demo-429"}`, 429, `"type":"rate_limit_error"`},
		{"chat without JSON", "/v1/chat/completions", `hello`, 400, `"type":"invalid_request_error"`},
		{"messages", "/v1/messages", `{"model":"demo-chat",` + prompt + `}`, 200, `"text":"` + spoken + `"`},
		{"messages error", "/v1/messages", `{"model":"demo-error"}`, 500, `"type":"api_error"`},
		{"responses", "/v1/responses", `{"model":"demo-chat","input":"one two"}`, 200, `"text":"` + spoken + `"`},
		{"gemini", "/v1beta/models/demo-chat:generateContent", `{"contents":[{"parts":[{"text":"one two"}]}]}`, 200, `"text":"` + spoken + `"`},
		{"gemini error", "/v1beta/models/demo-error:generateContent", `{}`, 500, `"status":"INTERNAL"`},
		{"gemini unknown action", "/v1beta/models/demo-chat:sing", `{}`, 404, `"status":"NOT_FOUND"`},
		{"embeddings", "/v1/embeddings", `{"input":["a","b"]}`, 200, `"index":1`},
		{"embeddings in base64", "/v1/embeddings", `{"input":"a","encoding_format":"base64"}`, 200, `"embedding":"AACAPg`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := send(t, "POST", server.URL+tt.path, tt.body, bearer(firstKey))
			if status != tt.want || !strings.Contains(body, tt.contains) {
				t.Errorf("got %d %s, want %d and %s", status, body, tt.want, tt.contains)
			}
		})
	}
}

func TestModelsInThreeShapes(t *testing.T) {
	_, server := start(t, gateway.Options{})
	tests := []struct {
		name, path string
		header     http.Header
		contains   string
	}{
		{"OpenAI", "/v1/models", bearer(firstKey), `"object":"list"`},
		{"Anthropic", "/v1/models", http.Header{"X-Api-Key": {firstKey}, "Anthropic-Version": {"2023-06-01"}}, `"has_more":false`},
		{"Gemini by query", "/v1/models?key=" + firstKey, nil, `"name":"models/demo-chat"`},
		{"Gemini", "/v1beta/models", http.Header{"X-Goog-Api-Key": {firstKey}}, `"name":"models/demo-chat"`},
		{"OpenAI by Gemini", "/v1beta/openai/models", bearer(firstKey), `"object":"list"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := send(t, "GET", server.URL+tt.path, "", tt.header)
			if status != http.StatusOK || !strings.Contains(body, tt.contains) {
				t.Errorf("got %d %s, want 200 and %s", status, body, tt.contains)
			}
		})
	}
}

func TestStreams(t *testing.T) {
	_, server := start(t, gateway.Options{})
	tests := []struct {
		name, path, body string
		first, last      string // contained in the first and in the last line with text
		words            string // how a line with a word looks
	}{
		{"chat", "/v1/chat/completions", `{"stream":true,"stream_options":{"include_usage":true},` + prompt + `}`,
			`"role":"assistant"`, "data: [DONE]", `"delta":{"content":`},
		{"messages", "/v1/messages", `{"stream":true,` + prompt + `}`,
			"event: message_start", `data: {"type":"message_stop"}`, `"type":"text_delta"`},
		{"responses", "/v1/responses", `{"stream":true,"input":"one two"}`,
			"event: response.created", `"status":"completed"`, `"delta":`},
		{"gemini events", "/v1beta/models/demo-chat:streamGenerateContent?alt=sse", `{"contents":"one two"}`,
			`data: {"candidates"`, `"finishReason":"STOP"`, `"text":"`},
		{"gemini array", "/v1beta/models/demo-chat:streamGenerateContent", `{"contents":"one two"}`,
			`[{"candidates"`, `]`, `"text":"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := send(t, "POST", server.URL+tt.path, tt.body, bearer(firstKey))
			lines := strings.FieldsFunc(body, func(r rune) bool { return r == '\n' || r == '\r' })
			if status != http.StatusOK || len(lines) == 0 {
				t.Fatalf("got %d %q", status, body)
			}
			if !strings.Contains(lines[0], tt.first) || !strings.Contains(lines[len(lines)-1], tt.last) {
				t.Errorf("got first %q and last %q, want %q and %q", lines[0], lines[len(lines)-1], tt.first, tt.last)
			}
			lines = slices.DeleteFunc(lines, func(line string) bool { return !strings.Contains(line, tt.words) })
			if want := len(strings.Fields(spoken)); len(lines) < want {
				t.Errorf("got %d lines with words, want at least %d", len(lines), want)
			}
		})
	}
}

// TestEventsAreFlushed takes the first event of a stream whose second is an hour
// away, then gives up.
func TestEventsAreFlushed(t *testing.T) {
	g, server := start(t, gateway.Options{})
	ctx, giveUp := context.WithCancel(t.Context())
	r := newRequest(t, "POST", server.URL+"/v1/chat/completions", `{"model":"demo-slow","stream":true}`, bearer(firstKey))
	r.Header.Set("X-Demo-Delay", "1h")
	res, err := http.DefaultClient.Do(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil || !strings.Contains(line, `"role":"assistant"`) {
		t.Fatalf("got %q, %v; want the first event", line, err)
	}
	giveUp()
	if err := g.Wait(t.Context(), func(s gateway.State) bool { return s.Cancelled == 1 }); err != nil {
		t.Error(err)
	}
}

func TestBadDelayIsRefused(t *testing.T) {
	_, server := start(t, gateway.Options{})
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/models/demo-chat:generateContent"} {
		header := bearer(firstKey)
		header.Set("X-Demo-Delay", "soon")
		if status, body := send(t, "POST", server.URL+path, `{}`, header); status != http.StatusBadRequest {
			t.Errorf("%s: got %d %s, want 400", path, status, body)
		}
	}
}

func TestHangSeesTheClientGo(t *testing.T) {
	g, server := start(t, gateway.Options{})
	ctx, giveUp := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	r := newRequest(t, "POST", server.URL+"/v1/hang", "a body", bearer(firstKey)).WithContext(ctx)
	go func() {
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		failed <- err
	}()
	if err := g.Wait(t.Context(), func(s gateway.State) bool { return len(s.Keys) == 1 }); err != nil {
		t.Fatal(err)
	}
	giveUp()
	if err := <-failed; err == nil {
		t.Error("got an answer, want none")
	}
	status, body := send(t, "GET", server.URL+"/debug/state?until=cancelled:1", "", nil)
	if state := decode[gateway.State](t, body); status != http.StatusOK || state.Cancelled != 1 || state.Finished != 1 {
		t.Errorf("got %d %s, want one request, cancelled", status, body)
	}
	if status, body := send(t, "GET", server.URL+"/debug/state?until=never:1", "", nil); status != http.StatusBadRequest {
		t.Errorf("unknown counter: got %d %s, want 400", status, body)
	}
}
