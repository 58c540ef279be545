package credential_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
)

func TestHashIsHMACOfTheCanonicalKey(t *testing.T) {
	r := newAPI(t)
	long := strings.Repeat(keyA, 80)
	for _, key := range []string{keyA, "x", long} {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(strings.ToLower(key)))
		want := store.KeyHash(mac.Sum(nil))
		got, _, err := r.HashKey("Bearer sk-" + key + "-1")
		if err != nil || got != want || r.Hash(key) != want {
			t.Errorf("key of %d bytes: %v, %s, want %s", len(key), err, got, want)
		}
	}
}

func TestHashKeyErrors(t *testing.T) {
	for value, want := range map[string]credential.Kind{
		"": credential.Empty, "Bearer sk-": credential.Empty, "é": credential.Unprintable, strings.Repeat("a", 5000): credential.TooLong,
	} {
		if _, _, err := newAPI(t).HashKey(value); kindOf(err) != want {
			t.Errorf("%.20q: %v, want %s", value, err, want)
		}
	}
}

func TestHint(t *testing.T) {
	tests := []struct {
		profile, key, want string
	}{
		{credential.ProfileNewAPI, "Bearer sk-" + keyA + "-1", "sk-a1…a1B2"},
		{credential.ProfileNewAPI, strings.Repeat("x", 17) + "y", "sk-xx…xxxy"},
		{credential.ProfileNewAPI, "abcdefghijkl", "sk-ab…kl"},
		{credential.ProfileNewAPI, "abcdef", "sk-a…f"},
		{credential.ProfileNewAPI, "abcde", "sk-…"},
		{credential.ProfileNewAPI, "x", "sk-…"},
		{credential.ProfileOpenAI, "sk-proj-" + keyA, "sk-pr…a1B2"},
		{credential.ProfileOpenAI, keyA, "a1…a1B2"},
		{credential.ProfileOpenAI, "sk-", "sk-…"},
		{credential.ProfileLiteLLM, "sk-1234", "sk-…"},
	}
	for _, tt := range tests {
		_, got, err := newReader(t, credential.Options{Profile: tt.profile}).HashKey(tt.key)
		if err != nil || got != tt.want {
			t.Errorf("%s %q: %q, %v, want %q", tt.profile, tt.key, got, err, tt.want)
		}
	}
}

func TestSetIsUsedAgain(t *testing.T) {
	r := newAPI(t)
	set := new(credential.Set)
	set.Reset()
	requests := []*credential.Request{
		request("/v1/messages", "key=x", "Authorization: Bearer "+keyA, "x-api-key: "+keyB),
		request("/", "", "Authorization: "+loginToken()),
		request("/", "", "Authorization: a", "Authorization: b"),
		request("/v1/messages", "", "Authorization: Bearer "+keyC),
	}
	for range 2 {
		for _, req := range requests {
			fresh := new(credential.Set)
			wantErr, gotErr := r.Read(req, fresh), r.Read(req, set)
			if kindOf(gotErr) != kindOf(wantErr) || !slices.Equal(hashes(set), hashes(fresh)) || set.Primary() != fresh.Primary() ||
				set.Ambiguous() != fresh.Ambiguous() || set.Dashboard() != fresh.Dashboard() {
				t.Fatalf("%v: the set remembers an earlier request", req.Header)
			}
		}
	}
	other := newReader(t, credential.Options{Profile: credential.ProfileOpenAI})
	if err := other.Read(requests[3], set); err != nil || set.Hash(0) != other.Hash(keyC) {
		t.Errorf("another reader: %v, or another hash", err)
	}
}

func TestHeaders(t *testing.T) {
	want := []string{"Authorization", "Sec-Websocket-Protocol", "X-Api-Key", "X-Goog-Api-Key", "Mj-Api-Secret"}
	if got := newAPI(t).Headers(); !slices.Equal(got, want) {
		t.Errorf("headers %q, want %q", got, want)
	}
}

// hotRequests are those that must not allocate.
func hotRequests() map[string]*credential.Request {
	return map[string]*credential.Request{
		"Authorization": request("/v1/chat/completions", "", "Authorization: Bearer sk-"+keyA, "Content-Type: application/json", "Accept: */*", "User-Agent: x"),
		"XAPIKey":       request("/v1/messages", "beta=true", "X-Api-Key: sk-"+keyA, "Anthropic-Version: 1", "Content-Type: application/json"),
		"Query":         request("/v1beta/models/m:generateContent", "alt=sse&key="+keyA, "Content-Type: application/json"),
		"TwoKeys":       request("/v1/messages", "", "X-Api-Key: sk-"+keyA, "Authorization: Bearer sk-dummy"),
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	for _, profile := range []string{credential.ProfileNewAPI, credential.ProfileOpenAI} {
		r := newReader(t, credential.Options{Profile: profile})
		for name, req := range hotRequests() {
			set := new(credential.Set)
			set.Reset()
			allocs := testing.AllocsPerRun(200, func() {
				local := *req // must not escape
				if err := r.Read(&local, set); err != nil || set.Primary() < 0 || !r.ChecksKeys(&local) {
					t.Errorf("%s: %v", name, err)
				}
			})
			if allocs != 0 {
				t.Errorf("%s %s: %v allocations, want 0", profile, name, allocs)
			}
		}
	}
}

func BenchmarkRead(b *testing.B) {
	r := newAPI(b)
	for name, req := range hotRequests() {
		b.Run(name, func(b *testing.B) {
			set := new(credential.Set)
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Read(req, set); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
