package main

import (
	"bytes"
	"net"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/seal"
)

func TestReachableAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:7000": "127.0.0.1:7000", "sentinel.example.com:7000": "sentinel.example.com:7000", "[2001:db8::1]:7000": "[2001:db8::1]:7000",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("%s: got %s, want it as it is", listen, got)
		}
	}
	for _, listen := range []string{":7000", "0.0.0.0:7000", "[::]:7000"} {
		host, port, err := net.SplitHostPort(reachable(listen))
		if ip := net.ParseIP(host); err != nil || port != "7000" || host == "" || ip != nil && ip.IsUnspecified() {
			t.Errorf("%s: got %s, %s, %v, want a host that can be opened", listen, host, port, err)
		}
	}
}

func TestBestHost(t *testing.T) {
	addrs := func(texts ...string) (list []net.Addr) {
		for _, s := range texts {
			ip, network, err := net.ParseCIDR(s)
			must(t, err)
			list = append(list, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		return list
	}
	tests := []struct {
		addrs []net.Addr
		want  string
	}{
		{nil, "localhost"},
		{addrs("127.0.0.1/8", "::1/128", "fe80::1/64"), "localhost"},
		{addrs("127.0.0.1/8", "2001:db8::5/64", "192.0.2.7/24"), "192.0.2.7"},
		{addrs("fe80::1/64", "2001:db8::5/64"), "2001:db8::5"},
	}
	for _, test := range tests {
		if got := bestHost(test.addrs); got != test.want {
			t.Errorf("%v: got %s, want %s", test.addrs, got, test.want)
		}
	}
}

func TestSealKey(t *testing.T) {
	one, err := sealKey([]byte(longSecret), accountKeyUse)
	must(t, err)
	again, err := sealKey([]byte(longSecret), accountKeyUse)
	must(t, err)
	other, err := sealKey([]byte(longSecret+"x"), accountKeyUse)
	must(t, err)
	forAlerts, err := sealKey([]byte(longSecret), alertKeyUse)
	must(t, err)
	if len(one) != seal.KeyBytes || bytes.Equal(one, forAlerts) || !bytes.Equal(one, again) || bytes.Equal(one, other) || bytes.Contains([]byte(longSecret), one) {
		t.Errorf("got %x, %x and %x, want the same for the same secret and use alone", one, again, other)
	}
}
