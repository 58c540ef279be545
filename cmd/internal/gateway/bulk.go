package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
)

// upload takes a body of any size and answers its length and hash.
func (g *Gateway) upload(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	count, err := io.Copy(hash, r.Body)
	if err != nil {
		return
	}
	writeJSON(w, http.StatusOK, object{"bytes": count, "sha256": hex.EncodeToString(hash.Sum(nil))})
}

// download answers ?bytes=N bytes of Pattern, of announced length unless
// ?chunked is given.
func (g *Gateway) download(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	count, err := strconv.ParseInt(query.Get("bytes"), 10, 64)
	if err != nil || count < 0 {
		openAIError(w, http.StatusBadRequest, "invalid_request_error", "", "bytes: want a number of bytes")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if !query.Has("chunked") {
		w.Header().Set("Content-Length", strconv.FormatInt(count, 10))
	}
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, Pattern(count))
	}
}

// Pattern returns a reader of n bytes that are the same every time.
func Pattern(n int64) io.Reader {
	return io.LimitReader(&pattern{}, n)
}

type pattern struct{ next uint32 }

func (p *pattern) Read(buf []byte) (int, error) {
	for i := range buf {
		buf[i] = byte(p.next * 2654435761 >> 24)
		p.next++
	}
	return len(buf), nil
}

// duplex sends each piece of the body back as it comes.
func (g *Gateway) duplex(w http.ResponseWriter, r *http.Request) {
	controller := http.NewResponseController(w)
	if err := controller.EnableFullDuplex(); err != nil {
		openAIError(w, http.StatusInternalServerError, "server_error", "", err.Error())
		return
	}
	if controller.Flush() != nil {
		return
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if _, failed := w.Write(buf[:n]); failed != nil || controller.Flush() != nil || err != nil {
			return
		}
	}
}
