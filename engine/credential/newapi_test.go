package credential_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
)

func TestNewAPIReadsEverySpellingAsOneKey(t *testing.T) {
	upper, lower := strings.ToUpper(keyA), strings.ToLower(keyA)
	var requests []*credential.Request
	for _, spelled := range []string{
		keyA, "sk-" + keyA, "Bearer " + keyA, "bearer " + keyA, "Bearer sk-" + keyA, "bearer sk-" + keyA,
		"sk-" + keyA + "-1", "Bearer sk-" + keyA + "-", keyA + "-7-8", "sk-" + keyA + "-!3-ignore", "Bearer  sk-" + keyA,
		"Bearer \u00a0sk-" + keyA + "\u3000", "Bearer \u0085" + keyA, "\u3000" + keyA + "\u00a0", "Bearer \tsk-" + keyA + "\t",
		"sk-" + upper, "Bearer sk-" + lower, "Bearer sk-" + keyA + " -1", "Bearer sk-" + keyA + "-\u00e9", keyA + "-\x80",
	} {
		for _, name := range []string{"Authorization", "x-api-key", "x-goog-api-key", "mj-api-secret"} {
			for _, path := range []string{"/", "/v1/chat/completions", "/v1/messages", "/v1beta/models/m:generateContent", "/mj/submit/imagine"} {
				requests = append(requests, request(path, "", name+": "+spelled))
			}
		}
		requests = append(requests,
			request("/v1/models", "key="+url.QueryEscape(spelled)),
			request("/v1/chat/completions", "a=b&key="+url.PathEscape(spelled)+"&c"),
			request("/v1beta/models/m:x", "k%65y="+url.QueryEscape(" "+spelled+" ")),
			request("/v1/realtime", "", "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key."+strings.ReplaceAll(spelled, ",", "")+" ,openai-beta.realtime-v1"),
			request("/v1/chat/completions", "", "Sec-WebSocket-Protocol: openai-insecure-api-key."+spelled),
			request("/v1/chat/completions", "", "Sec-WebSocket-Protocol: "+spelled),
		)
	}
	r := newAPI(t)
	want := r.Hash(keyA)
	for _, req := range requests {
		set := new(credential.Set)
		if err := r.Read(req, set); err != nil {
			t.Errorf("%v ?%s: %v", req.Header, req.RawQuery, err)
			continue
		}
		if set.Len() != 1 || set.Hash(0) != want || set.Primary() != 0 || set.Ambiguous() {
			t.Errorf("%s %v ?%s: %d keys, primary %d, ambiguous %t, want the one key", req.Path, req.Header, req.RawQuery,
				set.Len(), set.Primary(), set.Ambiguous())
		}
	}
}

func TestNewAPIFindsNoKey(t *testing.T) {
	tests := []struct {
		name  string
		query string
		lines []string
	}{
		{"nothing", "", nil},
		{"empty header", "", []string{"Authorization: "}},
		{"scheme only", "", []string{"Authorization: Bearer"}},
		{"scheme and space", "", []string{"Authorization: Bearer "}},
		{"scheme in another case", "", []string{"Authorization: BEARER"}},
		{"prefix only", "", []string{"Authorization: Bearer sk-"}},
		{"suffix only", "", []string{"Authorization: Bearer sk--1"}},
		{"spaces only", "key=%20+%09", []string{"Authorization: Bearer \u3000 "}},
		{"placeholder", "", []string{"Authorization: Bearer midjourney-proxy"}},
		{"bare placeholder", "", []string{"mj-api-secret: midjourney-proxy"}},
		{"empty parameter", "key=&key&a=b", nil},
		{"other parameter", "Key=x&keys=y&akey=z", nil},
		{"realtime", "", []string{"Sec-WebSocket-Protocol: realtime"}},
		{"beta only", "", []string{"Sec-WebSocket-Protocol: openai-beta.realtime-v1"}},
		{"protocols", "", []string{"Sec-WebSocket-Protocol: realtime, openai-beta.realtime-v1"}},
		{"protocols without space", "", []string{"Sec-WebSocket-Protocol: responses,openai-beta.x"}},
		{"empty protocol key", "", []string{"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key."}},
		{"cookie", "", []string{"Cookie: session=abc"}},
		{"other header", "", []string{"api-key: " + keyA, "X-Key: " + keyA}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := read(t, newAPI(t), request("/v1/chat/completions", tt.query, tt.lines...))
			if set.Len() != 0 || set.Primary() != -1 || set.Ambiguous() || set.Dashboard() {
				t.Errorf("got %d keys, primary %d, ambiguous %t, dashboard %t, want nothing",
					set.Len(), set.Primary(), set.Ambiguous(), set.Dashboard())
			}
		})
	}
}

func TestNewAPIPrimary(t *testing.T) {
	const chat, messages, models, gemini = "/v1/chat/completions", "/v1/messages", "/v1/models", "/v1beta/models/m:generateContent"
	auth, anthropic, google, mj := "Authorization: Bearer sk-", "x-api-key: ", "x-goog-api-key: ", "mj-api-secret: "
	protocol := "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-"
	tests := []struct {
		name      string
		path      string
		query     string
		lines     []string
		want      string // canonical; empty for none
		ambiguous bool
	}{
		{"x-api-key on messages", messages, "", []string{auth + keyA, anthropic + keyB}, keyB, true},
		{"x-api-key on messages beside a dummy", messages, "", []string{auth + "xxx", anthropic + keyB}, keyB, false},
		{"dummy x-api-key on chat", chat, "", []string{auth + keyA, anthropic + "sk-xxx"}, keyA, false},
		{"dummy x-api-key on messages", messages, "", []string{auth + keyA, anthropic + "sk-xxx"}, "xxx", false},
		{"dummy x-api-key on models, which older versions ignore", models, "", []string{auth + keyA, anthropic + "sk-xxx"}, keyA, true},
		{"two x-api-key on chat", chat, "", []string{auth + keyA, anthropic + keyB}, keyA, true},
		{"query on gemini", gemini, "key=" + keyB, []string{auth + keyA}, keyB, true},
		{"google header after query", gemini, "key=" + keyB, []string{google + keyA}, keyA, true},
		{"first query value", gemini, "key=" + keyB + "&key=" + keyA, nil, keyB, true},
		{"first query value is empty", gemini, "key=&key=xxx", []string{auth + keyA}, keyA, false},
		{"query on models is newer", models, "key=" + keyB, []string{auth + keyA}, keyB, true},
		{"dummy query on chat", chat, "key=sk-xxx", []string{auth + keyA}, keyA, false},
		{"midjourney secret beside the placeholder", "/mj/submit/imagine", "", []string{auth[:22] + "midjourney-proxy", mj + keyA, anthropic + "x"}, keyA, false},
		{"midjourney secret beside a key", "/mj/submit/imagine", "", []string{auth + keyB, mj + "dummy"}, keyB, false},
		{"subprotocol on chat", chat, "", []string{auth + "xxx", protocol + keyA}, keyA, true},
		{"whole subprotocol is older", chat, "", []string{auth + keyA, "Sec-WebSocket-Protocol: " + keyB}, keyA, true},
		{"name of a protocol", chat, "", []string{auth + keyA, anthropic + "x", "Sec-WebSocket-Protocol: realtime"}, keyA, false},
		{"unknown name of a protocol", chat, "", []string{auth + keyA, "Sec-WebSocket-Protocol: graphql-ws"}, keyA, true},
		{"second subprotocol key", chat, "", []string{protocol + keyA + ", openai-insecure-api-key." + keyB}, keyA, true},
		{"only in unread places", chat, "", []string{anthropic + "x", google + keyB}, keyB, true},
		{"read-only route", "/api/usage/token/", "", []string{auth + keyA, mj + keyB}, keyA, true},
		{"older log route", "/api/log/token", "key=" + keyB, []string{auth + "xxx"}, keyB, true},
		{"login token and a key", chat, "", []string{"Authorization: Bearer " + loginToken(), anthropic + keyA}, "", false},
		{"login token and a key that is read", messages, "", []string{"Authorization: Bearer " + loginToken(), anthropic + keyA}, keyA, false},
		{"login token on video content", "/v1/videos/1/content", "", []string{"Authorization: Bearer " + loginToken(), protocol + keyA}, "", false},
		{"session cookie on video content", "/v1/videos/1/content", "", []string{"Cookie: session=x", auth + keyA}, keyA, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newAPI(t)
			set := read(t, r, request(tt.path, tt.query, tt.lines...))
			want := -1
			if tt.want != "" {
				if want = indexOf(r, set, tt.want); want < 0 {
					t.Fatalf("wanted key is not in the set of %d", set.Len())
				}
			}
			if set.Primary() != want || set.Ambiguous() != tt.ambiguous {
				t.Errorf("primary %d, ambiguous %t, want %d, %t", set.Primary(), set.Ambiguous(), want, tt.ambiguous)
			}
		})
	}
}

func TestNewAPIPathWithPrefixOfTheDownstream(t *testing.T) {
	tests := []struct {
		name, path, sent string
	}{
		{"prefix is the API's", "/messages", "/v1/messages"},
		{"prefix is taken away again", "/v1/messages", "/gateway/v1/messages"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newAPI(t)
			req := request(tt.path, "", "Authorization: Bearer "+keyA, "x-api-key: "+keyB)
			req.SentPath = tt.sent
			set := read(t, r, req)
			if got := set.Primary(); got != indexOf(r, set, keyB) {
				t.Errorf("primary %d, want x-api-key", got)
			}
			if !r.ChecksKeys(req) {
				t.Error("does not check keys, want that it does")
			}
		})
	}
}

func TestStripOthersLeavesOneReading(t *testing.T) {
	r := newAPI(t)
	req := request("/v1/videos/1/content", "", "Authorization: Bearer "+keyA, "x-api-key: "+keyB, "mj-api-secret: sk-"+keyA+"-1",
		"Sec-WebSocket-Protocol: openai-insecure-api-key."+keyA+", openai-insecure-api-key."+keyC, "Cookie: session=x", "Accept: a")
	set := read(t, r, req)
	set.StripOthers(req.Header, indexOf(r, set, keyA))
	for _, name := range []string{"X-Api-Key", "Sec-Websocket-Protocol", "Cookie"} {
		if _, ok := req.Header[name]; ok {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range []string{"Authorization", "Mj-Api-Secret", "Accept"} {
		if _, ok := req.Header[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
}

func TestNewAPILoginToken(t *testing.T) {
	token := loginToken()
	tail := "." + segment(`{"exp":4000000000}`) + "." + segment("s")
	tests := []struct {
		name      string
		value     string
		dashboard bool
	}{
		{"bearer", "Bearer " + token, true},
		{"any case", "BEARER   " + token, true},
		{"bare", token, true},
		{"no expiry", "Bearer " + segment(`{"alg":"HS256"}`) + "." + segment(`{"sub":"1"}`) + "." + segment("s"), false},
		{"no algorithm", "Bearer " + segment(`{"typ":"JWT"}`) + tail, false},
		{"no signature", "Bearer " + strings.TrimSuffix(token, segment("signature")), false},
		{"four segments", "Bearer " + token + ".x", false},
		{"not JSON", "Bearer " + segment("x") + tail, false},
		{"not an object", "Bearer " + segment(`"alg"`) + tail, false},
		{"key with segments appended", "Bearer sk-" + keyA + tail, false},
		{"key with a suffix of segments", "Bearer sk-" + keyA + "-" + token, false},
		{"three parts", "Bearer x " + token, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := read(t, newAPI(t), request("/api/user/self", "", "Authorization: "+tt.value))
			if set.Dashboard() != tt.dashboard || (set.Len() == 0) != tt.dashboard {
				t.Errorf("dashboard %t with %d keys, want %t", set.Dashboard(), set.Len(), tt.dashboard)
			}
		})
	}
	t.Run("no suffix hides a key", func(t *testing.T) {
		// The worst case: a key that is the beginning of the head of a token.
		head := segment(`{"alg":"HS256","k":"` + strings.Repeat("A", 16) + "\xf8A" + `"}`)
		key, _, cut := strings.Cut(head, "-")
		if len(key) != 48 || !cut {
			t.Fatalf("head %q does not begin with a key and '-'", head)
		}
		r := newAPI(t)
		set := read(t, r, request("/v1/chat/completions", "", "Authorization: Bearer "+head+tail))
		if set.Dashboard() || indexOf(r, set, key) != 0 {
			t.Error("key was taken for a login token")
		}
	})
}

func TestNewAPIRefuses(t *testing.T) {
	long := strings.Repeat("a", credential.MaxValueBytes+1)
	var many []string
	for i := range credential.MaxKeys + 1 {
		many = append(many, "key="+strings.Repeat(string(rune('a'+i)), 48))
	}
	tests := []struct {
		name  string
		path  string
		query string
		lines []string
		want  credential.Kind
	}{
		{"two lines", "/", "", []string{"Authorization: Bearer " + keyA, "Authorization: Bearer " + keyB}, credential.Repeated},
		{"two lines of one key", "/", "", []string{"x-api-key: " + keyA, "X-Api-Key: " + keyA}, credential.Repeated},
		{"empty second line", "/", "", []string{"mj-api-secret: " + keyA, "mj-api-secret: "}, credential.Repeated},
		{"two lines of protocols", "/", "", []string{"Sec-WebSocket-Protocol: realtime", "Sec-WebSocket-Protocol: a"}, credential.Repeated},
		{"full width", "/", "", []string{"Authorization: Bearer ａ" + keyA[1:]}, credential.Unprintable},
		{"accent", "/", "", []string{"Authorization: Bearer á" + keyA[1:]}, credential.Unprintable},
		{"invalid UTF-8", "/", "", []string{"x-goog-api-key: \xff" + keyA}, credential.Unprintable},
		{"space of another kind inside", "/", "", []string{"Authorization: Bearer " + keyA + "\u00a0-1"}, credential.Unprintable},
		{"control byte", "/", "key=%00" + keyA, nil, credential.Unprintable},
		{"tab before the suffix", "/", "key=" + keyA + "%09-1", nil, credential.Unprintable},
		{"delete", "/", "", []string{"Authorization: \x7f"}, credential.Unprintable},
		{"semicolon", "/", "a=b;key=" + keyA, nil, credential.BadQuery},
		{"broken escape", "/page", "a=%zz", nil, credential.BadQuery},
		{"cut escape", "/page", "a=%4", nil, credential.BadQuery},
		{"many parameters", "/page", strings.Repeat("&", credential.MaxParameters), nil, credential.TooManyParameters},
		{"long header", "/", "", []string{"Authorization: " + long}, credential.TooLong},
		{"long protocol", "/", "", []string{"Sec-WebSocket-Protocol: " + long}, credential.TooLong},
		{"long parameter", "/", "key=" + long, nil, credential.TooLong},
		{"64 KB", "/", "", []string{"Authorization: Bearer " + strings.Repeat("a", 64<<10)}, credential.TooLong},
		{"many keys", "/", strings.Join(many, "&"), nil, credential.TooMany},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := new(credential.Set)
			err := newAPI(t).Read(request(tt.path, tt.query, tt.lines...), set)
			if kindOf(err) != tt.want || set.Len() != 0 {
				t.Fatalf("got %v with %d keys, want kind %s", err, set.Len(), tt.want)
			}
			if text := err.Error(); strings.Contains(text, keyA[1:]) || strings.Contains(text, keyA[:20]) {
				t.Errorf("message %q holds the key", text)
			}
		})
	}
	t.Run("as many as are allowed", func(t *testing.T) {
		set := read(t, newAPI(t), request("/", strings.Join(many[1:], "&")+strings.Repeat("&", 900)))
		if set.Len() != credential.MaxKeys {
			t.Errorf("got %d keys, want %d", set.Len(), credential.MaxKeys)
		}
	})
}
