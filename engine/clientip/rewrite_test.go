package clientip_test

import (
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
)

func TestRewrite(t *testing.T) {
	client := netip.MustParseAddr("203.0.113.9")
	tests := []struct {
		name     string
		header   string
		in       http.Header
		client   netip.Addr
		opts     clientip.RewriteOptions
		want     http.Header
		stripped http.Header
	}{
		{
			name:   "nothing there",
			in:     http.Header{},
			client: client,
			want:   http.Header{"X-Real-Ip": {"203.0.113.9"}, "X-Forwarded-For": {"203.0.113.9"}},
		},
		{
			name: "claims of the client",
			in: http.Header{"X-Real-Ip": {"1.1.1.1"}, "X-Forwarded-For": {"1.1.1.1", "2.2.2.2"}, "Forwarded": {"for=1.1.1.1"},
				"True-Client-Ip": {"1.1.1.1"}, "X-Cluster-Client-Ip": {"1.1.1.1"}, "Accept": {"a", "b"}},
			client:   client,
			want:     http.Header{"X-Real-Ip": {"203.0.113.9"}, "X-Forwarded-For": {"203.0.113.9"}, "Accept": {"a", "b"}},
			stripped: http.Header{"Accept": {"a", "b"}},
		},
		{
			name: "aliases (CVE-2026-39858)",
			in: http.Header{"X_forwarded_for": {"1.1.1.1"}, "X_Real_IP": {"1.1.1.1"}, "X-Real_ip": {"1.1.1.1"},
				"x.forwarded.for": {"1.1.1.1"}, "x-real-ip": {"1.1.1.1"}, "X_forwarded_host": {"evil"}, "X_Model": {"kept"}},
			client:   netip.MustParseAddr("2001:db8::9"),
			opts:     clientip.RewriteOptions{TrustedPeer: true},
			want:     http.Header{"X-Real-Ip": {"2001:db8::9"}, "X-Forwarded-For": {"2001:db8::9"}, "X_Model": {"kept"}},
			stripped: http.Header{"X_Model": {"kept"}},
		},
		{
			name:   "configured header",
			header: "X-Our-Edge-IP",
			in:     http.Header{"X-Our-Edge-Ip": {"1.1.1.1"}, "X_our_edge_ip": {"1.1.1.1"}},
			client: client,
			want:   http.Header{"X-Real-Ip": {"203.0.113.9"}, "X-Forwarded-For": {"203.0.113.9"}},
		},
		{
			name: "origin of an untrusted peer",
			in: http.Header{"X-Forwarded-Host": {"evil"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"1"},
				"X-Forwarded-Prefix": {"/x"}, "X-Original-Url": {"/admin"}},
			client: client,
			opts:   clientip.RewriteOptions{Host: "api.example.com", Proto: "http"},
			want: http.Header{"X-Real-Ip": {"203.0.113.9"}, "X-Forwarded-For": {"203.0.113.9"},
				"X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Proto": {"http"}},
		},
		{
			name: "origin of a trusted peer",
			in: http.Header{"X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"},
				"X-Forwarded-Prefix": {"/x"}, "X-Original-Url": {"/admin"}, "X-Host": {"evil"}},
			client: client,
			opts:   clientip.RewriteOptions{Host: "inner:7000", Proto: "http", TrustedPeer: true},
			want: http.Header{"X-Real-Ip": {"203.0.113.9"}, "X-Forwarded-For": {"203.0.113.9"},
				"X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"}, "X-Forwarded-Prefix": {"/x"}},
		},
		{
			name:   "repeated origin of a trusted peer",
			in:     http.Header{"X-Forwarded-Host": {"evil", "api.example.com"}, "X-Forwarded-Proto": {""}, "X-Forwarded-Port": {}},
			client: client,
			opts:   clientip.RewriteOptions{Host: "api.example.com", Proto: "http", TrustedPeer: true},
			want: http.Header{"X-Real-Ip": {"203.0.113.9"}, "X-Forwarded-For": {"203.0.113.9"},
				"X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Proto": {"http"}},
		},
		{
			name: "no client IP",
			in:   http.Header{"X-Real-Ip": {"1.1.1.1"}, "X-Forwarded-For": {"1.1.1.1"}, "Cf-Connecting-Ip": {"1.1.1.1"}},
			want: http.Header{},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, trustedList, tt.header, false)
			stripped := tt.in.Clone()
			r.Strip(stripped)
			if len(stripped)+len(tt.stripped) > 0 && !reflect.DeepEqual(stripped, tt.stripped) {
				t.Errorf("Strip: got %v, want %v", stripped, tt.stripped)
			}
			byFunc := tt.in.Clone()
			r.Rewrite(tt.in, tt.client, tt.opts)
			tt.opts.Header = tt.header
			if clientip.Rewrite(byFunc, tt.client, tt.opts); !reflect.DeepEqual(byFunc, tt.in) {
				t.Errorf("the function gives %v, the method %v", byFunc, tt.in)
			}
			if !reflect.DeepEqual(tt.in, tt.want) {
				t.Errorf("got %v, want %v", tt.in, tt.want)
			}
		})
	}
}

// TestRewriteLinesAreApart: appending to one header must not reach the other.
func TestRewriteLinesAreApart(t *testing.T) {
	h := http.Header{}
	newResolver(t, "", "", false).Rewrite(h, netip.MustParseAddr("203.0.113.9"), clientip.RewriteOptions{})
	h.Add("X-Real-Ip", "x")
	if got := h["X-Forwarded-For"]; !slices.Equal(got, []string{"203.0.113.9"}) {
		t.Errorf("got %q", got)
	}
}

// FuzzRewrite: afterwards no header is left that a server could mistake for
// the address, and other headers are untouched.
func FuzzRewrite(f *testing.F) {
	f.Add("X_Real_IP", "1.1.1.1", "X_Edge_IP", true)
	f.Add("x-forwarded-FOR", "1.1.1.1", "forwarded", false)
	f.Add("Authorization", "x", "X.Forwarded.Host", true)
	f.Add("CF_Connecting-IPv6", "::1", "X-Forwarded-Proto", false)
	plain := func(s string) string {
		return strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(s))
	}
	gone := []string{
		"x-real-ip", "x-forwarded-for", "x-forwarded", "forwarded", "forwarded-for", "x-client-ip", "x-cluster-client-ip",
		"true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "fastly-client-ip", "fly-client-ip",
		"x-original-forwarded-for", "x-envoy-external-address", "x-appengine-user-ip", "x-azure-clientip", "x-azure-socketip",
		"ali-cdn-real-ip", "cdn-src-ip", "wl-proxy-client-ip", "proxy-client-ip", "x-host", "eo-connecting-ip",
		"x-originating-ip", "x-remote-ip", "x-remote-addr", "x-proxyuser-ip", "x-edge-ip",
	}
	f.Fuzz(func(t *testing.T, name1, value, name2 string, trusted bool) {
		r := newResolver(t, trustedList, "X-Edge-IP", false)
		h := http.Header{name1: {value}, http.CanonicalHeaderKey(name2): {value, value}}
		h["Accept"] = []string{"a", "b"}
		client := netip.MustParseAddr("203.0.113.9")
		r.Rewrite(h, client, clientip.RewriteOptions{Host: "h", Proto: "http", TrustedPeer: trusted})
		for name, lines := range h {
			ours := name == "X-Real-Ip" || name == "X-Forwarded-For"
			if ours && !slices.Equal(lines, []string{"203.0.113.9"}) {
				t.Fatalf("%s is %q", name, lines)
			}
			if !ours && slices.Contains(gone, plain(name)) {
				t.Fatalf("%q is left", name)
			}
		}
		if got := h["Accept"]; !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("Accept is %q", got)
		}
	})
}

func BenchmarkRewrite(b *testing.B) {
	r := newResolver(b, trustedList, "", false)
	client := netip.MustParseAddr("203.0.113.9")
	h := http.Header{}
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Content-Length", "Content-Type", "User-Agent",
		"X-Stainless-Lang", "X-Stainless-Os", "X-Stainless-Runtime", "X-Request-Id", "X-Real-Ip", "X-Forwarded-For", "X-Forwarded-Proto",
	} {
		h.Set(name, "x")
	}
	opts := clientip.RewriteOptions{Host: "api.example.com", Proto: "https", TrustedPeer: true}
	b.ReportAllocs()
	for b.Loop() {
		r.Rewrite(h, client, opts)
	}
}
