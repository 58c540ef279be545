package client

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Problem is an error that the server has answered with: problem details as in
// RFC 9457.
type Problem struct {
	Status int
	Code   string // such as not_found; empty if another server than Sentinel has answered
	Detail string
	Errors []FieldFault
	// RetryAfter is when to try again; 0: unknown.
	RetryAfter time.Duration
	RequestID  string // which the server's log has as well
}

// FieldFault is what is wrong with one field of a request, or with one row of a
// file.
type FieldFault struct {
	Location string `json:"location"` // such as body.rule.prefixes[0], or row 3, column label
	Message  string `json:"message"`
}

// Error returns the detail, and then a line for each field. What the server
// says is quoted where a terminal would take it for a command.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(Printable(p.Detail))
	if p.RetryAfter > 0 {
		fmt.Fprintf(&b, "; try again in %s", p.RetryAfter)
	}
	if p.Status >= http.StatusInternalServerError && p.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", Printable(p.RequestID))
	}
	for _, f := range p.Errors {
		b.WriteByte('\n')
		if f.Location != "" {
			b.WriteString(Printable(f.Location) + ": ")
		}
		b.WriteString(Printable(f.Message))
	}
	return b.String()
}

// UnreachableError is a server that did not answer, or went away before its answer had
// come whole: if the call was to change something, whether it did is uncertain.
type UnreachableError struct {
	Place string // its data directory or its URL
	Err   error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach the server (%s): %v", e.Place, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// problemOf reads an answer that is none of success.
func problemOf(res *http.Response) error {
	p := &Problem{Status: res.StatusCode, RetryAfter: retryAfter(res.Header.Get("Retry-After")), RequestID: res.Header.Get("X-Request-Id")}
	if res.StatusCode >= 300 && res.StatusCode <= 399 {
		p.Detail = fmt.Sprintf("the server sends elsewhere (%s, to %.200q), where the token is not sent; name the address that answers itself with --url",
			res.Status, res.Header.Get("Location"))
		return p
	}
	mediaType, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblemBytes))
	if err == nil && (mediaType == "application/problem+json" || mediaType == "application/json") {
		var read struct {
			Detail, Code, RequestID string
			Errors                  []FieldFault
		}
		if json.Unmarshal(body, &read) == nil {
			p.Detail, p.Code, p.Errors = read.Detail, read.Code, read.Errors
			if read.RequestID != "" {
				p.RequestID = read.RequestID
			}
		}
	}
	if p.Detail == "" {
		p.Detail = fmt.Sprintf("the server answers %s, and not as the admin API does: is it the address of Sentinel's admin API, and is this machine in SENTINEL_ADMIN_NETWORKS?",
			res.Status)
	}
	return p
}

// retryAfter reads the header in its form of seconds, which is Sentinel's own.
func retryAfter(value string) time.Duration {
	seconds, err := strconv.Atoi(value)
	if err != nil || seconds < 0 || seconds > math.MaxInt32 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// Printable returns s with everything escaped that a terminal would take for a
// command, line ends among it. Clients choose paths and administrators labels,
// and a server may be somebody else's.
func Printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
