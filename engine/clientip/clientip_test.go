package clientip_test

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/ipset"
)

const trustedList = "10.0.0.0/8 192.0.2.1 fd00::/8"

func newResolver(tb testing.TB, trusted, header string, nat64 bool) *clientip.Resolver {
	tb.Helper()
	prefixes, err := ipset.ParseList(trusted)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := clientip.New(clientip.Options{Trusted: prefixes, Header: header, NAT64: nat64})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// addrText returns "" for the invalid address.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func TestPeer(t *testing.T) {
	tests := []struct {
		name, remoteAddr string
		nat64            bool
		want             string
		trusted          bool
	}{
		{"IPv4", "203.0.113.9:1234", false, "203.0.113.9", false},
		{"IPv4 trusted", "10.1.2.3:1234", false, "10.1.2.3", true},
		{"IPv4 without port", "10.1.2.3", false, "10.1.2.3", true},
		{"mapped", "[::ffff:203.0.113.9]:1234", false, "203.0.113.9", false},
		{"mapped trusted", "[::ffff:10.1.2.3]:1234", false, "10.1.2.3", true},
		{"mapped in hex", "[::ffff:a01:203]:1234", false, "10.1.2.3", true},
		{"IPv6", "[2001:db8::1]:1234", false, "2001:db8::1", false},
		{"IPv6 trusted", "[fd00::1]:1234", false, "fd00::1", true},
		{"zone", "[fe80::1%eth0.100]:1234", false, "fe80::1", false},
		{"zone trusted", "[fd00::1%eth0]:1234", false, "fd00::1", true},
		{"NAT64 off", "[64:ff9b::a01:203]:1234", false, "64:ff9b::a01:203", false},
		{"NAT64 on", "[64:ff9b::a01:203]:1234", true, "10.1.2.3", true},
		{"NAT64 loopback", "[64:ff9b::7f00:1]:1234", true, "64:ff9b::7f00:1", false},
		{"NAT64 unspecified", "[64:ff9b::]:1234", true, "64:ff9b::", false},
		{"loopback", "127.0.0.1:1", false, "127.0.0.1", false},
		{"Unix socket", "@", false, "", false},
		{"named Unix socket", "/run/sentinel.sock", false, "", false},
		{"empty", "", false, "", false},
		{"only a port", ":1234", false, "", false},
		{"unspecified", "0.0.0.0:1", false, "", false},
		{"leading zero", "010.1.2.3:1", false, "", false},
		{"bad port", "10.1.2.3:65536", false, "", false},
		{"name", "localhost:80", false, "", false},
		{"pipe", "pipe", false, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newResolver(t, trustedList, "", tt.nat64).Peer(tt.remoteAddr)
			if got := addrText(p.Addr); got != tt.want || p.Trusted != tt.trusted {
				t.Errorf("got %q, trusted %v, want %q, %v", got, p.Trusted, tt.want, tt.trusted)
			}
		})
	}
}

// TestAddressSpellings sends every spelling as the one address of X-Real-IP.
func TestAddressSpellings(t *testing.T) {
	tests := []struct {
		value, want string // want "" is a refusal
	}{
		{"203.0.113.9", "203.0.113.9"},
		{" \t203.0.113.9\t ", "203.0.113.9"},
		{"203.0.113.9:4711", "203.0.113.9"},
		{"203.0.113.9:0", "203.0.113.9"},
		{"2001:db8::7", "2001:db8::7"},
		{"2001:DB8:0:0::7", "2001:db8::7"},
		{"2001:db8::7:4711", "2001:db8::7:4711"},
		{"[2001:db8::7]", "2001:db8::7"},
		{"[2001:db8::7]:4711", "2001:db8::7"},
		{"fe80::7%eth0", "fe80::7"},
		{"[fe80::7%eth0]:4711", "fe80::7"},
		{"::ffff:203.0.113.9", "203.0.113.9"},
		{"::FFFF:cb00:7109", "203.0.113.9"},
		{"[::ffff:203.0.113.9]:80", "203.0.113.9"},
		{"::ffff:203.0.113.9%eth0", "203.0.113.9"},
		{"64:ff9b::cb00:7109", "203.0.113.9"},
		{"64:ff9b::203.0.113.9", "203.0.113.9"},
		{"64:ff9b::127.0.0.1", "64:ff9b::7f00:1"},
		{"64:ff9b::0.0.0.0", "64:ff9b::"},
		{"64:ff9b::224.0.0.1", "64:ff9b::e000:1"},
		{"64:ff9b::255.255.255.255", "64:ff9b::ffff:ffff"},
		{"64:ff9b:1::203.0.113.9", "64:ff9b:1::cb00:7109"},
		{"::127.0.0.1", "::7f00:1"},
		{"127.0.0.1", "127.0.0.1"},
		{"::1", "::1"},
		{"", ""},
		{" ", ""},
		{"unknown", ""},
		{"_hidden", ""},
		{"localhost", ""},
		{"-", ""},
		{`"203.0.113.9"`, ""},
		{"203.0.113.9,", ""},
		{"203.0.113.9, 198.51.100.1", ""},
		{"203.0.113.9 198.51.100.1", ""},
		{"for=203.0.113.9", ""},
		{"203.0.113.09", ""},
		{"0203.0.113.9", ""},
		{"::ffff:010.0.0.1", ""},
		{"203.0.113", ""},
		{"203.0.113.256", ""},
		{"0xcb.0.113.9", ""},
		{"3405803785", ""},
		{"203.0.113.9:", ""},
		{"203.0.113.9:65536", ""},
		{"203.0.113.9:+80", ""},
		{"203.0.113.9:000080", ""},
		{"203.0.113.9:http", ""},
		{"203.0.113.9/32", ""},
		{"203.0.113.9%eth0", ""},
		{"[203.0.113.9]", ""},
		{"[203.0.113.9]:80", ""},
		{"[]", ""},
		{"[", ""},
		{"[2001:db8::7", ""},
		{"2001:db8::7]", ""},
		{"[2001:db8::7]x", ""},
		{"[2001:db8::7]:", ""},
		{"[2001:db8::7]80", ""},
		{"[[2001:db8::7]]", ""},
		{"[ 2001:db8::7 ]", ""},
		{"fe80::7%", ""},
		{"fe80::7%a%b", ""},
		{"fe80::7%eth0,203.0.113.9", ""},
		{"fe80::7%eth 0", ""},
		{"fe80::7%eth\x00", ""},
		{"0.0.0.0", ""},
		{"::", ""},
		{"::ffff:0.0.0.0", ""},
		{"224.0.0.1", ""},
		{"ff02::1", ""},
		{"::ffff:224.0.0.1", ""},
		{"255.255.255.255", ""},
		{"203.0.113.9\u00a0", ""},
		{"２０３.0.113.9", ""},
		{strings.Repeat("1", 100000), ""},
		{strings.Repeat(":", 100000), ""},
	}
	r := newResolver(t, trustedList, "", true)
	for _, tt := range tests {
		t.Run(tt.value[:min(len(tt.value), 40)], func(t *testing.T) {
			got, err := r.Resolve(r.Peer("10.0.0.1:1"), http.Header{"X-Real-Ip": {tt.value}})
			if addrText(got) != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %v, %v, want %q", got, err, tt.want)
			}
			if typed := (*clientip.Error)(nil); err != nil && (!errors.As(err, &typed) || typed.Kind != clientip.Malformed) {
				t.Errorf("got error %v, want a malformed one", err)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	const (
		xff    = "X-Forwarded-For"
		xri    = "X-Real-Ip"
		cf     = "Cf-Connecting-Ip"
		client = "203.0.113.9"
	)
	many := strings.TrimSuffix(strings.Repeat("10.0.0.1,", 100), ",")
	tests := []struct {
		name, header, peer string
		h                  http.Header
		want               string
		kind               clientip.Kind
	}{
		{"untrusted, no header", "", client + ":1", nil, client, ""},
		{"untrusted, header", "", client + ":1", http.Header{xri: {"1.2.3.4"}}, client, ""},
		{"untrusted, repeated", "", client + ":1", http.Header{xri: {"1.2.3.4", "x"}}, client, ""},
		{"untrusted, malformed", "", client + ":1", http.Header{xri: {"x"}}, client, ""},
		{"untrusted, list", xff, client + ":1", http.Header{xff: {"1.2.3.4, 10.0.0.1"}}, client, ""},
		{"untrusted private peer", "", "172.17.0.1:1", http.Header{xri: {"1.2.3.4"}}, "172.17.0.1", ""},
		{"untrusted loopback peer", "", "127.0.0.1:1", http.Header{xri: {"1.2.3.4"}}, "127.0.0.1", ""},
		{"no peer", "", "@", http.Header{xri: {client}}, "", clientip.NoPeer},

		{"trusted", "", "10.0.0.1:1", http.Header{xri: {client}}, client, ""},
		{"trusted mapped", "", "[::ffff:10.0.0.1]:1", http.Header{xri: {client}}, client, ""},
		{"header in any case", "x-real-ip", "10.0.0.1:1", http.Header{xri: {client}}, client, ""},
		{"missing", "", "10.0.0.1:1", http.Header{xff: {client}}, "", clientip.Missing},
		{"missing, nil", "", "10.0.0.1:1", nil, "", clientip.Missing},
		{"missing, no lines", "", "10.0.0.1:1", http.Header{xri: {}}, "", clientip.Missing},
		{"alias is another header", "", "10.0.0.1:1", http.Header{"X_real_ip": {client}}, "", clientip.Missing},
		{"repeated", "", "10.0.0.1:1", http.Header{xri: {client, client}}, "", clientip.Repeated},
		{"repeated, one empty", "", "10.0.0.1:1", http.Header{xri: {"", client}}, "", clientip.Repeated},
		{"malformed", "", "10.0.0.1:1", http.Header{xri: {"unknown"}}, "", clientip.Malformed},
		{"empty", "", "10.0.0.1:1", http.Header{xri: {""}}, "", clientip.Malformed},
		{"trusted address in X-Real-IP", "", "10.0.0.1:1", http.Header{xri: {"10.9.9.9"}}, "10.9.9.9", ""},
		{"other single header", "CF-Connecting-IP", "10.0.0.1:1", http.Header{cf: {client}, xri: {"1.2.3.4"}}, client, ""},
		{"other header is no list", "CF-Connecting-IP", "10.0.0.1:1", http.Header{cf: {client + ", 10.0.0.1"}}, "", clientip.Malformed},

		{"list of one", xff, "10.0.0.1:1", http.Header{xff: {client}}, client, ""},
		{"list in any case", "x-forwarded-for", "10.0.0.1:1", http.Header{xff: {client + ",10.0.0.2"}}, client, ""},
		{"claims on the left", xff, "10.0.0.1:1", http.Header{xff: {"1.2.3.4, " + client}}, client, ""},
		{"proxies on the right", xff, "10.0.0.1:1", http.Header{xff: {"1.2.3.4, " + client + ", 10.0.0.3,\tfd00::1"}}, client, ""},
		{"proxy with port", xff, "10.0.0.1:1", http.Header{xff: {client + ":5, 10.0.0.3:443"}}, client, ""},
		{"several lines", xff, "10.0.0.1:1", http.Header{xff: {"1.2.3.4", client, "10.0.0.3"}}, client, ""},
		{"line of the client first", xff, "10.0.0.1:1", http.Header{xff: {"10.0.0.9, 10.0.0.8", client}}, client, ""},
		{"malformed on the left", xff, "10.0.0.1:1", http.Header{xff: {"unknown,,\"x\"," + client}}, client, ""},
		{"empty line on the left", xff, "10.0.0.1:1", http.Header{xff: {"", client}}, client, ""},
		{"malformed on the right", xff, "10.0.0.1:1", http.Header{xff: {client + ", unknown"}}, "", clientip.Malformed},
		{"malformed after a proxy", xff, "10.0.0.1:1", http.Header{xff: {client + ", unknown, 10.0.0.2"}}, "", clientip.Malformed},
		{"empty element", xff, "10.0.0.1:1", http.Header{xff: {client + ","}}, "", clientip.Malformed},
		{"empty line", xff, "10.0.0.1:1", http.Header{xff: {client, ""}}, "", clientip.Malformed},
		{"all trusted", xff, "10.0.0.1:1", http.Header{xff: {"10.0.0.5", "10.0.0.4, 10.0.0.3"}}, "10.0.0.5", ""},
		{"missing list", xff, "10.0.0.1:1", http.Header{xri: {client}}, "", clientip.Missing},
		{"100 hops", xff, "10.0.0.1:1", http.Header{xff: {many}}, "10.0.0.1", ""},
		{"101 hops", xff, "10.0.0.1:1", http.Header{xff: {client + "," + many}}, "", clientip.Malformed},
		{"101 lines", xff, "10.0.0.1:1", http.Header{xff: append([]string{client}, strings.Split(many, ",")...)}, "", clientip.Malformed},
		{"claims without end", xff, "10.0.0.1:1", http.Header{xff: {strings.Repeat("10.0.0.1,", 100000) + client}}, client, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, trustedList, tt.header, false)
			got, err := r.Resolve(r.Peer(tt.peer), tt.h)
			kind := clientip.Kind("")
			if typed := (*clientip.Error)(nil); errors.As(err, &typed) {
				kind = typed.Kind
			}
			if addrText(got) != tt.want || kind != tt.kind || (err == nil) != (tt.kind == "") {
				t.Errorf("got %v, %v, want %q, kind %q", got, err, tt.want, tt.kind)
			}
		})
	}
}

// TestResolveTrustsNobodyByDefault is CVE-2020-28483: gin believed the headers
// of every peer.
func TestResolveTrustsNobodyByDefault(t *testing.T) {
	r := newResolver(t, "", "", false)
	for _, peer := range []string{"127.0.0.1:1", "10.0.0.1:1", "[::1]:1", "203.0.113.9:1"} {
		p := r.Peer(peer)
		h := http.Header{"X-Real-Ip": {"1.2.3.4"}, "X-Forwarded-For": {"1.2.3.4"}}
		if got, err := r.Resolve(p, h); err != nil || got != p.Addr || p.Trusted {
			t.Errorf("%s: got %v, %v", peer, got, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	r := newResolver(t, trustedList, "", false)
	p := r.Peer("10.0.0.1:1")
	tests := []struct {
		name string
		peer clientip.Peer
		h    http.Header
		want []string
	}{
		{"missing", p, nil, []string{"10.0.0.1", "X-Real-IP", "SENTINEL_REAL_IP_HEADER", "no X-Real-IP"}},
		{"repeated", p, http.Header{"X-Real-Ip": {"1.1.1.1", "2.2.2.2"}}, []string{"10.0.0.1", "X-Real-IP", "more than once"}},
		{"malformed", p, http.Header{"X-Real-Ip": {"\x1b[31m"}}, []string{"10.0.0.1", "X-Real-IP", `"\x1b[31m"`, "no IP address"}},
		{"list", p, http.Header{"X-Real-Ip": {"1.1.1.1, 2.2.2.2"}}, []string{"is a list"}},
		{"leading zero", p, http.Header{"X-Real-Ip": {"1.1.1.01"}}, []string{"leading zero"}},
		{"no peer", clientip.Peer{}, nil, []string{"no peer address"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.Resolve(tt.peer, tt.h)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
		})
	}
	_, err := r.Resolve(p, http.Header{"X-Real-Ip": {strings.Repeat("é", 1<<20)}})
	if err == nil || len(err.Error()) > 500 || strings.Contains(err.Error(), `\x`) {
		t.Errorf("a long value gives %.600v", err)
	}
	if (&clientip.Error{}).Error() == "" {
		t.Error("the zero Error has no text")
	}
}

func TestNewRefuses(t *testing.T) {
	mapped := netip.MustParsePrefix("64:ff9b::a00:0/104")
	tests := []struct {
		name string
		o    clientip.Options
		want []string
	}{
		{"Forwarded", clientip.Options{Header: "forwarded"}, []string{"RFC 7239"}},
		{"Host", clientip.Options{Header: "HOST"}, []string{"holds no address"}},
		{"underscore", clientip.Options{Header: "X_Real_IP"}, []string{`"X_Real_IP"`}},
		{"space", clientip.Options{Header: "X-Real-IP "}, []string{"want letters"}},
		{"invalid prefix", clientip.Options{Trusted: []netip.Prefix{{}}}, []string{"invalid prefix"}},
		{"NAT64 prefix", clientip.Options{Trusted: []netip.Prefix{mapped}, NAT64: true}, []string{"write it as IPv4"}},
		{"all at once", clientip.Options{Trusted: []netip.Prefix{{}, mapped}, NAT64: true, Header: "é"},
			[]string{"invalid prefix", "write it as IPv4", "want letters"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := clientip.New(tt.o)
			for _, want := range tt.want {
				if err == nil || r != nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, %v, want an error with %q", r, err, want)
				}
			}
		})
	}
	if _, err := clientip.New(clientip.Options{Trusted: []netip.Prefix{mapped}}); err != nil {
		t.Errorf("without NAT64 the prefix is like any other, got %v", err)
	}
}

func TestResolveDoesNotAllocate(t *testing.T) {
	h := http.Header{"X-Real-Ip": {" 203.0.113.9 "}, "X-Forwarded-For": {"1.2.3.4, 203.0.113.9, 10.0.0.2"}}
	tests := []struct{ name, header, peer string }{
		{"untrusted", "", "198.51.100.7:1"},
		{"trusted, X-Real-IP", "", "10.0.0.1:1"},
		{"trusted, X-Forwarded-For", "X-Forwarded-For", "10.0.0.1:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, trustedList, tt.header, true)
			p := r.Peer(tt.peer)
			allocs := testing.AllocsPerRun(100, func() {
				if _, err := r.Resolve(p, h); err != nil {
					t.Error(err)
				}
			})
			if allocs != 0 {
				t.Errorf("got %v allocations, want 0", allocs)
			}
		})
	}
}

func BenchmarkResolve(b *testing.B) {
	h := http.Header{"X-Real-Ip": {"203.0.113.9"}, "X-Forwarded-For": {"203.0.113.9, 10.0.0.3, 10.0.0.2"}}
	for _, bm := range []struct{ name, header, peer string }{
		{"untrusted", "", "198.51.100.7:1"},
		{"X-Real-IP", "", "10.0.0.1:1"},
		{"X-Forwarded-For of 3 hops", "X-Forwarded-For", "10.0.0.1:1"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			r := newResolver(b, trustedList, bm.header, false)
			p := r.Peer(bm.peer)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Resolve(p, h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
