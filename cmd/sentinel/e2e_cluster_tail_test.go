package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// TestEventsTellOfAllNodes listens at one node to what both refuse, each once.
func TestEventsTellOfAllNodes(t *testing.T) {
	key := testKey(7700)
	g := startGateway(t, key)
	_, dsn := startPostgres(t)
	nodes := startCluster(t, 2, g.url, dsn)
	nodes[0].use(homeIP, key, http.StatusOK)
	nodes[1].becomes("127.0.6.1", key, http.StatusForbidden)
	answer, err := nodes[0].api.Stream(t.Context(), client.Request{Method: http.MethodGet, Path: "/events"})
	must(t, err)
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	seen := make(map[string]int)
	sendAt := func(i int) { nodes[i%2].use([]string{"127.0.6.2", "127.0.6.3"}[i%2], key, http.StatusForbidden) }
	for sent := 0; lines.Scan(); {
		if strings.HasPrefix(lines.Text(), ": listening") {
			sendAt(0)
			sent++
		}
		rest, isData := strings.CutPrefix(lines.Text(), "data: ")
		if !isData {
			continue
		}
		var e struct {
			Type string
			Data struct{ ClientIP string }
		}
		must(t, json.Unmarshal([]byte(rest), &e))
		if e.Type != "intercept" {
			continue
		}
		seen[e.Data.ClientIP]++
		if sent == 1 {
			sendAt(1)
			sent++
		}
		if seen["127.0.6.3"] > 0 {
			break
		}
	}
	if seen["127.0.6.2"] != 1 || seen["127.0.6.3"] != 1 {
		t.Errorf("heard of %v, want the two that were refused meanwhile, each once", seen)
	}
}
