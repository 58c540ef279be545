package clientip

import (
	"errors"
	"fmt"
	"io"
	"maps"
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
	What     string `json:"what" doc:"Such as peer, header X-Real-IP or hop 2 of X-Forwarded-For."`
	Value    string `json:"value" doc:"As received, at most 200 bytes of it."`
	Believed bool   `json:"believed" doc:"Whether it had a say in the result."`
	Why      string `json:"why" doc:"Why, or why not."`

	Address   netip.Addr   `json:"address,omitzero" doc:"The address in it; absent if none could be read."`
	TrustedBy netip.Prefix `json:"trustedBy,omitzero" doc:"The prefix that makes it a trusted proxy; absent if none does."`
}

// HeaderLines is one header as it came.
type HeaderLines struct {
	Name  string   `json:"name" doc:"Its name."`
	Lines []string `json:"lines" doc:"Its lines in their order: at most 20, of each at most 200 bytes."`
	Reads bool     `json:"reads" doc:"Whether it is the one that is read of trusted proxies."`
}

// Headers returns the headers in h that have to do with forwarding, and the names
// of all others, both in the order of their names. Those that secret reports true
// of are always among the others: their values may be keys.
func (r *Resolver) Headers(h http.Header, secret func(name string) bool) (forwarding []HeaderLines, others []string) {
	configured := r.current.Load().header
	for _, name := range slices.Sorted(maps.Keys(h)) {
		reads := headername.Equal(name, configured)
		switch {
		case strings.ContainsFunc(name, notInName):
		case secret(name), !reads && name != "Via" && !stripped.Has(name) && !origin.Has(name):
			others = append(others, shown(name))
		case len(forwarding) < maxShownLines:
			lines := make([]string, 0, len(h[name]))
			for _, line := range h[name][:min(len(h[name]), maxShownLines)] {
				lines = append(lines, shown(withoutQuery(line)))
			}
			forwarding = append(forwarding, HeaderLines{shown(name), lines, name == configured})
		}
	}
	return forwarding, others[:min(len(others), maxShownNames)]
}

// maxShownNames bounds how many names of other headers are told.
const maxShownNames = 100

// withoutQuery cuts the query off: headers such as X-Original-URL may have a key
// in it, and no address has one.
func withoutQuery(value string) string {
	path, _, has := strings.Cut(value, "?")
	if !has {
		return value
	}
	return path + "?…"
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
