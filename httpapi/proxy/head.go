package proxy

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// MaxHeadBytes is how large the head of a request may be.
const MaxHeadBytes = 64 << 10

// survey counts what a request's head took in HTTP/1.1, and reports whether it has
// headers that are not to be judged, nor sent: hop-by-hop ones, and other spellings
// of those that may hold a key.
func (p *Proxy) survey(r *http.Request) (bytes int, odd bool) {
	n := len(r.Method) + len(r.RequestURI) + len(" HTTP/1.1\r\n ") + len("Host: \r\n") + len(r.Host) + len("\r\n")
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
		odd = odd || isHopByHop(name) || p.credentials.HasAlias(name)
	}
	return n, odd
}

// removeAliases removes headers that are taken for one with a key by some servers,
// and not by others.
func (p *Proxy) removeAliases(h http.Header) {
	for name := range h {
		if p.credentials.HasAlias(name) {
			delete(h, name)
		}
	}
}

// cleanHopByHop removes from a request what RFC 9110 section 7.6.1 keeps between
// two hops, except a Te that asks for trailers and, for a valid upgrade to
// WebSocket, the upgrade. It reports whether the request is one. No other upgrade
// is passed on: h2c would let requests through a connection that nobody reads here.
func cleanHopByHop(r *http.Request) (websocket bool) {
	h := r.Header
	upgrade := isWebSocket(h["Upgrade"]) && httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade")
	trailers := httpguts.HeaderValuesContainsToken(h["Te"], "trailers")
	removeHopByHop(h)
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	// RFC 6455 section 4.1: what a server must find in the handshake.
	if !upgrade || r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1 ||
		h.Get("Sec-Websocket-Key") == "" || h.Get("Sec-Websocket-Version") != "13" || r.ContentLength != 0 {
		return false
	}
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	return true
}

// removeHopByHop removes what RFC 9110 section 7.6.1 keeps between two hops.
func removeHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			removeNamed(h, strings.Trim(name, " \t"))
		}
	}
	for name := range h {
		if isHopByHop(name) {
			delete(h, name)
		}
	}
}

// isHopByHop reports whether a header, by its canonical name, is of one hop alone.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Upgrade", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding",
		"Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Http2-Settings":
		return true
	}
	return false
}

func removeNamed(h http.Header, name string) {
	// The common tokens name no header.
	if name == "" || strings.EqualFold(name, "close") || strings.EqualFold(name, "keep-alive") || strings.EqualFold(name, "upgrade") {
		return
	}
	h.Del(name)
}

func isWebSocket(upgrade []string) bool {
	return len(upgrade) == 1 && strings.EqualFold(strings.Trim(upgrade[0], " \t"), "websocket")
}
