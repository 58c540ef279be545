package credential

import (
	"path"
	"strings"
)

// newAPIChecks reports whether New API or One API accepts a key, and nothing
// else, on this path (router/relay-router.go, video-router.go, dashboard.go and
// api-router.go; for /v1/videos/*/content see settleNewAPI).
func newAPIChecks(path string) bool {
	if rest, ok := midjourney(path); ok {
		return !strings.HasPrefix(rest, "image/") // pictures are public
	}
	if strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1beta/") {
		return true
	}
	for _, prefix := range [...]string{"/suno/", "/kling/v1/", "/jimeng/", "/dashboard/billing/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return path == "/jimeng" || path == "/api/usage/token" || path == "/api/usage/token/"
}

// newAPIChecksCleaned also judges the path that a server in between would make
// of one with empty or dot segments. If there is none in between, New API
// answers such a path with its page, which proves nothing.
func newAPIChecksCleaned(sent string) bool {
	if newAPIChecks(sent) {
		return true
	}
	return (strings.Contains(sent, "//") || strings.Contains(sent, "/.")) && newAPIChecks(path.Clean(sent))
}

// midjourney returns what follows /mj/ or /:mode/mj/ in a path that has either.
// A mode may be any segment, v1 and mj among them, and for gin an empty one too.
// Below /api/mj/ two routes are the dashboard's.
func midjourney(path string) (rest string, ok bool) {
	mode, after, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if rest, ok = strings.CutPrefix(after, "mj/"); ok {
		return rest, mode != "api" || rest != "" && rest != "self"
	}
	return strings.CutPrefix(path, "/mj/")
}

// isVideoContent reports whether the path is the one of the APIs where the
// dashboard's login would do as well (TokenOrUserAuth).
func isVideoContent(path string) bool {
	return strings.HasPrefix(path, "/v1/videos/") && strings.HasSuffix(path, "/content")
}

func isAPI(path string) bool { return strings.HasPrefix(path, "/api/") }

func isPlayground(path string) bool { return path == "/pg" || strings.HasPrefix(path, "/pg/") }

// isReadOnly reports whether TokenAuthReadOnly guards the path.
func isReadOnly(path string) bool {
	return path == "/api/usage/token" || path == "/api/usage/token/" || isLogOfToken(path)
}

func isLogOfToken(path string) bool { return path == "/api/log/token" || path == "/api/log/token/" }

// isDashboardAPI reports whether the path is of the dashboard and asks for a
// login or an access token. The rest of /api/ answers "success":true to anybody
// on some routes.
func isDashboardAPI(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok || isReadOnly(path) {
		return false
	}
	for _, guarded := range [...]string{
		"channel", "data", "deployments", "group", "log", "mj", "models", "option", "performance", "prefill_group",
		"redemption", "task", "token", "vendors", "subscription/self", "subscription/plans", "subscription/admin",
		"user/self", "user/token", "user/models", "user/aff", "user/topup", "user/setting", "user/search", "user/manage",
	} {
		if after, ok := strings.CutPrefix(rest, guarded); ok && (after == "" || after[0] == '/') {
			return true
		}
	}
	return false
}
