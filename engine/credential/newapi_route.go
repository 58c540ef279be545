package credential

import "strings"

// newAPIChecks reports whether New API or One API accepts a key, and nothing
// else, on this path (router/relay-router.go, video-router.go, dashboard.go and
// api-router.go; for /v1/videos/*/content see settleNewAPI).
func newAPIChecks(path string) bool {
	if strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1beta/") {
		return true
	}
	for _, prefix := range [...]string{"/suno/", "/kling/v1/", "/jimeng/", "/dashboard/billing/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return path == "/jimeng" || path == "/api/usage/token" || path == "/api/usage/token/" || isMidjourney(path)
}

// isMidjourney reports whether the path is one of /mj/ or /:mode/mj/ that checks
// keys. Images there are public.
func isMidjourney(path string) bool {
	rest, ok := strings.CutPrefix(path, "/mj/")
	if !ok {
		mode, after, found := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if !found || mode == "" || mode == "api" { // /api/mj is the dashboard's
			return false
		}
		if rest, ok = strings.CutPrefix(after, "mj/"); !ok {
			return false
		}
	}
	return !strings.HasPrefix(rest, "image/")
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
