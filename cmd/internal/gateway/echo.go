package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Echo is what arrived, as far as net/http can tell.
type Echo struct {
	Method           string      `json:"method"`
	RequestURI       string      `json:"requestURI"` // as on the wire
	Path             string      `json:"path"`       // decoded
	Proto            string      `json:"proto"`
	Host             string      `json:"host"`
	Headers          [][2]string `json:"headers"` // sorted by name; lines of one name in the order of arrival
	TransferEncoding []string    `json:"transferEncoding"`
	ContentLength    int64       `json:"contentLength"` // -1 if it was not announced
	BodyBytes        int64       `json:"bodyBytes"`
	BodySHA256       string      `json:"bodySHA256"`
	Trailers         [][2]string `json:"trailers"`
	RemoteAddr       string      `json:"remoteAddr"`
	Key              string      `json:"key"` // canonical, as the gateway reads it here
}

// Header returns all lines of a header, joined with ", ".
func (e Echo) Header(name string) string {
	var lines []string
	for _, header := range e.Headers {
		if strings.EqualFold(header[0], name) {
			lines = append(lines, header[1])
		}
	}
	return strings.Join(lines, ", ")
}

// echo answers what arrived, once all of it has.
func (g *Gateway) echo(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	count, err := io.Copy(hash, r.Body)
	if err != nil {
		return
	}
	writeJSON(w, http.StatusOK, Echo{
		Method:           r.Method,
		RequestURI:       r.RequestURI,
		Path:             r.URL.Path,
		Proto:            r.Proto,
		Host:             r.Host,
		Headers:          headerLines(r.Header),
		TransferEncoding: r.TransferEncoding,
		ContentLength:    r.ContentLength,
		BodyBytes:        count,
		BodySHA256:       hex.EncodeToString(hash.Sum(nil)),
		Trailers:         headerLines(r.Trailer),
		RemoteAddr:       r.RemoteAddr,
		Key:              readKey(r, g.opts.Legacy),
	})
}

func headerLines(header http.Header) [][2]string {
	lines := [][2]string{}
	for name, values := range header {
		for _, value := range values {
			lines = append(lines, [2]string{name, value})
		}
	}
	slices.SortStableFunc(lines, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return lines
}
