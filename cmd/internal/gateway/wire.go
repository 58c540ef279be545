package gateway

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// trailers answers with one trailer that was announced and one that was not.
func (g *Gateway) trailers(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Trailer", "X-Demo-Announced")
	_, _ = io.WriteString(w, "a body with trailers\n")
	w.Header().Set("X-Demo-Announced", "yes")
	w.Header().Set(http.TrailerPrefix+"X-Demo-Surprise", "yes")
}

// earlyHints sends 103 (RFC 8297) before the answer.
func (g *Gateway) earlyHints(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Link", "</style.css>; rel=preload; as=style")
	w.WriteHeader(http.StatusEarlyHints)
	writeJSON(w, http.StatusOK, object{"hinted": true})
}

// answerStatus answers the status that the path names.
func (g *Gateway) answerStatus(w http.ResponseWriter, r *http.Request) {
	status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/v1/status/"))
	if err != nil || status < 200 || status > 599 {
		openAIError(w, http.StatusBadRequest, "invalid_request_error", "", "want a status from 200 to 599")
		return
	}
	w.Header().Set("Location", "/v1/echo")
	w.WriteHeader(status)
}

// abort breaks the connection in the middle of the answer.
func (g *Gateway) abort(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, "the beginning of an answer")
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // the way of net/http to break a connection
}

// hang never answers. It ends when the client gives up.
func (g *Gateway) hang(_ http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	<-r.Context().Done()
}
