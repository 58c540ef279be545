//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/upstream"
)

// Paths of the upstream, all of which check keys.
const (
	pathModels   = "/v1/models"
	pathChat     = "/v1/chat/completions"
	pathEvents   = "/v1/responses"
	pathUpload   = "/v1/files"
	pathDownload = "/v1/files/content"
)

const (
	chatBody = `{"model":"model-1","messages":[{"role":"user","content":"Say hello in three languages, please."}],"max_tokens":64}`

	chatAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"model-1","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"Hello, bonjour, hola."},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":14,"completion_tokens":9,"total_tokens":23}}`

	modelsAnswer = `{"object":"list","data":[{"id":"model-1","object":"model","created":1700000000,"owned_by":"bench"}]}`

	chunkBytes  = 64 << 10
	headTimeout = 30 * time.Second
)

// startUpstream starts the downstream of what is measured.
func startUpstream() (*upstream.Server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathModels, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, modelsAnswer) })
	mux.HandleFunc("POST "+pathChat, serveChat)
	mux.HandleFunc("POST "+pathEvents, serveEvents)
	mux.HandleFunc("POST "+pathUpload, serveUpload)
	mux.HandleFunc("GET "+pathDownload, serveDownload)
	return upstream.Start(mux)
}

// What the client does not take is seen there, so that the handlers may ignore
// errors of writing.

func writeJSON(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body)
}

func serveChat(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		writeJSON(w, chatAnswer)
	}
}

// serveEvents sends an event at once, and the others at the interval asked for,
// until the client goes.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	interval, err := time.ParseDuration(r.FormValue("interval"))
	if err != nil || interval <= 0 {
		http.Error(w, "interval: want a duration", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var buf []byte
	for n := 0; ; n++ {
		buf = appendEvent(buf[:0], n, time.Now())
		if _, err := w.Write(buf); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func serveUpload(w http.ResponseWriter, r *http.Request) {
	if n, err := io.CopyBuffer(writerOnly{io.Discard}, r.Body, make([]byte, chunkBytes)); err == nil {
		writeJSON(w, fmt.Sprintf(`{"bytes":%d}`, n))
	}
}

// writerOnly hides io.ReaderFrom, which would read in small pieces.
type writerOnly struct{ io.Writer }

func serveDownload(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.FormValue("bytes"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	for chunk := make([]byte, chunkBytes); size > 0; {
		n, err := w.Write(chunk[:min(size, chunkBytes)])
		if err != nil {
			return
		}
		size -= int64(n)
	}
}
