package credential_test

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
)

func locations(t testing.TB, s string) []credential.Location {
	t.Helper()
	l, err := credential.ParseLocations(s)
	if err != nil {
		t.Fatalf("parse locations: %v", err)
	}
	return l
}

// found names the keys of a set by their canonical form.
func found(r *credential.Reader, set *credential.Set, candidates ...string) []string {
	names := make([]string, set.Len())
	for _, c := range candidates {
		if i := indexOf(r, set, c); i >= 0 {
			names[i] = c
		}
	}
	return names
}

func TestLiteLLM(t *testing.T) {
	const k, other = "sk-Litellm-Key_1", "sk-Other-Key_2"
	basic := base64.StdEncoding.EncodeToString([]byte(k + ":secret"))
	tests := []struct {
		name    string
		path    string
		query   string
		lines   []string
		want    []string
		primary string
	}{
		{"bearer", "/", "", []string{"Authorization: Bearer " + k}, []string{k}, k},
		{"lower-case bearer", "/", "", []string{"Authorization: bearer " + k}, []string{k}, k},
		{"basic", "/", "", []string{"Authorization: Basic " + k}, []string{k}, k},
		{"bearer within", "/", "", []string{"Authorization: Bearer sk-LitellmBearer -Key_1"}, []string{k}, k},
		{"bearer within, without a scheme", "/", "", []string{"api-key: sk-LitellmBearer -Key_1"}, []string{k}, k},
		{"basic within", "/", "", []string{"x-litellm-api-key: Basic sk-Basic Litellm-Key_1"}, []string{k}, k},
		{"signature with bearer", "/", "", []string{"Authorization: AWS4-HMAC-SHA256 Credential=Bearer " + k + "/20260101/us/bedrock, SignedHeaders=host"}, []string{k}, k},
		{"signature", "/", "", []string{"Authorization: AWS4-HMAC-SHA256 Credential=" + k + "/20260101/us"}, []string{k}, k},
		{"signature, second credential", "/", "", []string{"Authorization: AWS4-HMAC-SHA256 Credential=x, Credential=Bearer  " + k + ","}, []string{k}, k},
		{"langfuse", "/", "", []string{"Authorization: Basic " + basic}, []string{k}, k},
		{"langfuse with junk", "/", "", []string{"Authorization: Basic " + basic[:2] + "._-" + basic[2:]}, []string{k}, k},
		{"case counts", "/", "", []string{"Authorization: Bearer " + k, "api-key: " + strings.ToLower(k)}, []string{k, strings.ToLower(k)}, k},
		{"no key", "/", "", []string{"Authorization: Bearer", "api-key: "}, nil, ""},
		{"own header first", "/v1/messages", "", []string{"x-litellm-api-key: " + k, "Authorization: Bearer " + other, "x-api-key: " + other}, []string{k, other}, k},
		{"authorization before the rest", "/v1/messages", "", []string{"Authorization: Bearer " + k, "x-api-key: " + other}, []string{k, other}, k},
		{"anthropic before google", "/v1/messages", "", []string{"x-goog-api-key: " + other, "x-api-key: " + k}, []string{k, other}, k},
		{"gateway header", "/", "", []string{"Ocp-Apim-Subscription-Key: " + k}, []string{k}, k},
		{"last query value", "/v1beta/models/m:generateContent", "key=" + other + "&key=" + k, nil, []string{other, k}, k},
		{"query elsewhere", "/v1/models", "key=" + other, []string{"x-goog-api-key: " + k}, []string{k, other}, k},
		{"websocket", "/v1/realtime", "", []string{"Upgrade: websocket", "x-litellm-api-key: " + other, "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key." + k}, []string{other, k}, k},
		{"websocket header first", "/v1/realtime", "", []string{"Upgrade: websocket", "api-key: " + k, "Sec-WebSocket-Protocol: openai-insecure-api-key." + other}, []string{k, other}, k},
		{"pass through", "/vertex-ai/x", "", []string{"litellm_user_api_key: " + k, "Authorization: Bearer " + other}, []string{other, k}, k},
		{"gemini pass through", "/gemini/v1beta/x", "key=" + k, []string{"Authorization: Bearer " + other}, []string{other, k}, k},
		{"login token is a key here", "/", "", []string{"Authorization: Bearer " + loginToken()}, []string{loginToken()}, loginToken()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newReader(t, credential.Options{Profile: credential.ProfileLiteLLM})
			set := read(t, r, request(tt.path, tt.query, tt.lines...))
			if got := found(r, set, k, other, strings.ToLower(k), loginToken()); !slices.Equal(got, tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			want := -1
			if tt.primary != "" {
				want = indexOf(r, set, tt.primary)
			}
			if set.Primary() != want {
				t.Errorf("primary %d, want %d", set.Primary(), want)
			}
		})
	}
}

func TestLiteLLMExtraHeader(t *testing.T) {
	r := newReader(t, credential.Options{Profile: credential.ProfileLiteLLM, ExtraHeader: "x-team-key"})
	set := read(t, r, request("/v1/models", "", "Authorization: Bearer sk-upstream", "X-Team-Key: Bearer sk-team"))
	if set.Len() != 2 || set.Primary() != indexOf(r, set, "sk-team") {
		t.Errorf("%d keys, primary %d, want that of the extra header", set.Len(), set.Primary())
	}
	if !slices.Contains(r.Headers(), "X-Team-Key") {
		t.Errorf("headers %q lack the extra one", r.Headers())
	}
	same := newReader(t, credential.Options{Profile: credential.ProfileLiteLLM, ExtraHeader: "API-KEY"})
	if got, want := len(same.Headers()), len(r.Headers())-1; got != want {
		t.Errorf("%d headers, want %d", got, want)
	}
}

// FuzzCanonicalLiteLLM holds every reading of LiteLLM's that can be a key
// against the canonical one.
func FuzzCanonicalLiteLLM(f *testing.F) {
	for _, s := range oddities() {
		f.Add(s)
	}
	for _, s := range []string{
		"Bearer Bearer sk-a", "Basic Bearer sk-a", "bearer bearer sk-a", "AWS4-HMAC-SHA256 Credential=Bearer sk-a/b", "skBearer -a",
		"AWS4-HMAC-SHA256 Credential=Bearer/x Credential=Bearer\tsk-a, c", "Bearer BeaBearer rer sk-a", "AWS4-HMAC-SHA256Credential=sk-a",
	} {
		f.Add(s)
	}
	r := newReader(f, credential.Options{Profile: credential.ProfileLiteLLM})
	f.Fuzz(func(t *testing.T, value string) {
		value = strings.Trim(value, " \t\r\n")
		for _, key := range []string{value, liteLLMReading(value), liteLLMReading("Bearer " + value)} {
			if !regexp.MustCompile(`^sk-[!-~]+$`).MatchString(key) || len(value) > credential.MaxValueBytes {
				continue // LiteLLM takes no such key
			}
			if hash, _, err := r.HashKey(value); err != nil || hash != r.Hash(key) {
				t.Fatalf("%q: %v, LiteLLM reads %q", value, err, key)
			}
		}
	})
}

// liteLLMReading is LiteLLM's _get_bearer_token, with spaces trimmed.
func liteLLMReading(value string) string {
	switch {
	case strings.HasPrefix(value, "Bearer "):
		value = strings.ReplaceAll(value, "Bearer ", "")
	case strings.HasPrefix(value, "Basic "):
		value = strings.ReplaceAll(value, "Basic ", "")
	case strings.HasPrefix(value, "bearer "):
		value = strings.ReplaceAll(value, "bearer ", "")
	case strings.HasPrefix(value, "AWS4-HMAC-SHA256"):
		for _, pattern := range []string{`Credential=Bearer\s+([^/\s,]+)`, `Credential=([^/\s,]+)`} {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(value); m != nil {
				return m[1]
			}
		}
		return ""
	default:
		return ""
	}
	return strings.Trim(value, " \t")
}

func TestOpenAI(t *testing.T) {
	long, longer := "sk-proj-"+keyA, "sk-ant-"+keyB
	tests := []struct {
		name      string
		path      string
		query     string
		lines     []string
		want      []string
		primary   string
		ambiguous bool
	}{
		{"bearer", "/v1/models", "", []string{"Authorization: Bearer " + long}, []string{long}, long, false},
		{"any case and spaces", "/v1/models", "", []string{"Authorization: BEARER \t " + long}, []string{long}, long, false},
		{"bare", "/v1/models", "", []string{"Authorization: " + long}, []string{long}, long, false},
		{"begins like a scheme", "/v1/models", "", []string{"api-key: bearerkey"}, []string{"bearerkey"}, "bearerkey", false},
		{"scheme only", "/v1/models", "", []string{"Authorization: bearer"}, nil, "", false},
		{"azure", "/openai/x", "", []string{"api-key: " + long}, []string{long}, long, false},
		{"google", "/v1beta/x", "key=" + long, []string{"x-goog-api-key: " + long}, []string{long}, long, false},
		{"subprotocol", "/v1/realtime", "", []string{"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key." + long}, []string{long}, long, false},
		{"authorization first", "/v1/chat/completions", "", []string{"Authorization: Bearer " + long, "x-api-key: " + longer}, []string{long, longer}, long, true},
		{"x-api-key first on messages", "/v1/messages", "", []string{"Authorization: Bearer " + long, "x-api-key: " + longer}, []string{long, longer}, longer, true},
		{"dummy", "/v1/chat/completions", "", []string{"Authorization: Bearer EMPTY", "x-api-key: " + longer}, []string{"EMPTY", longer}, longer, true},
		{"long dummy", "/v1/messages", "", []string{"Authorization: Bearer " + long, "x-api-key: sk-xxxxxxxxxxxxxxxxxxxxxxxxxx"}, []string{long, "sk-xxxxxxxxxxxxxxxxxxxxxxxxxx"}, long, true},
		{"only dummies", "/v1/messages", "", []string{"Authorization: Bearer a", "api-key: b"}, []string{"a", "b"}, "a", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newReader(t, credential.Options{Profile: credential.ProfileOpenAI})
			set := read(t, r, request(tt.path, tt.query, tt.lines...))
			if got := found(r, set, tt.want...); !slices.Equal(got, tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			want := -1
			if tt.primary != "" {
				want = indexOf(r, set, tt.primary)
			}
			if set.Primary() != want || set.Ambiguous() != tt.ambiguous {
				t.Errorf("primary %d, ambiguous %t, want %d, %t", set.Primary(), set.Ambiguous(), want, tt.ambiguous)
			}
		})
	}
}

func TestGeneric(t *testing.T) {
	canonical, err := credential.ParseCanonical("bearer, trim,strip:sk-,cut:-,lower")
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(t, credential.Options{
		Profile: credential.ProfileGeneric, Canonical: canonical,
		Locations: locations(t, "header:X-Key, query:token, subprotocol:auth."),
	})
	for _, req := range []*credential.Request{
		request("/", "", "x-key: Bearer sk-ABC-1"),
		request("/", "token=abc"),
		request("/", "", "Sec-WebSocket-Protocol: x, auth.sk-aBc"),
		request("/", "token=ABC", "X-Key: abc", "Authorization: other"),
	} {
		set := read(t, r, req)
		if set.Len() != 1 || set.Hash(0) != r.Hash("abc") || set.Ambiguous() {
			t.Errorf("%v ?%s: %d keys, want the one", req.Header, req.RawQuery, set.Len())
		}
	}
	set := read(t, r, request("/", "token=x", "X-Key: y"))
	if set.Primary() != indexOf(r, set, "y") || !set.Ambiguous() {
		t.Errorf("primary %d, ambiguous %t, want the first location's", set.Primary(), set.Ambiguous())
	}
	if got, want := r.Headers(), []string{"X-Key", "Sec-Websocket-Protocol"}; !slices.Equal(got, want) {
		t.Errorf("headers %q, want %q", got, want)
	}
	few := newReader(t, credential.Options{
		Profile: credential.ProfileGeneric, Locations: locations(t, "header:A"), BindPaths: []string{"/v1/", "/api/"},
	})
	for path, want := range map[string]bool{"/v1/x": true, "/api/": true, "/v1": false, "/": false} {
		if got := few.ChecksKeys(request(path, "")); got != want {
			t.Errorf("%s: checks keys %t, want %t", path, got, want)
		}
	}
	plain := newReader(t, credential.Options{Profile: credential.ProfileGeneric, Locations: locations(t, "header:A")})
	if set := read(t, plain, request("/", "", "A: Bearer K-1")); set.Hash(0) != plain.Hash("Bearer K-1") {
		t.Error("without steps the key is not taken as it is")
	}
}

func TestParseErrors(t *testing.T) {
	for _, s := range []string{
		"", "header", "header:", "header:A B", "cookie:x", "query:", "header:Cookie", "header:a,header:A", "header:Sec-WebSocket-Protocol",
		"query:a,", "header:A" + strings.Repeat(",query:x", 20),
	} {
		if _, err := credential.ParseLocations(s); err == nil {
			t.Errorf("locations %q are taken, want an error", s)
		}
	}
	for _, s := range []string{"bearer,", "upper", "strip", "strip:", "cut:", "lower,trim", "lower:x", "trim:x"} {
		if _, err := credential.ParseCanonical(s); err == nil {
			t.Errorf("canonical %q is taken, want an error", s)
		}
	}
	if _, err := credential.ParseCanonical(" "); err != nil {
		t.Errorf("empty canonical: %v", err)
	}
	for _, o := range []credential.Options{
		{Profile: credential.ProfileNewAPI},
		{Profile: "other", Secret: secret},
		{Profile: credential.ProfileGeneric, Secret: secret},
		{Profile: credential.ProfileGeneric, Secret: secret, Locations: locations(t, "query:a"), BindPaths: []string{"v1/"}},
		{Profile: credential.ProfileLiteLLM, Secret: secret, ExtraHeader: "a b"},
		{Profile: credential.ProfileLiteLLM, Secret: secret, ExtraHeader: "cookie"},
	} {
		if _, err := credential.New(o); err == nil {
			t.Errorf("options of profile %q are taken, want an error", o.Profile)
		}
	}
}
