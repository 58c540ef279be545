package ipset

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxFaults bounds how many faults ParseList spells out.
const maxFaults = 20

// mappedBits is the length of ::ffff:0:0/96, the prefix of IPv4-mapped
// addresses (RFC 4291 section 2.5.5.2).
const mappedBits = 96

// ParsePrefix reads a prefix ("10.0.0.0/8", "2001:db8::/32"), or a bare address
// as the prefix of that address alone ("10.0.0.1" is 10.0.0.1/32). The answer
// has one form: masked, without a zone, and IPv4 where the text was
// IPv4-mapped ("::ffff:10.0.0.0/104" is 10.0.0.0/8).
//
// Refused are zones, IPv4 octets with leading zeros (octal to some readers,
// decimal to others), and set host bits (in "10.0.0.1/8" it is unclear whether
// one address or a network is meant). Errors begin with the quoted text.
func ParsePrefix(s string) (netip.Prefix, error) {
	host, length, hasLength := strings.Cut(s, "/")
	addr, err := parseAddr(host)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%.80q %w", s, err)
	}
	bits := addr.BitLen()
	if hasLength {
		if bits, err = parseLength(addr, length); err != nil {
			return netip.Prefix{}, fmt.Errorf("%.80q %w", s, err)
		}
	}
	if addr.Is4In6() {
		addr, bits = addr.Unmap(), bits-mappedBits
	}
	p := netip.PrefixFrom(addr, bits)
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%.80q has host bits set: did you mean %s or %s?",
			s, p.Masked(), netip.PrefixFrom(addr, addr.BitLen()))
	}
	return p, nil
}

func parseAddr(s string) (netip.Addr, error) {
	if strings.Contains(s, "%") {
		return netip.Addr{}, errors.New("has a zone, which means nothing in a prefix: leave out the part from % on")
	}
	addr, err := netip.ParseAddr(s)
	switch {
	case err == nil:
		return addr, nil
	case hasLeadingZero(s):
		return netip.Addr{}, errors.New("has an octet with a leading zero, which some programs read as octal: leave out the zero")
	}
	if ap, portErr := netip.ParseAddrPort(s); portErr == nil {
		return netip.Addr{}, fmt.Errorf("has a port: did you mean %s?", ap.Addr())
	}
	return netip.Addr{}, errors.New("is no IP address or prefix, such as 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32")
}

// hasLeadingZero reports whether s would be an IPv4 address but for zeros.
func hasLeadingZero(s string) bool {
	octets := strings.Split(s[strings.LastIndexByte(s, ':')+1:], ".")
	zero := false
	for _, octet := range octets {
		if _, err := strconv.ParseUint(octet, 10, 8); err != nil {
			return false
		}
		zero = zero || len(octet) > 1 && octet[0] == '0'
	}
	return zero && len(octets) == net.IPv4len
}

// parseLength reads the part after the slash as the number of bits of a prefix
// in the form in which addr was written.
func parseLength(addr netip.Addr, s string) (int, error) {
	if mask, err := netip.ParseAddr(s); err == nil && mask.Is4() && addr.Is4() {
		if ones, bits := net.IPMask(mask.AsSlice()).Size(); bits != 0 {
			return 0, fmt.Errorf("has a netmask, where a length is wanted: did you mean %s/%d?", addr, ones)
		}
	}
	bits, err := strconv.Atoi(s)
	switch {
	case err != nil || strconv.Itoa(bits) != s || bits < 0 || bits > addr.BitLen():
		return 0, fmt.Errorf("has a bad prefix length %.20q: want 0 to %d", s, addr.BitLen())
	case addr.Is4In6() && bits < mappedBits:
		return 0, fmt.Errorf("is an IPv4-mapped prefix shorter than /%d: write it as IPv4", mappedBits)
	}
	return bits, nil
}

// ParseList reads prefixes as ParsePrefix does, separated by commas, white
// space or both, in the order of the text. Empty text is an empty list. All
// faults are reported at once (errors.Join), the first 20 in full.
func ParseList(s string) ([]netip.Prefix, error) {
	var (
		prefixes []netip.Prefix
		faults   []error
		more     int
	)
	for item := range strings.FieldsFuncSeq(s, isSeparator) {
		p, err := ParsePrefix(item)
		switch {
		case err == nil:
			prefixes = append(prefixes, p)
		case len(faults) < maxFaults:
			faults = append(faults, err)
		default:
			more++
		}
	}
	if more > 0 {
		faults = append(faults, fmt.Errorf("and %d more", more))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return prefixes, nil
}

func isSeparator(r rune) bool {
	return strings.ContainsRune(", \t\r\n", r)
}
