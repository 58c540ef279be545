package gateway

import (
	"io"
	"net/http"
	"strings"
)

// publicPage answers paths that no route knows. Like its model it compares the
// path as it was sent: /v1 and /api get 404, and all else gets the page of the
// dashboard, 200 for anybody.
func publicPage(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.RequestURI, "/v1") || strings.HasPrefix(r.RequestURI, "/api") || strings.HasPrefix(r.RequestURI, "/assets") {
		openAIError(w, http.StatusNotFound, "invalid_request_error", "", "Invalid URL ("+r.Method+" "+r.URL.Path+")")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = io.WriteString(w, "<!doctype html>\n<title>Demo gateway</title>\n<p>A small LLM gateway for trying things out.</p>\n")
}

// preflight answers what browsers ask before a cross-origin request, which
// carries no key.
func preflight(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS")
	header.Set("Access-Control-Allow-Headers", "*")
	w.WriteHeader(http.StatusNoContent)
}

func (g *Gateway) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, object{"success": true, "message": "", "data": object{"system_name": "Demo gateway"}})
}
