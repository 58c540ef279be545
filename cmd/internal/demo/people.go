package demo

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Keys of the demo's gateway. They belong to no one.
var (
	aliceKey    = "sk-" + strings.Repeat("DemoA111", 6)
	bobKey      = "sk-" + strings.Repeat("DemoB222", 6)
	carolKey    = "sk-" + strings.Repeat("DemoC333", 6)
	inventedKey = "sk-" + strings.Repeat("DemoX000", 6)
)

const realIPHeader = "X-Real-IP"

// person is somebody who sends requests from an address.
type person struct {
	ip     string
	header bool // the address is claimed in a header, not that of the connection
	client *http.Client
}

// people are the two of the demo.
type people struct{ alice, bob person }

// introduce gives each an address. If the second loopback address can reach a
// Sentinel at listen they connect from two addresses. If not (macOS has just
// 127.0.0.1), both name an address in X-Real-IP, as a proxy in front would.
func introduce(listen string) people {
	if twoAddresses(listen) {
		return people{alice: connecting("127.0.0.1"), bob: connecting("127.0.0.2")}
	}
	return people{alice: claiming("192.0.2.10"), bob: claiming("192.0.2.20")}
}

// twoAddresses reports whether 127.0.0.2 can be connected from.
func twoAddresses(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(host); host != "" && host != "localhost" && (err != nil || !ip.Is4() || !ip.IsLoopback() && !ip.IsUnspecified()) {
		return false
	}
	return tryListen("127.0.0.2:0") == nil
}

func connecting(ip string) person {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return person{ip: ip, client: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}}
}

func claiming(ip string) person {
	return person{ip: ip, header: true, client: &http.Client{Transport: &http.Transport{}}}
}

// trustedProxies are the peers whose X-Real-IP Sentinel has to believe.
func (p people) trustedProxies() []netip.Prefix {
	if !p.alice.header {
		return nil
	}
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// leave closes the connections that they have kept.
func (p people) leave() {
	p.alice.client.CloseIdleConnections()
	p.bob.client.CloseIdleConnections()
}

// request makes a request of this person.
func (p person) request(ctx context.Context, method, url, body string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if p.header {
		r.Header.Set(realIPHeader, p.ip)
	}
	return r, nil
}

// curl is the beginning of a command line that does the same.
func (p person) curl() string {
	if p.header {
		return "curl -sS -H '" + realIPHeader + ": " + p.ip + "'"
	}
	return "curl -sS --interface " + p.ip
}
