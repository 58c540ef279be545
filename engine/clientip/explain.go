package clientip

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine/headername"
)

// Explanation tells how a client IP came about, for people who wonder why it
// is not the one they expect.
type Explanation struct {
	RemoteAddr string         `json:"remoteAddr"`
	Header     string         `json:"header"`         // the one that is read of trusted proxies
	Trusted    []netip.Prefix `json:"trustedProxies"` // never null
	Steps      []Step         `json:"steps"`          // in the order in which they were taken
	ClientIP   netip.Addr     `json:"clientIp,omitzero"`
	ErrorKind  Kind           `json:"errorKind,omitempty"`
	Error      string         `json:"error,omitempty"`
	Advice     []string       `json:"advice"` // what to check, most important first; never null
}

// Step is one thing that was looked at.
type Step struct {
	What     string `json:"what"`     // "peer", "header X-Real-IP", "hop 2 of X-Forwarded-For"
	Value    string `json:"value"`    // as received, at most 200 bytes
	Believed bool   `json:"believed"` // whether it had a say in the result
	Why      string `json:"why"`
}

// Explain finds the client IP of a request with header h over a connection
// with this RemoteAddr, by the very code of Peer and Resolve, and tells how.
func (r *Resolver) Explain(remoteAddr string, h http.Header) Explanation {
	return r.current.Load().explain(remoteAddr, h)
}

func (r *rules) explain(remoteAddr string, h http.Header) Explanation {
	t := &trace{r: r}
	p := r.peer(remoteAddr, t)
	addr, err := r.resolve(p, h, t)
	ignored := r.ignored(p, h)
	t.ignored(p, h, ignored)
	e := Explanation{
		RemoteAddr: shown(remoteAddr),
		Header:     r.name,
		Trusted:    append([]netip.Prefix{}, r.options.Trusted...),
		Steps:      t.steps,
		ClientIP:   addr,
		Advice:     append([]string{}, r.advice(p, addr, err, ignored)...),
	}
	if err != nil {
		e.Error = err.Error()
		if typed := (*Error)(nil); errors.As(err, &typed) {
			e.ErrorKind = typed.Kind
		}
	}
	return e
}

// ignored returns the sorted names of the forwarding headers in h that have no
// say in the client IP. Names that no request can carry are left out: they are
// printed, and could hold control sequences.
func (r *rules) ignored(p Peer, h http.Header) []string {
	var names []string
	for name := range h {
		forwards := stripped.Has(name) || headername.Equal(name, r.header)
		counts := name == r.header && p.Trusted
		if forwards && !counts && !strings.ContainsFunc(name, notInName) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func notInName(c rune) bool { return c <= ' ' || c > '~' }

// Text returns the explanation for a terminal: a line a step, then the result
// and the advice. Received values are quoted, so that they cannot send control
// sequences to the terminal.
func (e Explanation) Text() string {
	var b strings.Builder
	for i, s := range e.Steps {
		verdict := " ignored"
		if s.Believed {
			verdict = "believed"
		}
		fmt.Fprintf(&b, "%2d. %s %s %q: %s\n", i+1, verdict, s.What, s.Value, s.Why)
	}
	if e.Error != "" {
		fmt.Fprintf(&b, "no client IP (%s): %s\n", e.ErrorKind, e.Error)
	} else {
		fmt.Fprintf(&b, "client IP: %s\n", e.ClientIP)
	}
	for _, advice := range e.Advice {
		fmt.Fprintf(&b, "check: %s\n", advice)
	}
	return b.String()
}

// WriteTo writes Text to w. It implements io.WriterTo.
func (e Explanation) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, e.Text())
	return int64(n), err
}
