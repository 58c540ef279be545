package credential

import (
	"encoding/base64"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// Slots of profile litellm. A configured header has the one after them.
const (
	liteLLMKey = iota
	liteLLMAuthorization
	liteLLMAzure
	liteLLMAnthropic
	liteLLMGoogle
	liteLLMGateway
	liteLLMQuery
	liteLLMProtocol
	liteLLMUserKey
	liteLLMExtra
)

var liteLLMPlaces = []place{
	liteLLMKey:           header("x-litellm-api-key"),
	liteLLMAuthorization: header("Authorization"),
	liteLLMAzure:         header("API-Key"),
	liteLLMAnthropic:     header("x-api-key"),
	liteLLMGoogle:        header("x-goog-api-key"),
	liteLLMGateway:       header("Ocp-Apim-Subscription-Key"),
	liteLLMQuery:         query("key"),
	liteLLMProtocol:      protocol(protocolPrefix),
	liteLLMUserKey:       header("litellm_user_api_key"),
}

func (r *Reader) addExtraHeader(name string) error {
	if !isToken(name) {
		return fmt.Errorf("extra header %q is not a header name", name)
	}
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if unreadableHeaders[canonical] {
		return fmt.Errorf("extra header %q does not carry keys", name)
	}
	for i := range liteLLMPlaces {
		if p := &liteLLMPlaces[i]; p.kind != inQuery && p.name == canonical {
			return nil // read already
		}
	}
	r.places, r.hasExtra = append(slices.Clone(liteLLMPlaces), header(name)), true
	return nil
}

// canonicalLiteLLM reads a value as any of LiteLLM's routes does. The order of
// the steps is that of _get_bearer_token; the removal of every "Bearer " comes
// for all values, as some routes put one before what they found.
func canonicalLiteLLM(value string) string {
	value = strings.Trim(value, " \t")
	switch {
	case strings.HasPrefix(value, "Bearer "):
	case strings.HasPrefix(value, "Basic "):
		value = strings.ReplaceAll(value, "Basic ", "")
	case strings.HasPrefix(value, "bearer "):
		value = strings.ReplaceAll(value, "bearer ", "")
	case strings.HasPrefix(value, "AWS4-HMAC-SHA256"):
		value = signedKey(value)
	case value == "Bearer" || value == "bearer" || value == "Basic":
		return ""
	}
	value = strings.Trim(strings.ReplaceAll(value, "Bearer ", ""), " \t")
	if user, ok := userName(value); ok {
		return user
	}
	return value
}

// signedKey returns the key inside a signature of AWS version 4: what follows
// the first "Credential=Bearer" and a space, or else the first "Credential=", up
// to '/', ',' or a space. Without any it is the value itself.
func signedKey(value string) string {
	const name, ends, spaces = "Credential=", "/, \t", " \t"
	fallback := ""
	for rest := value; ; {
		_, after, ok := strings.Cut(rest, name)
		if !ok {
			break
		}
		rest = after
		if bearer, ok := strings.CutPrefix(after, "Bearer"); ok {
			if key := until(strings.TrimLeft(bearer, spaces), ends); key != "" && strings.IndexAny(bearer, spaces) == 0 {
				return key
			}
		}
		if fallback == "" {
			fallback = until(after, ends)
		}
	}
	if fallback == "" {
		return value
	}
	return fallback
}

func until(s, ends string) string {
	if i := strings.IndexAny(s, ends); i >= 0 {
		return s[:i]
	}
	return s
}

// userName returns the user name of Basic credentials if it is a key: LiteLLM
// takes none that does not begin with sk-. Like Python's b64decode it skips
// what is not of the alphabet and stops at the padding.
func userName(value string) (string, bool) {
	if !encodesKey(value) {
		return "", false
	}
	kept := make([]byte, 0, len(value))
	for i := range len(value) {
		c := value[i]
		if c == '=' && len(kept)%4 >= 2 {
			break
		}
		if isBase64(c) {
			kept = append(kept, c)
		}
	}
	decoded, err := base64.RawStdEncoding.DecodeString(string(kept))
	if err != nil {
		return "", false
	}
	user, _, _ := strings.Cut(string(decoded), ":")
	return user, true
}

// encodesKey reports whether a value begins with sk- in base64.
func encodesKey(value string) bool {
	const prefix = "c2st"
	matched := 0
	for i := range len(value) {
		c := value[i]
		if !isBase64(c) {
			if c == '=' && matched >= 2 {
				return false
			}
			continue
		}
		if c != prefix[matched] {
			return false
		}
		if matched++; matched == len(prefix) {
			return true
		}
	}
	return false
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}

// settleLiteLLM finds the primary key. Clients may send other credentials than
// the key, for the provider behind LiteLLM, so that they are left where the
// order is certain.
func (r *Reader) settleLiteLLM(req *Request, s *Set) {
	if s.n == 1 {
		s.primary = 0
		return
	}
	switch used := s.at[liteLLMUserKey]; {
	case used.present && req.anyPath(passesThrough):
		s.primary = used.index()
		return
	case used.present:
		s.ambiguous = true // routes that pass through differ between versions
	}
	s.primary = r.orderLiteLLM(req, s)
}

func (r *Reader) orderLiteLLM(req *Request, s *Set) int {
	order := []int{liteLLMKey, liteLLMAuthorization, liteLLMAzure, liteLLMAnthropic, liteLLMGoogle, liteLLMGateway}
	switch {
	case r.hasExtra:
		return s.at[liteLLMExtra].index()
	case req.Header.Get("Upgrade") != "":
		order = []int{liteLLMAuthorization, liteLLMAzure, liteLLMProtocol}
	case req.anyPath(isGeminiPassThrough):
		s.ambiguous = true // older versions prefer the key of Gemini's clients
		order = append([]int{liteLLMQuery, liteLLMGoogle}, order...)
	case req.anyPath(generatesContent):
		order = append(order, liteLLMQuery)
	}
	for _, slot := range order {
		if s.at[slot].present {
			return s.at[slot].index()
		}
	}
	return -1
}

func passesThrough(path string) bool {
	for _, provider := range [...]string{
		"/bedrock", "/vertex-ai", "/vertex_ai", "/cohere", "/cursor", "/gemini", "/anthropic", "/langfuse", "/azure",
		"/openai", "/assemblyai", "/eu.assemblyai", "/vllm", "/mistral", "/milvus",
	} {
		if strings.HasPrefix(path, provider) {
			return true
		}
	}
	return false
}

func isGeminiPassThrough(path string) bool { return strings.HasPrefix(path, "/gemini/") }

func generatesContent(path string) bool {
	return strings.Contains(path, "generateContent") || strings.Contains(path, "streamGenerateContent")
}

// liteLLMIsPublic reports whether LiteLLM answers this path without a key
// (LiteLLMRoutes.public_routes, the console and its login).
func liteLLMIsPublic(path string) bool {
	switch strings.TrimSuffix(path, "/") {
	case "", "/health/liveliness", "/health/liveness", "/health/readiness", "/test", "/routes", "/docs", "/redoc",
		"/openapi.json", "/config/yaml", "/metrics", "/login", "/v2/login", "/fallback/login", "/ui", "/favicon.ico",
		"/get_image", "/get_favicon", "/get_logo_url", "/robots.txt":
		return true
	}
	for _, prefix := range [...]string{"/ui/", "/sso/", "/public/", "/docs/", "/swagger/", "/litellm-asset-prefix/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	// A server may cut a fragment off, or resolve dot segments, and find another
	// path than a public one.
	return strings.Contains(path, "/.well-known/") && !strings.Contains(path, "/../") && !strings.Contains(path, "#")
}

// unreadableHeaders never hold a key of a downstream.
var unreadableHeaders = map[string]bool{
	"Host": true, "Connection": true, "Content-Length": true, "Transfer-Encoding": true, "Upgrade": true, "Te": true,
	"Trailer": true, "X-Forwarded-For": true, "X-Real-Ip": true, "Forwarded": true, "Cookie": true,
}
