package credential_test

import (
	"net/http"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
)

func TestChecksKeys(t *testing.T) {
	tests := []struct {
		profile string
		checks  []string
		not     []string
	}{
		{
			credential.ProfileNewAPI,
			[]string{
				"/v1/chat/completions", "/v1/messages", "/v1/models", "/v1beta/models/m:generateContent", "/v1/realtime", "/v1/videos/1/content",
				"/v1/oneapi/proxy/1/x", "/x/../v1/chat/completions", "//v1/chat/completions", "/v1/dashboard/billing/usage", "/dashboard/billing/subscription", "/mj/submit/imagine",
				"/fast/mj/task/1/fetch", "/suno/submit/music", "/kling/v1/videos/text2video", "/jimeng/", "/jimeng", "/api/usage/token/",
			},
			[]string{
				"", "/", "/v1", "/v2/x", "/console", "/api/status", "/api/user/self", "/api/log/token", "/api/mj/self", "/mj/image/1",
				"/fast/mj/image/1", "/mj", "/mjx/submit", "/pg/chat/completions", "/index.html", "/suno", "/x/y/mj/z",
			},
		},
		{
			credential.ProfileOpenAI,
			[]string{"/v1/chat/completions", "/api/v1/models", "/openai/deployments/x/chat/completions", "/chat/completions", "/v1beta/models", "/messages"},
			[]string{"/", "/health", "/docs", "/version", "/metrics", "/tokenize", "/v/x"},
		},
		{
			credential.ProfileLiteLLM,
			[]string{"/v1/chat/completions", "/chat/completions", "/key/info", "/anthropic/v1/messages", "/health"},
			[]string{"/", "/health/liveliness", "/health/readiness/", "/docs", "/ui/", "/ui/index.html", "/sso/key/generate", "/.well-known/x", "/public/model_hub"},
		},
		{credential.ProfileGeneric, []string{"/", "/anything"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.profile, func(t *testing.T) {
			o := credential.Options{Profile: tt.profile}
			if tt.profile == credential.ProfileGeneric {
				o.Locations = locations(t, "header:Authorization")
			}
			r := newReader(t, o)
			for _, path := range tt.checks {
				req := request(path, "")
				if !r.ChecksKeys(req) {
					t.Errorf("%s: does not check keys, want that it does", path)
				}
				req.Method = http.MethodOptions
				if r.ChecksKeys(req) {
					t.Errorf("OPTIONS %s: checks keys, want that it does not", path)
				}
			}
			for _, path := range tt.not {
				if r.ChecksKeys(request(path, "")) {
					t.Errorf("%s: checks keys, want that it does not", path)
				}
			}
		})
	}
}

func TestNeedsSuccessField(t *testing.T) {
	plain := newAPI(t)
	bound := newReader(t, credential.Options{Profile: credential.ProfileNewAPI, BindDashboard: true})
	tests := []struct {
		path        string
		want, bound bool
	}{
		{"/api/log/token", true, true},
		{"/api/log/token/", true, true},
		{"/api/usage/token/", false, false},
		{"/api/user/self", false, true},
		{"/api/user/self/groups", false, true},
		{"/api/token/", false, true},
		{"/api/token", false, true},
		{"/api/tokens", false, false},
		{"/api/status", false, false},
		{"/api/user/groups", false, false},
		{"/api/pricing", false, false},
		{"/v1/chat/completions", false, false},
	}
	for _, tt := range tests {
		req := request(tt.path, "")
		if got := plain.NeedsSuccessField(req); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.path, got, tt.want)
		}
		if got := bound.NeedsSuccessField(req); got != tt.bound {
			t.Errorf("%s with the dashboard bound: %t, want %t", tt.path, got, tt.bound)
		}
		req.Method = http.MethodOptions
		if bound.NeedsSuccessField(req) {
			t.Errorf("OPTIONS %s: true, want false", tt.path)
		}
	}
}

func TestBindDashboard(t *testing.T) {
	r := newReader(t, credential.Options{Profile: credential.ProfileNewAPI, BindDashboard: true})
	t.Run("refuses the playground", func(t *testing.T) {
		for path, want := range map[string]bool{"/pg": true, "/pg/chat/completions": true, "/pgx": false, "/v1/pg/": false} {
			if got := r.RefusesPath(request(path, "")); got != want {
				t.Errorf("%s: %t, want %t", path, got, want)
			}
			if newAPI(t).RefusesPath(request(path, "")) {
				t.Errorf("%s is refused without the setting", path)
			}
		}
	})
	t.Run("reads access tokens", func(t *testing.T) {
		const token = "abCD12-34"
		for _, value := range []string{token, "Bearer " + token, "bEaReR  " + token, "abCDBearer 12-34", "Bearer abCD12-34 "} {
			set := read(t, r, request("/api/user/self", "", "Authorization: "+value, "Cookie: session=x"))
			i := indexOf(r, set, token)
			if i < 0 || set.Primary() != i {
				t.Errorf("%q: primary %d, want %d", value, set.Primary(), i)
				continue
			}
			req := request("/api/user/self", "", "Authorization: "+value, "Cookie: session=x")
			set.StripOthers(req.Header, i)
			if len(req.Header) != 1 {
				t.Errorf("%q: left %v, want the token alone", value, req.Header)
			}
		}
	})
	t.Run("login token", func(t *testing.T) {
		set := read(t, r, request("/api/user/self", "", "Authorization: Bearer "+loginToken(), "x-api-key: "+keyA))
		if !set.Dashboard() || set.Primary() != -1 {
			t.Errorf("dashboard %t, primary %d, want a login and no key", set.Dashboard(), set.Primary())
		}
	})
	t.Run("keys elsewhere", func(t *testing.T) {
		set := read(t, r, request("/api/usage/token/", "", "Authorization: Bearer sk-"+keyA+"-1"))
		if set.Len() != 1 || set.Hash(0) != r.Hash(keyA) {
			t.Error("key of a read-only route was read as an access token")
		}
	})
}

func TestIsPage(t *testing.T) {
	r := newAPI(t)
	for contentType, want := range map[string]bool{
		"text/html": true, "text/html; charset=utf-8": true, "TEXT/HTML": true, "": false, "text/htm": false, "application/json": false, "text/event-stream": false,
	} {
		h := http.Header{}
		h.Set("Content-Type", contentType)
		if got := r.IsPage(h); got != want {
			t.Errorf("%q: %t, want %t", contentType, got, want)
		}
	}
}
