package demo

import (
	"strings"
	"testing"
)

func TestIntroduce(t *testing.T) {
	tests := []struct {
		listen string
		header bool
	}{
		{"127.0.0.1:7000", false},
		{"0.0.0.0:7000", false},
		{"localhost:7000", false},
		{":7000", false},
		{"[::1]:7000", true},
		{"192.0.2.1:7000", true},
	}
	for _, tt := range tests {
		p := introduce(tt.listen)
		// Where the system has no second loopback address it is always the header.
		if want := tt.header || tryListen("127.0.0.2:0") != nil; p.alice.header != want || p.bob.header != want {
			t.Errorf("%s: got header %v, want %v", tt.listen, p.alice.header, want)
		}
		if p.alice.ip == p.bob.ip || (len(p.trustedProxies()) > 0) != p.alice.header {
			t.Errorf("%s: got %s, %s and trusted %v", tt.listen, p.alice.ip, p.bob.ip, p.trustedProxies())
		}
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:1": "127.0.0.1:1", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", "[::1]:1": "[::1]:1",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("reachable(%q): got %q, want %q", addr, got, want)
		}
	}
}

func TestPersonClaimsTheAddressInAHeader(t *testing.T) {
	r, err := claiming("192.0.2.10").request(t.Context(), "GET", "http://example.com/", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get(realIPHeader); got != "192.0.2.10" {
		t.Errorf("got %q", got)
	}
	if got := claiming("192.0.2.10").curl(); !strings.Contains(got, "-H 'X-Real-IP: 192.0.2.10'") {
		t.Errorf("got %q", got)
	}
}
