package gateway

import (
	"net/http"
	"strings"
)

// route answers a method ("" for any) on a path pattern. In a pattern "*" is
// one segment that is not empty, and a final "**" is whatever follows.
type route struct {
	method  string
	pattern string
	handle  http.HandlerFunc
}

// table lists every route; the first match counts.
func (g *Gateway) table() []route {
	key := g.requireKey
	return []route{
		{"GET", "/v1/models", key(g.listModels)},
		{"GET", "/v1/models/*", key(g.oneModel)},
		{"GET", "/v1beta/models", key(g.listModelsGemini)},
		{"GET", "/v1beta/openai/models", key(g.listModelsOpenAI)},
		{"POST", "/v1/chat/completions", key(g.chat)},
		{"POST", "/v1/messages", key(g.messages)},
		{"POST", "/v1/responses", key(g.responses)},
		{"POST", "/v1/embeddings", key(g.embeddings)},
		{"POST", "/v1beta/models/**", key(g.generateContent)},
		{"POST", "/v1/models/**", key(g.generateContent)},
		{"GET", "/v1/realtime", key(g.realtime)},

		{"POST", "/v1/videos", key(g.submitTask)},
		{"GET", "/v1/videos/*", key(g.fetchTask)},
		{"GET", "/v1/videos/*/content", g.requireKeyOrDashboard(g.image)},
		{"GET", "/mj/image/*", g.image}, // no key: anybody who has the address sees the picture
		{"POST", "/mj/submit/*", key(g.submitTask)},
		{"GET", "/mj/task/*/fetch", key(g.fetchTask)},
		{"GET", "/*/mj/image/*", g.image},
		{"POST", "/*/mj/submit/*", key(g.submitTask)},
		{"GET", "/*/mj/task/*/fetch", key(g.fetchTask)},
		{"POST", "/suno/submit/*", key(g.submitTask)},
		{"GET", "/suno/fetch/*", key(g.fetchTask)},
		{"POST", "/kling/v1/videos/*", key(g.submitTask)},
		{"GET", "/kling/v1/videos/*/*", key(g.fetchTask)},
		{"POST", "/jimeng/", key(g.submitTask)},

		{"GET", "/dashboard/billing/subscription", key(g.billing)},
		{"GET", "/dashboard/billing/usage", key(g.billing)},
		{"GET", "/v1/dashboard/billing/subscription", key(g.billing)},
		{"GET", "/v1/dashboard/billing/usage", key(g.billing)},
		{"GET", "/api/usage/token/", g.requireKeyReadOnly(g.tokenUsage)},
		{"GET", "/api/log/token", g.requireKeyReadOnly(g.tokenLog)},

		{"GET", "/api/status", g.status},
		{"POST", "/api/user/login", g.login},
		{"GET", "/api/user/self", g.requireDashboard(g.self)},
		{"POST", "/pg/chat/completions", g.requireDashboard(g.chat)},

		{"", "/echo", g.echo},
		{"", "/echo/**", g.echo},
		{"", "/v1/echo", key(g.echo)},
		{"", "/v1/echo/**", key(g.echo)},
		{"", "/v1/upload", key(g.upload)},
		{"", "/v1/download", key(g.download)},
		{"", "/v1/duplex", key(g.duplex)},
		{"", "/v1/trailers", key(g.trailers)},
		{"", "/v1/early-hints", key(g.earlyHints)},
		{"", "/v1/status/*", key(g.answerStatus)},
		{"", "/v1/abort", key(g.abort)},
		{"", "/v1/hang", key(g.hang)},
	}
}

// matches compares the decoded path, as gin does unless told otherwise:
// /v1%2Fmodels is /v1/models.
func (rt route) matches(r *http.Request) bool {
	return (rt.method == "" || rt.method == r.Method) && pathMatches(rt.pattern, r.URL.Path)
}

func pathMatches(pattern, path string) bool {
	for {
		want, restPattern, morePattern := strings.Cut(pattern, "/")
		if want == "**" {
			return true
		}
		got, restPath, morePath := strings.Cut(path, "/")
		if want != got && (want != "*" || got == "") {
			return false
		}
		if morePattern != morePath {
			return false
		}
		if !morePattern {
			return true
		}
		pattern, path = restPattern, restPath
	}
}
