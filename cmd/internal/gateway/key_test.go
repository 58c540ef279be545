package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

// TestKeyReading sends each spelling to the gateway and sees which key it was
// taken for.
func TestKeyReading(t *testing.T) {
	const (
		chat   = "/v1/echo" // a path where only the first two places count
		claude = "/v1/echo/v1/messages"
		models = "/v1/models"
		gemini = "/v1beta/models/demo-chat:generateContent"
	)
	first, second := strings.TrimPrefix(firstKey, "sk-"), strings.TrimPrefix(secondKey, "sk-")
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i+1 < len(pairs); i += 2 {
			h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
		}
		return h
	}
	const (
		authorization = "Authorization"
		protocol      = "Sec-Websocket-Protocol"
		anthropic     = "X-Api-Key"
		goog          = "X-Goog-Api-Key"
		mj            = "Mj-Api-Secret"
		inProtocol    = "openai-insecure-api-key."
	)
	tests := []struct {
		name   string
		opts   gateway.Options
		path   string
		header http.Header
		want   string // canonical; empty: 401
	}{
		{name: "Bearer", path: chat, header: header(authorization, "Bearer "+firstKey), want: first},
		{name: "bearer", path: chat, header: header(authorization, "bearer "+firstKey), want: first},
		{name: "BEARER", path: chat, header: header(authorization, "BEARER "+firstKey)},
		{name: "bare", path: chat, header: header(authorization, firstKey), want: first},
		{name: "without sk-", path: chat, header: header(authorization, "Bearer "+first), want: first},
		{name: "bare without sk-", path: chat, header: header(authorization, first), want: first},
		{name: "two schemes", path: chat, header: header(authorization, "Bearer Bearer "+firstKey)},
		{name: "two sk-", path: chat, header: header(authorization, "Bearer sk-"+firstKey)},
		{name: "pinned channel", path: chat, header: header(authorization, firstKey+"-1"), want: first},
		{name: "trailing hyphen", path: chat, header: header(authorization, "Bearer "+firstKey+"-"), want: first},
		{name: "suffix of hyphens", path: chat, header: header(authorization, "Bearer "+firstKey+"-a-b"), want: first},
		{name: "no-break space", path: chat, header: header(authorization, "Bearer \u00a0"+firstKey+"\u00a0"), want: first},
		{name: "ideographic space and NEL", path: chat, header: header(authorization, "Bearer \u3000"+firstKey+"\u0085"), want: first},
		{name: "first of two lines", path: chat, header: header(authorization, "Bearer "+firstKey, authorization, "Bearer "+secondKey), want: first},
		{name: "lower case", path: chat, header: bearer(strings.ToLower(firstKey))},
		{name: "lower case on MySQL", opts: gateway.Options{FoldCase: true}, path: chat, header: bearer(strings.ToLower(firstKey)), want: strings.ToLower(first)},
		{name: "nothing", path: chat},
		{name: "scheme alone", path: chat, header: header(authorization, "Bearer ")},
		{name: "unknown", path: chat, header: bearer(unknownKey)},

		{name: "subprotocol without upgrade", path: chat, header: header(protocol, "realtime, "+inProtocol+firstKey+", openai-beta.realtime-v1"), want: first},
		{name: "subprotocol before Authorization", path: chat, header: header(authorization, "Bearer "+firstKey, protocol, inProtocol+secondKey), want: second},
		{name: "subprotocol of a second line", path: chat, header: header(protocol, "realtime", protocol, inProtocol+firstKey), want: first},
		{name: "subprotocol of a second line, older", opts: gateway.Options{Legacy: true}, path: chat, header: header(protocol, "realtime", protocol, inProtocol+firstKey)},
		{name: "whole subprotocol header", path: chat, header: header(protocol, firstKey)},
		{name: "whole subprotocol header, older", opts: gateway.Options{Legacy: true}, path: chat, header: header(protocol, firstKey), want: first},
		{name: "harmless subprotocol", path: chat, header: header(authorization, firstKey, protocol, "realtime"), want: first},
		{name: "empty key in the subprotocol", path: chat, header: header(authorization, firstKey, protocol, inProtocol), want: first},

		{name: "x-api-key where it counts", path: claude, header: header(authorization, "Bearer "+firstKey, anthropic, secondKey), want: second},
		{name: "x-api-key beside a wrong key", path: claude, header: header(authorization, "Bearer "+unknownKey, anthropic, firstKey), want: first},
		{name: "x-api-key on models", path: models, header: header(anthropic, firstKey), want: first},
		{name: "x-api-key elsewhere", path: chat, header: header(anthropic, firstKey)},
		{name: "x-api-key on an encoded path", path: "/v1/echo/%76%31%2Fmessages", header: header(anthropic, firstKey), want: first},

		{name: "query on models", path: models + "?key=" + firstKey, want: first},
		{name: "query encoded", path: models + "?k%65y=%20" + firstKey + "%20", want: first},
		{name: "first of two in the query", path: models + "?key=" + firstKey + "&key=" + secondKey, want: first},
		{name: "query after x-api-key", path: models + "?key=" + secondKey, header: header(anthropic, firstKey), want: second},
		{name: "query on Gemini", path: gemini + "?key=" + firstKey, want: first},
		{name: "query elsewhere", path: chat + "?key=" + firstKey},
		{name: "query with a semicolon", path: models + "?a=1;key=" + firstKey},
		{name: "query after a broken pair", path: models + "?a=%zz&key=" + firstKey, want: first},

		{name: "x-goog-api-key", path: gemini, header: header(goog, firstKey), want: first},
		{name: "x-goog-api-key after the query", path: gemini + "?key=" + firstKey, header: header(goog, secondKey), want: second},
		{name: "x-goog-api-key elsewhere", path: chat, header: header(goog, firstKey)},

		{name: "mj-api-secret", path: chat, header: header(mj, "Bearer "+firstKey), want: first},
		{name: "mj-api-secret beside its placeholder", path: chat, header: header(authorization, "Bearer midjourney-proxy", mj, firstKey), want: first},
		{name: "mj-api-secret beside a key", path: chat, header: header(authorization, "Bearer "+firstKey, mj, secondKey), want: first},
		{name: "mj-api-secret beside a wrong key", path: chat, header: header(authorization, "Bearer "+unknownKey, mj, firstKey)},
		{name: "mj-api-secret beside sk-", path: chat, header: header(authorization, "Bearer sk-", mj, firstKey)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, server := start(t, tt.opts)
			method := http.MethodGet
			if strings.HasPrefix(tt.path, gemini) {
				method = http.MethodPost
			}
			status, body := send(t, method, server.URL+tt.path, `{}`, tt.header)
			uses := g.State().Keys
			if tt.want == "" {
				if status != http.StatusUnauthorized || len(uses) != 0 {
					t.Fatalf("got %d and uses %v, want 401 and none: %s", status, uses, body)
				}
				return
			}
			if status != http.StatusOK || len(uses) != 1 || uses[tt.want] != 1 {
				t.Errorf("got %d and uses %v, want 200 and one of %s: %s", status, uses, tt.want, body)
			}
		})
	}
}

func TestReadOnlyRoutesReadAuthorizationAlone(t *testing.T) {
	_, server := start(t, gateway.Options{})
	tests := []struct {
		name   string
		header http.Header
		want   int
	}{
		{"Authorization", bearer(firstKey), 200},
		{"suffix", bearer(firstKey + "-x-y"), 200},
		{"x-api-key", http.Header{"X-Api-Key": {firstKey}}, 401},
		{"subprotocol", http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key." + firstKey}}, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, body := send(t, "GET", server.URL+"/api/log/token", "", tt.header); got != tt.want {
				t.Errorf("got %d, want %d: %s", got, tt.want, body)
			}
		})
	}
}
