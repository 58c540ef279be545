package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/headername"
)

const tagClientIP = "client-ip"

// registerIPDoctor adds what tells how a client IP comes about.
func (a *API) registerIPDoctor() {
	handle(a, operation{
		method: http.MethodGet, path: "/ip-doctor", id: "examine-own-request", tag: tagClientIP, role: account.Viewer,
		summary: "Tell how your own client IP comes about",
		about:   "By the code that decides on requests. Of headers that have nothing to do with forwarding only the names are told.",
	}, func(_ context.Context, c *call, _ *struct{}) (*doctorOutput, error) {
		return a.diagnose(a.ownRequest(c), nil)
	})
	handle(a, operation{
		method: http.MethodPost, path: "/ip-doctor", id: "examine-request", tag: tagClientIP, role: account.Viewer,
		summary: "Tell how the client IP of a request would come about",
		about: "Of one that is described, or without a peer of this very request. With trustedProxies or header it is told what " +
			"would be if these were the settings. Nothing is changed, kept or logged.",
	}, a.examineRequest)
}

// examined is a request as far as its client IP goes.
type examined struct {
	remoteAddr string
	header     http.Header
	proxiedBy  string // the proxy that named remoteAddr by the PROXY protocol
}

func (a *API) ownRequest(c *call) examined {
	if c.request == nil {
		return examined{remoteAddr: "@"} // the local socket
	}
	proxiedBy, _ := c.request.Context().Value(proxiedKey{}).(string)
	return examined{c.request.RemoteAddr, c.request.Header, proxiedBy}
}

type doctorInput struct {
	Body struct {
		Peer           string    `json:"peer,omitempty" maxLength:"80" example:"10.0.0.7:51000" doc:"Where the connection came from, with or without a port; absent: this very request."`
		Headers        string    `json:"headers,omitempty" maxLength:"65536" example:"X-Real-IP: 203.0.113.9" doc:"The headers of the request as text, one a line, as curl -v and browsers show them."`
		TrustedProxies *[]string `json:"trustedProxies,omitempty" maxItems:"10000" example:"[\"10.0.0.0/8\"]" doc:"In place of TRUSTED_PROXY_IPS; empty: nobody is trusted."`
		Header         string    `json:"header,omitempty" maxLength:"80" example:"X-Forwarded-For" doc:"In place of SENTINEL_REAL_IP_HEADER."`
	}
}

type doctorOutput struct {
	Body diagnosis
}

// diagnosis is how a client IP comes about.
type diagnosis struct {
	Peer           doctorPeer             `json:"peer" doc:"The other end of the connection."`
	TrustedProxies []netip.Prefix         `json:"trustedProxies" doc:"By which this was found out."`
	Header         string                 `json:"header" doc:"The one header that is read of a trusted proxy."`
	WhatIf         bool                   `json:"whatIf" doc:"Whether settings other than those in force were asked about."`
	Forwarding     []clientip.HeaderLines `json:"forwarding" doc:"The headers that have to do with forwarding, as they came; queries in them are cut off."`
	OtherHeaders   []string               `json:"otherHeaders" doc:"The names of all other headers. Their values, which may be keys, are not told."`
	Steps          []clientip.Step        `json:"steps" doc:"What was looked at, in this order: the peer, then each hop, then what counted for nothing."`
	ClientIP       netip.Addr             `json:"clientIp,omitzero" doc:"The client IP; absent if it cannot be told."`
	ErrorKind      clientip.Kind          `json:"errorKind,omitempty" enum:"no_peer,missing,repeated,malformed" doc:"Why it cannot be told."`
	Error          string                 `json:"error,omitempty" doc:"The same in words."`
	Advice         []string               `json:"advice" doc:"What to check, most important first."`
}

type doctorPeer struct {
	RemoteAddr string       `json:"remoteAddr" doc:"As the connection has it."`
	ProxiedBy  string       `json:"proxiedBy,omitempty" doc:"The proxy that named it by the PROXY protocol."`
	Trusted    bool         `json:"trusted" doc:"Whether it is a trusted proxy."`
	TrustedBy  netip.Prefix `json:"trustedBy,omitzero" doc:"The first prefix that makes it one."`
}

func (a *API) examineRequest(_ context.Context, c *call, in *doctorInput) (*doctorOutput, error) {
	var f faults
	of := a.ownRequest(c)
	switch {
	case in.Body.Peer != "":
		of = examined{remoteAddr: in.Body.Peer, header: parseHeaderLines("body.headers", in.Body.Headers, &f)}
		if !a.opts.Resolver.Peer(of.remoteAddr).Addr.IsValid() {
			f.addf("body.peer", "is no address, such as 10.0.0.7 or 10.0.0.7:51000")
		}
	case in.Body.Headers != "":
		f.addf("body.peer", "is missing: which headers count depends on who sent them")
	}
	instead := a.otherOptions(in, &f)
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.diagnose(of, instead)
}

// otherOptions returns the settings that are asked about; nil: those in force.
func (a *API) otherOptions(in *doctorInput, f *faults) *clientip.Options {
	if in.Body.TrustedProxies == nil && in.Body.Header == "" {
		return nil
	}
	o := a.opts.Resolver.Options()
	if in.Body.TrustedProxies != nil {
		o.Trusted = make([]netip.Prefix, 0, len(*in.Body.TrustedProxies))
		for i, text := range *in.Body.TrustedProxies {
			p, fault := parsePrefix(text)
			if fault != "" && len(*f) < maxRuleFaults {
				f.addf(fmt.Sprintf("body.trustedProxies[%d]", i), "%s", fault)
			}
			o.Trusted = append(o.Trusted, p)
		}
	}
	if in.Body.Header != "" {
		o.Header = in.Body.Header
		if _, err := clientip.New(clientip.Options{Header: o.Header}); err != nil {
			f.addf("body.header", "%s", err)
		} else if a.isCredentialHeader(o.Header) {
			f.addf("body.header", "holds keys, and no address")
		}
	}
	if len(*f) == 0 {
		if _, err := clientip.New(o); err != nil {
			f.addf("body.trustedProxies", "%s", err)
		}
	}
	return &o
}

func (a *API) isCredentialHeader(name string) bool {
	return headername.NewSet(a.opts.Engine.CredentialHeaders()...).Has(name)
}

// diagnose finds out the client IP of a request. instead, if not nil, is in place
// of the settings in force.
func (a *API) diagnose(of examined, instead *clientip.Options) (*doctorOutput, error) {
	resolver := a.opts.Resolver
	if instead != nil {
		var err error
		if resolver, err = clientip.New(*instead); err != nil {
			return nil, err
		}
	}
	forwarding, others := resolver.Headers(of.header, a.isCredentialHeader)
	h := of.header.Clone()
	for name := range h {
		if a.isCredentialHeader(name) {
			delete(h, name) // so that no step can tell its value
		}
	}
	e := resolver.Explain(of.remoteAddr, h)
	d := diagnosis{
		Peer: doctorPeer{RemoteAddr: e.RemoteAddr, ProxiedBy: of.proxiedBy}, TrustedProxies: e.Trusted, Header: e.Header, WhatIf: instead != nil,
		Forwarding: append([]clientip.HeaderLines{}, forwarding...), OtherHeaders: append([]string{}, others...),
		Steps: e.Steps, ClientIP: e.ClientIP, ErrorKind: e.ErrorKind, Error: e.Error, Advice: e.Advice,
	}
	if len(e.Steps) > 0 { // the first is the peer
		d.Peer.TrustedBy = e.Steps[0].TrustedBy
		d.Peer.Trusted = d.Peer.TrustedBy.IsValid()
	}
	return &doctorOutput{d}, nil
}

const (
	maxHeaderLines  = 500
	maxHeaderFaults = 10
)

// parseHeaderLines reads headers as people paste them: request lines, the
// pseudo-headers of HTTP/2 and the marks of curl -v are passed over. What is no
// header is not repeated, since it may be a key.
func parseHeaderLines(location, text string, f *faults) http.Header {
	h, n, wrong := http.Header{}, 0, 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if marked, isMarked := strings.CutPrefix(line, ">"); isMarked {
			line = strings.TrimPrefix(marked, " ")
		}
		if strings.TrimSpace(line) == "" || line[0] == ':' || strings.Contains(line, " HTTP/") {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		switch {
		case n > maxHeaderLines:
			f.addf(location, "has more than %d lines", maxHeaderLines)
			return h
		case found && isToken(name):
			h.Add(name, strings.Trim(value, " \t"))
		case wrong < maxHeaderFaults:
			wrong++
			f.addf(fmt.Sprintf("%s line %d", location, n), "is no header, such as X-Real-IP: 203.0.113.9")
		}
	}
	return h
}

// isToken reports whether s is a name that a header can have, RFC 9110 section
// 5.6.2.
func isToken(s string) bool {
	return s != "" && !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return c <= ' ' || c > '~' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0
	})
}
