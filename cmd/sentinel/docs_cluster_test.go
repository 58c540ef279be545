package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	clusterPage = "docs/cluster.md"
	composeFile = "compose.cluster.yaml"
)

// composedProxy is the configuration of HAProxy within the file for Compose.
func composedProxy(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, composeFile))
	must(t, err)
	_, text, found := strings.Cut(string(raw), "    content: |\n")
	text, _, ends := strings.Cut(text, "\nvolumes:")
	if !found || !ends {
		t.Fatalf("%s has no configuration of HAProxy", composeFile)
	}
	const indent = "      "
	return strings.ReplaceAll("\n"+text, "\n"+indent, "\n") + "\n"
}

// TestBalancersOfThePage runs the configurations of the page, and that of Compose, before
// three nodes: the client's own address counts at all of them, no header that it forges
// does, and while nodes are stopped every request is answered.
func TestBalancersOfThePage(t *testing.T) {
	_, dsn := startPostgres(t)
	for i, test := range []struct {
		name    string
		proxy   frontProxy
		text    func(t *testing.T) string
		address string // of a node, %d is its number
	}{
		{"nginx", frontProxies[0], func(t *testing.T) string { return snippet(t, clusterPage, "### nginx", "nginx") }, "10.0.0.%d:7000"},
		{"HAProxy", frontProxies[1], func(t *testing.T) string { return snippet(t, clusterPage, "### HAProxy", "haproxy") }, "10.0.0.%d:7000"},
		{"HAProxy in TCP mode", frontProxies[2], func(t *testing.T) string { return snippet(t, clusterPage, "### HAProxy in TCP mode", "haproxy") }, "10.0.0.%d:7000"},
		{"Compose", frontProxy{program: "haproxy", wrap: "%s", command: frontProxies[1].command, environ: frontProxies[1].environ}, composedProxy, "127.0.0.1:700%d"},
	} {
		t.Run(test.name, func(t *testing.T) {
			key := testKey(9770 + i)
			nodes := startCluster(t, 3, startGateway(t, key).url, dsn, test.proxy.environ...)
			ca := newAuthority(t)
			var pairs []string
			for n, node := range nodes {
				pairs = append(pairs, strings.ReplaceAll(test.address, "%d", string(rune('1'+n))), strings.TrimPrefix(node.url, "http://"))
			}
			text := test.text(t)
			if test.name == "Compose" {
				text = strings.ReplaceAll(text, ":7000", ":443") // as the others have it
			}
			url := "http://"
			if test.proxy.tls {
				url = "https://"
			}
			url += test.proxy.run(t, ca, text, pairs...) + "/v1/echo"
			want := func(when, ip string, status int) {
				t.Helper()
				if got, _ := throughProxy(t, ca, ip, url, key); got != status {
					t.Errorf("%s, from %s: got %d, want %d", when, ip, got, status)
				}
			}
			eventually(t, "the balancer has found the nodes", func() bool {
				status, _ := throughProxy(t, ca, "127.0.0.3", url, key)
				return status == http.StatusOK
			})
			for range 2 * len(nodes) { // each node is asked
				want("with all nodes", "127.0.0.4", http.StatusForbidden)
				want("with all nodes", "127.0.0.3", http.StatusOK)
			}
			for _, stopped := range nodes[:2] {
				must(t, stopped.stop())
				for range 2 * len(nodes) {
					want("with a node stopped", "127.0.0.3", http.StatusOK)
					want("with a node stopped", "127.0.0.4", http.StatusForbidden)
				}
			}
		})
	}
}
