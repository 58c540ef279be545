package credential_test

import (
	"net/http"
	"net/url"
	"strings"
)

// version is a plain transcription of how one version of New API or One API
// reads the key of a request, independent of the code under test.
type version struct {
	name   string
	serves func(path string) bool
	key    func(h http.Header, path string, q url.Values) string
}

func everywhere(string) bool { return true }

func openAIOnly(path string) bool {
	return !strings.Contains(path, "/v1/messages") && !strings.HasPrefix(path, "/v1beta")
}

var versions = []version{
	{"August 2026", everywhere, func(h http.Header, path string, q url.Values) string {
		for part := range strings.SplitSeq(strings.Join(h.Values("Sec-WebSocket-Protocol"), ","), ",") {
			part = strings.TrimSpace(part)
			if after, ok := strings.CutPrefix(part, "openai-insecure-api-key."); ok {
				if after != "" {
					h.Set("Authorization", "Bearer "+after)
				}
				break
			}
		}
		overwriteAnthropic(h, strings.Contains(path, "/v1/messages") || strings.Contains(path, "/v1/models"))
		overwriteGemini(h, q, path == "/v1/models" || strings.HasPrefix(path, "/v1beta/models") ||
			strings.HasPrefix(path, "/v1beta/openai/models") || strings.HasPrefix(path, "/v1/models/"))
		return midjourney(h, stripNew)
	}},
	{"February 2026", everywhere, func(h http.Header, path string, q url.Values) string {
		overwriteOldProtocol(h)
		overwriteAnthropic(h, strings.Contains(path, "/v1/messages") || strings.Contains(path, "/v1/models"))
		overwriteGemini(h, q, strings.HasPrefix(path, "/v1beta/models") ||
			strings.HasPrefix(path, "/v1beta/openai/models") || strings.HasPrefix(path, "/v1/models/"))
		return midjourney(h, stripNew)
	}},
	{"April 2025", everywhere, func(h http.Header, path string, q url.Values) string {
		overwriteOldProtocol(h)
		overwriteAnthropic(h, strings.Contains(path, "/v1/messages"))
		overwriteGemini(h, q, strings.HasPrefix(path, "/v1beta/models/") || strings.HasPrefix(path, "/v1/models/"))
		return midjourney(h, stripOld)
	}},
	{"2024", openAIOnly, func(h http.Header, _ string, _ url.Values) string { return midjourney(h, stripOld) }},
	{"One API", openAIOnly, func(h http.Header, _ string, _ url.Values) string {
		return cut(stripOld(h.Get("Authorization")))
	}},
}

func overwriteOldProtocol(h http.Header) {
	key := h.Get("Sec-WebSocket-Protocol")
	if key == "" {
		return
	}
	for part := range strings.SplitSeq(key, ",") {
		part = strings.TrimSpace(part)
		if strings.HasPrefix(part, "openai-insecure-api-key") {
			key = strings.TrimPrefix(part, "openai-insecure-api-key.")
			break
		}
	}
	h.Set("Authorization", "Bearer "+key)
}

func overwriteAnthropic(h http.Header, reads bool) {
	if key := h.Get("x-api-key"); reads && key != "" {
		h.Set("Authorization", "Bearer "+key)
	}
}

func overwriteGemini(h http.Header, q url.Values, reads bool) {
	if key := q.Get("key"); reads && key != "" {
		h.Set("Authorization", "Bearer "+key)
	}
	if key := h.Get("x-goog-api-key"); reads && key != "" {
		h.Set("Authorization", "Bearer "+key)
	}
}

func midjourney(h http.Header, strip func(string) string) string {
	key := strip(h.Get("Authorization"))
	if key == "" || key == "midjourney-proxy" {
		key = strip(h.Get("mj-api-secret"))
	}
	return cut(key)
}

func stripNew(value string) string {
	if strings.HasPrefix(value, "Bearer ") || strings.HasPrefix(value, "bearer ") {
		return strings.TrimSpace(value[7:])
	}
	return value
}

func stripOld(value string) string { return strings.TrimPrefix(value, "Bearer ") }

func cut(key string) string { return strings.Split(strings.TrimPrefix(key, "sk-"), "-")[0] }

// lookUp is what the database makes of a key: case and trailing spaces do not
// count. Only keys that New API could have given out are known to it.
func lookUp(key string) (string, bool) {
	key = strings.ToLower(strings.TrimRight(key, " "))
	if len(key) != 48 {
		return "", false
	}
	for _, c := range key {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return "", false
		}
	}
	return key, true
}
