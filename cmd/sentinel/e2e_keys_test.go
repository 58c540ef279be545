package main

import (
	"net/http"
	"strings"
	"testing"
)

// spelling is one way to send a key. The gateway is the judge of whether it is
// one: what it accepts, Sentinel must have read too.
type spelling struct {
	name         string
	method, path string
	header       http.Header
}

// spellings are all ways that are known to name key, some beside other, which is
// another one that the gateway knows.
func spellings(key, other string) []spelling {
	const chat, claude, gemini = "/v1/echo", "/v1/messages", "/v1beta/models/demo-chat:generateContent"
	bare := strings.TrimPrefix(key, "sk-")
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i+1 < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	authorization := func(value string) http.Header { return header("Authorization", value) }
	return []spelling{
		{"Bearer", "POST", chat, authorization("Bearer " + key)},
		{"bearer", "POST", chat, authorization("bearer " + key)},
		{"bare", "POST", chat, authorization(key)},
		{"bare without sk-", "POST", chat, authorization(bare)},
		{"Bearer without sk-", "POST", chat, authorization("Bearer " + bare)},
		{"channel", "POST", chat, authorization("Bearer " + key + "-1")},
		{"hyphen", "POST", chat, authorization("Bearer " + key + "-")},
		{"no-break space", "POST", chat, authorization("Bearer \u00a0" + key + "\u00a0")},
		{"ideographic space", "POST", chat, authorization("Bearer \u3000" + key)},
		{"next line", "POST", chat, authorization("Bearer " + key + "\u0085")},
		{"more space", "POST", chat, authorization("Bearer   " + key)},
		{"other letters", "POST", chat, authorization("Bearer " + strings.ToLower(key))},
		{"subprotocol without upgrade", "POST", chat, header("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key."+key)},
		{"subprotocol before Authorization", "POST", chat, header("Authorization", "Bearer "+other, "Sec-WebSocket-Protocol", "openai-insecure-api-key."+key)},
		{"subprotocol in the second line", "POST", chat, header("Sec-WebSocket-Protocol", "realtime", "Sec-WebSocket-Protocol", "openai-insecure-api-key."+key)},
		{"whole subprotocol", "POST", chat, header("Sec-WebSocket-Protocol", key)},
		{"x-api-key", "POST", claude, header("X-Api-Key", key)},
		{"x-api-key before Authorization", "POST", claude, header("Authorization", "Bearer "+other, "X-Api-Key", key)},
		{"x-api-key on an encoded path", "POST", "/v1%2Fmessages", header("X-Api-Key", key)},
		{"x-api-key on an encoded letter", "POST", "/%761/messages", header("X-Api-Key", key)},
		{"x-api-key on a path that only contains it", "POST", "/v1/echo/v1/messages", header("X-Api-Key", key)},
		{"query", "GET", "/v1/models?key=" + key, nil},
		{"query with an encoded name", "GET", "/v1/models?k%65y=" + key, nil},
		{"query with spaces", "GET", "/v1/models?key=%20" + key + "+", nil},
		{"query with an encoded letter", "GET", "/v1/models?key=%73k-" + bare, nil},
		{"query with a scheme", "GET", "/v1/models?key=Bearer%20" + key, nil},
		{"query before the other", "GET", "/v1/models?key=" + key + "&key=" + other, nil},
		{"query after a broken pair", "GET", "/v1/models?a=%zz&key=" + key, nil},
		{"query on Gemini", "POST", gemini + "?key=" + key, nil},
		{"x-goog-api-key", "POST", gemini, header("X-Goog-Api-Key", key)},
		{"x-goog-api-key before all", "POST", gemini + "?key=" + other, header("Authorization", "Bearer "+other, "X-Goog-Api-Key", key)},
		{"mj-api-secret", "POST", "/mj/submit/imagine", header("Mj-Api-Secret", key)},
		{"mj-api-secret with a placeholder", "POST", "/mj/submit/imagine", header("Authorization", "Bearer midjourney-proxy", "Mj-Api-Secret", key)},
		{"key usage", "GET", "/api/usage/token/", authorization("Bearer " + key + "-x-y")},
		{"key log", "GET", "/api/log/token", authorization(key)},
		{"hop-by-hop decoy", "POST", claude, header("Authorization", "Bearer "+other, "X-Api-Key", key, "Connection", "Authorization")},
	}
}

func (s spelling) send(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), s.method, url+s.path, strings.NewReader(`{"messages":"hello"}`))
	must(t, err)
	for name, values := range s.header {
		r.Header[name] = values
	}
	res, err := client.Do(r)
	must(t, err)
	must(t, res.Body.Close())
	return res.StatusCode
}

// TestEverySpellingOfABoundKeyIsHeld binds a key at home, and then sends it from
// elsewhere in every spelling: whatever the gateway would take is refused, and
// never gets there. The other key is elsewhere's own: it does not help.
func TestEverySpellingOfABoundKeyIsHeld(t *testing.T) {
	key, other := testKey(9200), testKey(9201)
	for _, mode := range []string{"newest", "--legacy", "--fold-case"} {
		t.Run(strings.TrimLeft(mode, "-"), func(t *testing.T) {
			var flags []string
			if mode != "newest" {
				flags = append(flags, mode)
			}
			gateway := startGatewayWith(t, flags, key, other)
			sentinel := startSentinel(t, gateway.url)
			home, elsewhere := from(t, homeIP), from(t, elsewhereIP)
			for client, key := range map[*http.Client]string{home: key, elsewhere: other} {
				if got := call(t, client, "GET", sentinel.url+"/v1/models", key, nil); got.status != http.StatusOK {
					t.Fatalf("first use: got %d %s", got.status, got.body)
				}
			}
			accepted := 0
			for _, s := range spellings(key, other) {
				before := gateway.uses(key)
				if s.send(t, elsewhere, gateway.url) != http.StatusOK || gateway.uses(key) != before+1 {
					continue // the gateway does not take that for the key
				}
				accepted++
				if got := s.send(t, elsewhere, sentinel.url); got < 400 || got > 403 {
					t.Errorf("%s from elsewhere: got %d, want a refusal", s.name, got)
				}
				if got := gateway.uses(key) - before - 1; got != 0 {
					t.Errorf("%s from elsewhere: reached the gateway", s.name)
				}
			}
			if accepted < 25 {
				t.Errorf("the gateway took %d spellings: the test has lost its subject", accepted)
			}
		})
	}
}

// TestSuccessWithoutACheckBindsNothing sends a key from elsewhere to where the
// gateway answers with success and has not looked at it. If that bound the key,
// its owner would be locked out, and invented keys would fill the disk.
func TestSuccessWithoutACheckBindsNothing(t *testing.T) {
	tests := []struct {
		name, method, path string
		header             http.Header
	}{
		{"page", "GET", "/", nil},
		{"page of a deep link", "GET", "/console/token", nil},
		{"status", "GET", "/api/status", nil},
		{"login", "POST", "/api/user/login", nil},
		{"public echo", "POST", "/echo", nil},
		{"picture", "GET", "/mj/image/1", nil},
		{"picture of a mode", "GET", "/fast/mj/image/1", nil},
		{"page for an unknown picture route", "GET", "/mj/nothing", nil},
		{"page for an unknown route of a mode", "GET", "/fast/mj/nothing", nil},
		{"page for an unknown music route", "GET", "/suno/nothing", nil},
		{"page for an unknown video route", "GET", "/kling/v1/nothing", nil},
		{"page for another unknown video route", "GET", "/jimeng/nothing", nil},
		{"page for an unknown bill", "GET", "/dashboard/billing/nothing", nil},
		{"page for a wrong method", "GET", "/suno/submit/music", nil},
		{"head of a page", "HEAD", "/mj/nothing", nil},
		{"page for an encoded /v1", "GET", "/%761/nothing", nil},
		{"page for an encoded /v1beta", "GET", "/%761beta/nothing", nil},
		{"page for two slashes", "GET", "//v1/models", nil},
		{"pre-flight", "OPTIONS", "/v1/chat/completions", http.Header{"Origin": {"https://app.example"}}},
	}
	keys := make([]string, len(tests))
	for i := range keys {
		keys[i] = testKey(9300 + i)
	}
	gateway := startGateway(t, keys...)
	sentinel := startSentinel(t, gateway.url)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := tt.header.Clone()
			if header == nil {
				header = http.Header{}
			}
			header.Set("Authorization", "Bearer "+keys[i])
			s := spelling{tt.name, tt.method, tt.path, header}
			if got := s.send(t, from(t, elsewhereIP), sentinel.url); got < 200 || got > 299 {
				t.Fatalf("got %d, want a success of the gateway's", got)
			}
			if gateway.uses(keys[i]) != 0 {
				t.Fatal("the gateway did look at the key")
			}
			if got := call(t, from(t, homeIP), "GET", sentinel.url+"/v1/models", keys[i], nil); got.status != http.StatusOK {
				t.Errorf("first real use, from home: got %d %s, want 200", got.status, got.body)
			}
		})
	}
}

// TestRefusedKeysStayUnbound: what the gateway does not accept belongs to no one.
func TestRefusedKeysStayUnbound(t *testing.T) {
	key := testKey(9400)
	gateway := startGateway(t, key)
	sentinel := startSentinel(t, gateway.url)
	home, elsewhere := from(t, homeIP), from(t, elsewhereIP)
	steps := []struct {
		name, path, key string
		client          *http.Client
		want            int
	}{
		{"invented", "/v1/models", testKey(9401), elsewhere, 401},
		{"invented, from another address", "/v1/models", testKey(9401), home, 401},
		{"real, answered with an error", "/v1/status/500", key, elsewhere, 500},
		{"real, answered with a redirect", "/v1/status/302", key, elsewhere, 302},
		{"real, on a path that is not there", "/v1/nothing", key, elsewhere, 404},
		{"real, with success", "/v1/status/204", key, home, 204},
		{"the same elsewhere", "/v1/status/204", key, elsewhere, 403},
	}
	for _, s := range steps {
		s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if got := call(t, s.client, "GET", sentinel.url+s.path, s.key, nil); got.status != s.want {
			t.Errorf("%s: got %d, want %d: %s", s.name, got.status, s.want, got.body)
		}
	}
}
