package credential

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// authorizationToken returns what the dashboard reads of Authorization (the
// function of that name in middleware/auth.go): the scheme is optional and of
// any case. It returns "" where the dashboard finds nothing.
func authorizationToken(value string) string {
	fields := strings.Fields(value)
	switch {
	case len(fields) == 1 && !strings.EqualFold(fields[0], "bearer"):
		return fields[0]
	case len(fields) == 2 && strings.EqualFold(fields[0], "bearer"):
		return fields[1]
	default:
		return ""
	}
}

// accessToken returns the personal access token of Authorization. Versions
// before mid-2026 remove the first "Bearer " wherever it stands
// (ValidateAccessToken in model/user.go).
func accessToken(value string) string {
	return authorizationToken(strings.Replace(value, "Bearer ", "", 1))
}

// isLoginToken reports whether a value of Authorization is a login token of the
// dashboard: a JSON Web Token (RFC 7519) that expires.
//
// Threat: a key that looks like one passes unbound, and New API ignores what
// follows the key after a '-'. Answer: what New API would read as the key of a
// token must not be able to be one, so that no suffix hides a key that it gave
// out.
func isLoginToken(value string) bool {
	if strings.IndexByte(value, '.') < 0 {
		return false
	}
	token := authorizationToken(value)
	head, rest, _ := strings.Cut(token, ".")
	claims, signature, _ := strings.Cut(rest, ".")
	if signature == "" || strings.Contains(signature, ".") || plausibleNewAPI(cutNewAPI(stripBearer(value))) {
		return false
	}
	if _, err := base64.RawURLEncoding.DecodeString(signature); err != nil {
		return false
	}
	var h struct {
		Algorithm string `json:"alg"`
	}
	var c struct {
		Expires float64 `json:"exp"`
	}
	return decodeSegment(head, &h) && h.Algorithm != "" && decodeSegment(claims, &c) && c.Expires > 0
}

func decodeSegment(segment string, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(segment)
	return err == nil && json.Unmarshal(b, into) == nil
}
