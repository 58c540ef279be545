package clientip

import (
	"net/netip"
	"strings"

	"github.com/key-ip-sentinel/sentinel/store"
)

// maxAddrBytes bounds an address as text: 45 for the longest IPv6 spelling,
// with brackets, a zone and a port.
const maxAddrBytes = 80

// What is wrong with the text of an address. Constants, so that a refusal
// costs nothing either.
const (
	faultEmpty       = "it is empty"
	faultLong        = "it is too long for an address"
	faultBracket     = "its brackets hold no IPv6 address"
	faultPort        = "what follows the address is no port"
	faultZone        = "its zone is malformed"
	faultLeadingZero = "it has an octet with a leading zero, which some programs read as octal"
	faultNoAddress   = "it is no IP address"
	faultList        = "it is a list, and one address is wanted"
	faultUnspecified = "the unspecified address is nobody's"
	faultMulticast   = "a multicast or broadcast address is nobody's source"
	tooManyHops      = "it has more than 100 trusted hops"
)

var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598, carrier-grade NAT
	broadcast   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// parseAddr reads an address as peers and proxies write it, and says what is
// wrong if it cannot. Read are, with spaces and tabs around them:
//
//	192.0.2.7          RFC 791
//	192.0.2.7:4711     with a port, as Azure's gateways write it
//	2001:db8::7        RFC 4291; without brackets all of it is the address,
//	                   so 2001:db8::7:4711 has no port
//	[2001:db8::7]      in brackets, as RFC 7239 wants
//	[2001:db8::7]:4711 with a port, as net/http's RemoteAddr has it
//	fe80::7%eth0       with a zone, in each form of IPv6; the zone is dropped
//	::ffff:192.0.2.7   IPv4-mapped, in each form of IPv6; it is 192.0.2.7
//
// Refused are the empty text, names ("unknown", "_hidden"), quotes, lists,
// octets with leading zeros, ports out of range, and addresses that no packet
// comes from: unspecified, multicast, broadcast.
func (r *rules) parseAddr(s string) (netip.Addr, string) {
	s = strings.Trim(s, " \t")
	switch {
	case s == "":
		return netip.Addr{}, faultEmpty
	case len(s) > maxAddrBytes:
		return netip.Addr{}, faultLong
	}
	host, fault := withoutPort(s)
	if fault != "" {
		return netip.Addr{}, fault
	}
	if host, fault = withoutZone(host); fault != "" {
		return netip.Addr{}, fault
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return netip.Addr{}, faultOf(s)
	case s[0] == '[' && !addr.Is6():
		return netip.Addr{}, faultBracket
	}
	return r.canonical(addr)
}

// withoutPort takes brackets and port from an address.
func withoutPort(s string) (host, fault string) {
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", faultBracket
		}
		if rest := s[end+1:]; rest != "" && (rest[0] != ':' || !isPort(rest[1:])) {
			return "", faultPort
		}
		return s[1:end], ""
	}
	i := strings.IndexByte(s, ':')
	if i < 0 || i != strings.LastIndexByte(s, ':') {
		return s, "" // IPv4 without a port, or IPv6
	}
	if !isPort(s[i+1:]) {
		return "", faultPort
	}
	return s[:i], ""
}

// isPort reports whether s is a number up to 65535 in at most five digits.
func isPort(s string) bool {
	if s == "" || len(s) > 5 {
		return false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n <= 65535
}

// withoutZone takes the zone from an IPv6 address. It is cut before parsing,
// because netip interns every zone it reads and these are a stranger's. What
// stands there must be able to be the name of an interface, so that nothing is
// dropped unseen with it, such as a second address.
func withoutZone(host string) (addr, fault string) {
	addr, zone, found := strings.Cut(host, "%")
	if !found {
		return host, ""
	}
	if zone == "" || strings.IndexByte(addr, ':') < 0 {
		return "", faultZone
	}
	for i := range len(zone) {
		if c := zone[i]; c <= ' ' || c > '~' || strings.IndexByte("%,;:\"'`\\/[]", c) >= 0 {
			return "", faultZone
		}
	}
	return addr, ""
}

// faultOf says why netip does not read s.
func faultOf(s string) string {
	if strings.IndexByte(s, ',') >= 0 {
		return faultList
	}
	octets := strings.Split(s, ".")
	for _, octet := range octets {
		if len(octets) == 4 && len(octet) > 1 && octet[0] == '0' {
			return faultLeadingZero
		}
	}
	return faultNoAddress
}

// canonical gives an address its one form, or says why it is nobody's.
//
// A NAT64 address whose inside is no unicast address of the network stays
// IPv6: RFC 6052 section 3.1 forbids translators to make such ones, and nobody
// shall become 127.0.0.1 by spelling it 64:ff9b::7f00:1.
func (r *rules) canonical(addr netip.Addr) (netip.Addr, string) {
	addr = addr.Unmap().WithZone("")
	if r.nat64 && store.NAT64.Contains(addr) {
		b := addr.As16()
		if inner := netip.AddrFrom4([4]byte(b[12:])); inner.IsGlobalUnicast() {
			addr = inner
		}
	}
	switch {
	case addr.IsUnspecified():
		return netip.Addr{}, faultUnspecified
	case addr.IsMulticast(), addr == broadcast:
		return netip.Addr{}, faultMulticast
	}
	return addr, ""
}

// isInternal reports whether addr belongs to no single place on the internet:
// private, loopback, link-local or shared by a carrier's NAT.
func isInternal(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || sharedSpace.Contains(addr)
}
