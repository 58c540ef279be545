package clientip_test

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
)

// slowAddrForm is the table of spellings in the doc comment of parseAddr.
var slowAddrForm = regexp.MustCompile("^(?:" +
	`([0-9.]+)(?::([0-9]{1,5}))?` +
	"|" + `\[([0-9A-Fa-f.:]+)(?:%[!#$&()*+\-.0-9<=>?@A-Z^_a-z{|}~]+)?\](?::([0-9]{1,5}))?` +
	"|" + `([0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*)(?:%[!#$&()*+\-.0-9<=>?@A-Z^_a-z{|}~]+)?` +
	")$")

// slowAddr reads an address by that table and package net; invalid if refused.
func slowAddr(s string, nat64 bool) netip.Addr {
	s = strings.Trim(s, " \t")
	m := slowAddrForm.FindStringSubmatch(s)
	if m == nil || len(s) > 80 || m[2]+m[4] > "65535" && len(m[2]+m[4]) == 5 {
		return netip.Addr{}
	}
	if m[3] != "" && !strings.Contains(m[3], ":") {
		return netip.Addr{}
	}
	ip := net.ParseIP(m[1] + m[3] + m[5])
	if ip == nil {
		return netip.Addr{}
	}
	if _, wellKnown, _ := net.ParseCIDR("64:ff9b::/96"); nat64 && wellKnown.Contains(ip) && ip[12:].IsGlobalUnicast() {
		ip = ip[12:]
	}
	if ip.IsUnspecified() || ip.IsMulticast() || ip.Equal(net.IPv4bcast) {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// slowResolve is the rule of the package comment, written plainly.
func slowResolve(trusted []netip.Prefix, lines []string, list, nat64 bool) (netip.Addr, clientip.Kind) {
	switch {
	case len(lines) == 0:
		return netip.Addr{}, clientip.Missing
	case !list && len(lines) > 1:
		return netip.Addr{}, clientip.Repeated
	}
	hops := lines
	if list {
		hops = strings.Split(strings.Join(lines, ","), ",")
	}
	var addr netip.Addr
	for i := range hops {
		addr = slowAddr(hops[len(hops)-1-i], nat64)
		if !addr.IsValid() || list && i == 100 {
			return netip.Addr{}, clientip.Malformed
		}
		inside := false
		for _, p := range trusted {
			inside = inside || p.Contains(addr)
		}
		if !inside {
			break
		}
	}
	return addr, ""
}

// FuzzResolve sends any header lines from any peer.
func FuzzResolve(f *testing.F) {
	f.Add("10.0.0.1:1", "203.0.113.9", "1.2.3.4", false, false)
	f.Add("10.0.0.1:1", "203.0.113.9, 10.0.0.2\n10.0.0.3", "", true, false)
	f.Add("203.0.113.9:1", "1.2.3.4", "1.2.3.4", false, true)
	f.Add("[fd00::1%eth0]:1", "[64:ff9b::7f00:1%x]:80,[fd00::2]", "unknown", true, true)
	f.Add("@", "127.0.0.1", "::1", false, false)
	f.Add("[::ffff:10.0.0.1]:1", "::ffff:127.0.0.1", "", true, false)
	f.Add("10.0.0.1:1", " 010.0.0.1\t", "_hidden", false, false)
	f.Add("10.0.0.1:1", ",", "", true, false)
	f.Add("10.0.0.1:1", strings.Repeat("10.0.0.1,", 101), "", true, false)
	f.Add("10.0.0.1:1", "1.2.3.4:99999", "", true, false)
	f.Fuzz(func(t *testing.T, remoteAddr, own, other string, list, nat64 bool) {
		name, otherName := "X-Real-Ip", "X-Forwarded-For"
		if list {
			name, otherName = otherName, name
		}
		r := newResolver(t, trustedList, name, nat64)
		h := http.Header{otherName: {other}, "X_real_ip": {other}, "X_forwarded_for": {other}, "Forwarded": {"for=" + other}}
		var lines []string
		if own != "-" {
			lines = strings.Split(own, "\n")
			h[name] = lines
		}
		p := r.Peer(remoteAddr)
		got, err := r.Resolve(p, h)

		if want := slowAddr(remoteAddr, nat64); p.Addr != want {
			t.Fatalf("peer %q: got %v, want %v", remoteAddr, p.Addr, want)
		}
		kind := clientip.Kind("")
		if typed := (*clientip.Error)(nil); errors.As(err, &typed) {
			kind = typed.Kind
		}
		prefixes := []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("fd00::/8"),
		}
		want, wantKind := p.Addr, clientip.Kind("")
		switch {
		case !p.Addr.IsValid():
			wantKind = clientip.NoPeer
		case p.Trusted:
			want, wantKind = slowResolve(prefixes, lines, list, nat64)
		}
		if got != want || kind != wantKind || (err == nil) != got.IsValid() {
			t.Fatalf("peer %q, %s %q: got %v, %v, want %v, %q", remoteAddr, name, lines, got, err, want, wantKind)
		}
		if got.Is4In6() || got.Zone() != "" || got.IsUnspecified() {
			t.Fatalf("%v is not in its one form", got)
		}
		checkLoopback(t, got, remoteAddr, own)
		checkExplanation(t, r.Explain(remoteAddr, h), got, kind)
	})
}

// checkLoopback: nobody becomes loopback without having written it, as such and
// not inside a NAT64 address.
func checkLoopback(t *testing.T, got netip.Addr, sent ...string) {
	t.Helper()
	if !got.IsLoopback() {
		return
	}
	for _, s := range sent {
		for _, piece := range append(strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == '\n' }), s) {
			if slowAddr(piece, false) == got {
				return
			}
		}
	}
	t.Fatalf("%q became %v", sent, got)
}

// checkExplanation: Explain says what Resolve does, and prints nothing raw.
func checkExplanation(t *testing.T, e clientip.Explanation, addr netip.Addr, kind clientip.Kind) {
	t.Helper()
	if e.ClientIP != addr || e.ErrorKind != kind || (e.Error == "") != (kind == "") {
		t.Fatalf("explained as %v, %q, resolved as %v, %q", e.ClientIP, e.ErrorKind, addr, kind)
	}
	if len(e.Steps) == 0 || len(e.Steps) > 150 {
		t.Fatalf("%d steps", len(e.Steps))
	}
	if i := strings.IndexFunc(e.Text(), func(c rune) bool { return c < ' ' && c != '\n' || c == 0x7f }); i >= 0 {
		t.Fatalf("control character in %q", e.Text())
	}
}
