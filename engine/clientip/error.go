package clientip

import (
	"fmt"
	"net/netip"
	"unicode/utf8"
)

// Kind says what made a client IP impossible to find.
type Kind string

// The kinds of Error.
const (
	// NoPeer means that the connection has no peer address.
	NoPeer Kind = "no_peer"
	// Missing means that a trusted proxy did not send the header.
	Missing Kind = "missing"
	// Repeated means that a trusted proxy sent the header in several lines.
	Repeated Kind = "repeated"
	// Malformed means that a trusted proxy sent what is no address.
	Malformed Kind = "malformed"
)

// Names of the settings, as the messages and advice of this package give them.
const (
	settingTrusted = "TRUSTED_PROXY_IPS"
	settingHeader  = "SENTINEL_REAL_IP_HEADER"
	settingPROXY   = "SENTINEL_PROXY_PROTOCOL"
)

// maxShownBytes bounds a value of a header in messages and traces.
const maxShownBytes = 200

// Error is a client IP that cannot be found.
type Error struct {
	Kind   Kind
	Header string     // name of the header as configured
	Peer   netip.Addr // the trusted proxy; invalid for NoPeer
	Value  string     // what is malformed, at most 200 bytes of it
	Detail string     // what is wrong with Value
}

// Error returns one line that names the header, the peer and the setting to
// check. It is meant for the log: clients need not know proxies' addresses.
func (e *Error) Error() string {
	switch e.Kind {
	case NoPeer:
		return "client IP: the connection has no peer address (a Unix socket has none): listen on TCP"
	case Missing:
		return fmt.Sprintf("client IP: trusted proxy %s sent no %s header (check the proxy, and %s)", e.Peer, e.Header, settingHeader)
	case Repeated:
		return fmt.Sprintf("client IP: trusted proxy %s sent %s more than once (it must overwrite what clients send; check the proxy, and %s)",
			e.Peer, e.Header, settingHeader)
	default:
		return fmt.Sprintf("client IP: trusted proxy %s sent %q in %s: %s (check the proxy, and %s)",
			e.Peer, e.Value, e.Header, e.Detail, settingHeader)
	}
}

// fail returns the *Error, as the error interface so that a nil one of the
// wrong type cannot come about.
func (r *rules) fail(kind Kind, p Peer, value, detail string) error {
	return &Error{Kind: kind, Header: r.name, Peer: p.Addr, Value: shown(value), Detail: detail}
}

// shown cuts a value of any length to what is shown of it.
func shown(s string) string {
	if len(s) <= maxShownBytes {
		return s
	}
	end := maxShownBytes - len("…")
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
