package gateway

import (
	"net/http"
	"strings"
)

// requireKey lets a request with a known key through, and counts that use. It
// answers 401 to all others.
func (g *Gateway) requireKey(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if g.use(readKey(r, g.opts.Legacy)) {
			next(w, r)
			return
		}
		openAIError(w, http.StatusUnauthorized, "new_api_error", "", "Invalid token")
	}
}

// requireKeyReadOnly is the check of the routes that only tell about a key.
func (g *Gateway) requireKeyReadOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if g.use(readKeyReadOnly(r)) {
			next(w, r)
			return
		}
		dashboardError(w, "", "Invalid token")
	}
}

// use reports whether the gateway knows the canonical key, and counts it.
func (g *Gateway) use(canonical string) bool {
	canonical = g.fold(canonical)
	if !g.keys[canonical] {
		g.state.refuse()
		return false
	}
	g.state.use(canonical)
	return true
}

func (g *Gateway) fold(canonical string) string {
	if g.opts.FoldCase {
		return strings.ToLower(canonical)
	}
	return canonical
}

// readKey is how New API's TokenAuth comes to the key of a request. Each place
// overwrites the one before it; of repeated header lines the first counts.
func readKey(r *http.Request, legacy bool) string {
	value := r.Header.Get("Authorization")

	if key := subprotocolKey(r.Header.Values("Sec-WebSocket-Protocol"), legacy); key != "" {
		value = "Bearer " + key
	}

	path := r.URL.Path
	if strings.Contains(path, "/v1/messages") || strings.Contains(path, "/v1/models") {
		if key := r.Header.Get("X-Api-Key"); key != "" {
			value = "Bearer " + key
		}
	}

	if path == "/v1/models" ||
		strings.HasPrefix(path, "/v1beta/models") ||
		strings.HasPrefix(path, "/v1beta/openai/models") ||
		strings.HasPrefix(path, "/v1/models/") {
		if key := r.URL.Query().Get("key"); key != "" {
			value = "Bearer " + key
		}
		if key := r.Header.Get("X-Goog-Api-Key"); key != "" {
			value = "Bearer " + key
		}
	}

	value = stripScheme(value)
	if value == "" || value == "midjourney-proxy" {
		value = stripScheme(r.Header.Get("Mj-Api-Secret"))
	}
	return canonical(value)
}

// readKeyReadOnly is how the read-only routes come to the key.
func readKeyReadOnly(r *http.Request) string {
	return canonical(stripScheme(r.Header.Get("Authorization")))
}

// subprotocolKey takes the key from among WebSocket subprotocols. Whether the
// request asks for an upgrade plays no part.
func subprotocolKey(lines []string, legacy bool) string {
	if len(lines) == 0 {
		return ""
	}
	all := strings.Join(lines, ",")
	if legacy {
		all = lines[0]
	}
	for part := range strings.SplitSeq(all, ",") {
		if key, found := strings.CutPrefix(strings.TrimSpace(part), "openai-insecure-api-key."); found {
			return key
		}
	}
	if legacy {
		return all
	}
	return ""
}

// stripScheme removes one optional scheme in its two spellings, then space.
func stripScheme(value string) string {
	if strings.HasPrefix(value, "Bearer ") || strings.HasPrefix(value, "bearer ") {
		value = value[len("Bearer "):]
	}
	return strings.TrimSpace(value)
}

// canonical drops one "sk-", and with the first "-" all that pins a channel.
func canonical(value string) string {
	value = strings.TrimPrefix(value, "sk-")
	value, _, _ = strings.Cut(value, "-")
	return value
}
