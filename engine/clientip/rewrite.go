package clientip

import (
	"net/http"
	"net/netip"

	"github.com/key-ip-sentinel/sentinel/engine/headername"
)

// strippedHeaders are the headers in which some server looks for the address
// of the client, or for a URL or host that replaces the one of the request.
// Nobody's word counts in these but Sentinel's.
var strippedHeaders = []string{
	realIP, forwardedFor, "Forwarded", "Forwarded-For", "Forwarded-For-IP", "X-Forwarded",
	"X-Client-IP", "X-Client-Address", "X-Cluster-Client-IP", "X-Original-Forwarded-For", "X-Originating-IP",
	"X-Remote-IP", "X-Remote-Addr", "X-Remote-Address", "X-Real-Client-IP", "X-Source-IP", "X-ProxyUser-IP",
	"Client-IP", "Real-IP", "Remote-Addr", "Source-IP", "Proxy-Client-IP", "WL-Proxy-Client-IP",
	"True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Pseudo-IPv4", "Fastly-Client-IP",
	"Fly-Client-IP", "EO-Connecting-IP", "EO-Client-IP", "Ali-CDN-Real-IP", "CDN-Src-IP", "CDN-Real-IP",
	"Incap-Client-IP", "X-Nf-Client-Connection-IP", "X-Vercel-Forwarded-For", "X-Sucuri-Clientip", "DO-Connecting-IP",
	"X-Envoy-External-Address", "X-AppEngine-User-IP", "X-AppEngine-Remote-Addr", "X-Azure-ClientIP", "X-Azure-SocketIP",
	"X-CloudFront-Viewer-Address", "CloudFront-Viewer-Address", "X-Gateway-Client-IP",
	"X-Host", "X-HTTP-Host-Override", "X-Original-Host", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL",
}

// originHeaders tell how the client reached the outermost proxy. A trusted
// proxy's word counts, under the one spelling that it would use.
var originHeaders = []string{
	forwardedHost, forwardedProto, forwardedPort, "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Forwarded-Ssl",
	"X-Forwarded-Scheme", "X-Forwarded-Protocol", "X-Forwarded-By", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Method",
	"X-Scheme", "X-Url-Scheme", "Front-End-Https",
}

const (
	forwardedHost  = "X-Forwarded-Host"
	forwardedProto = "X-Forwarded-Proto"
	forwardedPort  = "X-Forwarded-Port"
)

// The sets of the headers above. They never change.
var (
	stripped = headername.NewSet(strippedHeaders...)
	origin   = headername.NewSet(originHeaders...)
)

// RewriteOptions tell how the client reached Sentinel.
type RewriteOptions struct {
	Host        string // Host of the request; empty sets no X-Forwarded-Host
	Proto       string // "http" or "https"; empty sets no X-Forwarded-Proto
	TrustedPeer bool   // Peer.Trusted
	// Header is Options.Header, if it may be one that is not known here. The
	// method of Resolver sets it.
	Header string
}

// Rewrite is the package's Rewrite with the header that r reads.
func (r *Resolver) Rewrite(h http.Header, client netip.Addr, opts RewriteOptions) {
	opts.Header = r.current.Load().header
	Rewrite(h, client, opts)
}

// Rewrite makes h, the header of the request as it is about to be sent, say
// what Sentinel decided and nothing that the client claimed: every forwarding
// header goes, with the configured one and under every alias (see package
// headername), then X-Real-Ip and X-Forwarded-For are set to the client IP, one
// line of one address each.
//
// X-Forwarded-Host, -Proto and their like are kept if the peer is a trusted
// proxy and sent a single line; otherwise they go, and Host and Proto are set
// from opts. X-Forwarded-Port is only ever kept.
//
// If client is invalid, which is a request without a key that no client IP was
// found for, nothing takes the place of what was removed: the downstream then
// sees Sentinel's own address as the source.
//
// It must be called after the removal of hop-by-hop headers, so that a client's
// "Connection: X-Real-Ip" cannot remove what is set here.
func Rewrite(h http.Header, client netip.Addr, opts RewriteOptions) {
	for name, lines := range h {
		if stripped.Has(name) || headername.Equal(name, opts.Header) || origin.Has(name) && !keeps(name, lines, opts) {
			delete(h, name)
		}
	}
	lines := make([]string, 4) // for all of them at once
	if client.IsValid() {
		text := client.String()
		setLine(h, realIP, text, lines[0:1:1])
		setLine(h, forwardedFor, text, lines[1:2:2])
	}
	if opts.Host != "" && len(h[forwardedHost]) == 0 {
		setLine(h, forwardedHost, opts.Host, lines[2:3:3])
	}
	if opts.Proto != "" && len(h[forwardedProto]) == 0 {
		setLine(h, forwardedProto, opts.Proto, lines[3:4:4])
	}
}

func setLine(h http.Header, name, value string, line []string) {
	line[0] = value
	h[name] = line
}

// Strip removes from h all that Rewrite removes, and sets nothing. It is for
// trailers, which some servers merge into the header.
func (r *Resolver) Strip(h http.Header) {
	configured := r.current.Load().header
	for name := range h {
		if stripped.Has(name) || headername.Equal(name, configured) || origin.Has(name) {
			delete(h, name)
		}
	}
}

// keeps reports whether an origin header stays.
func keeps(name string, lines []string, opts RewriteOptions) bool {
	return opts.TrustedPeer && len(lines) == 1 && lines[0] != "" && !origin.HasAlias(name)
}
