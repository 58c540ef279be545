package ipset_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
)

func TestParsePrefix(t *testing.T) {
	tests := []struct{ in, want string }{
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.0.0.1", "10.0.0.1/32"},
		{"10.0.0.1/32", "10.0.0.1/32"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"::/0", "::/0"},
		{"::1", "::1/128"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"2001:DB8:0::1/128", "2001:db8::1/128"},
		{"::ffff:10.0.0.0/104", "10.0.0.0/8"},
		{"::ffff:10.0.0.1", "10.0.0.1/32"},
		{"::ffff:0:0/96", "0.0.0.0/0"},
		{"::ffff:a00:1/128", "10.0.0.1/32"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ipset.ParsePrefix(tt.in)
			if err != nil || got.String() != tt.want {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestParsePrefixRefuses(t *testing.T) {
	tests := []struct{ in, want string }{
		{"10.0.0.1/8", `"10.0.0.1/8" has host bits set: did you mean 10.0.0.0/8 or 10.0.0.1/32?`},
		{"10.0.0.1/0", "did you mean 0.0.0.0/0 or 10.0.0.1/32?"},
		{"2001:db8::1/64", "did you mean 2001:db8::/64 or 2001:db8::1/128?"},
		{"::ffff:10.0.0.1/104", "did you mean 10.0.0.0/8 or 10.0.0.1/32?"},
		{"::ffff:10.0.0.0/90", "IPv4-mapped prefix shorter than /96"},
		{"::ffff:0:0/0", "IPv4-mapped prefix shorter than /96"},
		{"10.0.0.0/33", `bad prefix length "33": want 0 to 32`},
		{"10.0.0.0/-1", "want 0 to 32"},
		{"10.0.0.0/+8", "want 0 to 32"},
		{"10.0.0.0/08", "want 0 to 32"},
		{"10.0.0.0/", "want 0 to 32"},
		{"10.0.0.0/8/8", "want 0 to 32"},
		{"::/129", "want 0 to 128"},
		{"10.0.0.0/255.0.0.0", "did you mean 10.0.0.0/8?"},
		{"10.0.0.0/255.0.255.0", "want 0 to 32"},
		{"fe80::1%eth0", "has a zone"},
		{"fe80::%eth0/64", "has a zone"},
		{"010.0.0.0/8", "leading zero"},
		{"10.0.00.1", "leading zero"},
		{"::ffff:010.0.0.1", "leading zero"},
		{"10.0.0.1:80", "has a port: did you mean 10.0.0.1?"},
		{"[::1]:80", "has a port: did you mean ::1?"},
		{"", "is no IP address"},
		{"/8", "is no IP address"},
		{"10.0.0", "is no IP address"},
		{"10.0.0.256", "is no IP address"},
		{" 10.0.0.1", "is no IP address"},
		{"localhost", "is no IP address"},
		{"10.0.0.*", "is no IP address"},
		{"10.0.0.1\x00", `"10.0.0.1\x00" is no IP address`},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ipset.ParsePrefix(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, error %v, want error with %q", got, err, tt.want)
			}
			if got.IsValid() {
				t.Errorf("got %v beside an error", got)
			}
		})
	}
}

func TestParseList(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"", nil},
		{" ,\t\r\n", nil},
		{"10.0.0.0/8", []string{"10.0.0.0/8"}},
		{"10.0.0.0/8,::1", []string{"10.0.0.0/8", "::1/128"}},
		{" 192.0.2.7 , 10.0.0.0/8\n::1,", []string{"192.0.2.7/32", "10.0.0.0/8", "::1/128"}},
		{"::1 ::1", []string{"::1/128", "::1/128"}},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ipset.ParseList(tt.in)
			if err != nil || !slices.Equal(texts(got), tt.want) {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestParseListReportsAllFaults(t *testing.T) {
	got, err := ipset.ParseList("10.0.0.1/8, 10.0.0.0/8 nonsense,fe80::1%eth0")
	if err == nil || got != nil {
		t.Fatalf("got %v, %v, want only an error", got, err)
	}
	want := []string{`"10.0.0.1/8" has host`, `"nonsense" is no`, `"fe80::1%eth0" has a zone`}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %q, want %d lines", lines, len(want))
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d: got %q, want prefix %q", i, line, want[i])
		}
	}
}

func TestParseListBoundsItsReport(t *testing.T) {
	_, err := ipset.ParseList(strings.Repeat(strings.Repeat("x", 1000)+" ", 1000))
	if err == nil || !strings.HasSuffix(err.Error(), "and 980 more") || len(err.Error()) > 5000 {
		t.Errorf("got %.200v, want 20 faults and a count of the others", err)
	}
}

func texts(prefixes []netip.Prefix) []string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return out
}

// FuzzParsePrefix holds the answer against what package net reads.
func FuzzParsePrefix(f *testing.F) {
	for _, s := range []string{
		"10.0.0.0/8", "10.0.0.1/8", "::ffff:10.0.0.0/104", "::ffff:1.2.3.4/90", "::/0", "fe80::1%a/64",
		"01.2.3.4", "1.2.3.4/032", "2001:db8::/32", "1.2.3.4:80", "10.0.0.0/255.0.0.0", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ipset.ParsePrefix(s)
		_, listErr := ipset.ParseList(s)
		if err != nil {
			if p.IsValid() || listErr == nil && s != "" && !strings.ContainsAny(s, ", \t\r\n") {
				t.Fatalf("%q: prefix %v, list error %v beside error %v", s, p, listErr, err)
			}
			return
		}
		if p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" || !p.IsValid() {
			t.Fatalf("%q: %v is not in its one form", s, p)
		}
		if again, err := ipset.ParsePrefix(p.String()); err != nil || again != p {
			t.Fatalf("%q: %v does not round-trip: %v, %v", s, p, again, err)
		}
		cidr := s
		if !strings.Contains(s, "/") {
			cidr = s + map[bool]string{true: "/128", false: "/32"}[strings.Contains(s, ":")]
		}
		ip, ipNet, err := net.ParseCIDR(cidr)
		if err != nil || !ip.Equal(ipNet.IP) || !ip.Equal(p.Addr().AsSlice()) {
			t.Fatalf("%q: %v, package net reads %v in %v, %v", s, p, ip, ipNet, err)
		}
		if ones, bits := ipNet.Mask.Size(); bits-ones != p.Addr().BitLen()-p.Bits() {
			t.Fatalf("%q: %v, package net reads %v", s, p, ipNet)
		}
	})
}
