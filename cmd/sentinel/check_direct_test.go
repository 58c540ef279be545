package main

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestReachableSockets(t *testing.T) {
	dir := t.TempDir()
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	must(t, os.WriteFile(filepath.Join(dir, "tcp"), []byte(head+
		"   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"+ // 127.0.0.1:3000
		"   1: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1\n"+
		"   2: 0501A8C0:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1\n"+
		"   3: 0601A8C0:0BB8 0701A8C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 4 1\n"+ // a connection
		"   4: 00000000:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1\n"+ // port 7000
		"   5: zz:0BB8 00000000:0000 0A\n\n   6:\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "tcp6"), []byte(head+
		"   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0 0\n"+
		"   1: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 0 0\n"), 0o600)) // ::1
	want := []string{"0.0.0.0:3000", "192.168.1.5:3000", "[::]:3000"}
	if runtime.GOARCH == "s390x" {
		t.Skip("the addresses above are those of a little-endian machine")
	}
	if got := reachableSockets(dir, 3000); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := reachableSockets(filepath.Join(dir, "none"), 3000); got != nil {
		t.Errorf("without the files: got %q", got)
	}
}

// TestCheckWarnsOfAWayAroundSentinel listens as gateways do. No address but
// loopback ones is connected to: the check reads what the kernel knows.
func TestCheckWarnsOfAWayAroundSentinel(t *testing.T) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("the kernel does not tell who listens")
	}
	listen := func(address string) string {
		l, err := net.Listen("tcp", address)
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		_, port, err := net.SplitHostPort(l.Addr().String())
		must(t, err)
		return port
	}
	for _, test := range []struct{ url, result, says string }{
		{"http://127.0.0.1:" + listen("127.0.0.1:0"), checkOK, "this machine alone"},
		{"http://127.0.0.1:" + listen("[::]:0"), checkWarn, "need no binding"},
		{"http://127.0.0.1:" + listen("0.0.0.0:0"), checkWarn, "is open on"},
		{"http://198.51.100.7:3000", checkWarn, "is public"},
		{"https://10.255.255.7", checkOK, "another machine"},
	} {
		u, err := url.Parse(test.url)
		must(t, err)
		c := &checker{cfg: &Config{DownstreamURL: u}}
		c.checkDirect(t.Context())
		if len(c.findings) != 1 || c.findings[0].Result != test.result || !strings.Contains(c.findings[0].Detail, test.says) {
			t.Errorf("%s: got %+v, want %s, %q", test.url, c.findings, test.result, test.says)
		}
	}
}
