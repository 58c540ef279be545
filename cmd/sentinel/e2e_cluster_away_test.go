package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// readiness is what /ready answers.
type readiness struct {
	code                                   int
	Status, Store, Authority, Redis, Clock string
}

func (g guarded) readiness() (r readiness) {
	g.t.Helper()
	res, err := from(g.t, homeIP).Get(g.url + "/ready")
	must(g.t, err)
	defer func() { _ = res.Body.Close() }()
	must(g.t, json.NewDecoder(res.Body).Decode(&r))
	r.code = res.StatusCode
	return r
}

// metrics returns what Prometheus would read.
func (g guarded) metrics() string {
	g.t.Helper()
	res, err := g.api.Stream(g.t.Context(), client.Request{Method: http.MethodGet, Path: "/metrics"})
	must(g.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(g.t, err)
	return string(text)
}

// metric returns the value of a metric without labels, as it is written.
func (g guarded) metric(name string) string {
	g.t.Helper()
	for line := range strings.Lines(g.metrics()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	g.t.Fatalf("no metric %s", name)
	return ""
}

// refusedFrom returns from where a key was refused, as the log has it, each as often as
// it is there.
func (g guarded) refusedFrom(key string) (ips []string) {
	g.t.Helper()
	for page, err := range g.api.Logs(g.t.Context(), client.LogFilter{Hash: g.hashOf(key)}, 1000) {
		must(g.t, err)
		for _, one := range page.Items {
			ips = append(ips, one.Value.ClientIP)
		}
	}
	slices.Sort(ips)
	return ips
}

// TestPostgresAway kills the server under two nodes.
func TestPostgresAway(t *testing.T) {
	known, unknown := testKey(7500), testKey(7501)
	g := startGateway(t, known, unknown)
	server, dsn := startPostgres(t)
	nodes := startCluster(t, 2, g.url, dsn)
	a, b := nodes[0], nodes[1]
	a.use(homeIP, known, http.StatusOK)
	b.becomes(elsewhereIP, known, http.StatusForbidden)
	before := a.binding(known)
	if r := a.readiness(); r.code != http.StatusOK || r.Status != "ok" || r.Authority != "ok" {
		t.Errorf("ready: %+v", r)
	}

	server.Kill()
	for _, n := range nodes {
		n.becomes(homeIP, unknown, http.StatusServiceUnavailable)
		if got := n.status(homeIP, known); got != http.StatusOK {
			t.Errorf("a known key: %d", got)
		}
		eventually(t, "degraded", func() bool { return n.readiness() == readiness{http.StatusOK, "degraded", "ok", "unreachable", "", ""} })
		if up, stale := n.metric("sentinel_authority_up"), n.metric("sentinel_copy_stale"); up != "0" || stale != "0" {
			t.Errorf("metrics: authority up %s, copy stale %s", up, stale)
		}
	}
	seen := g.uses(unknown) // by those that found out
	for _, n := range nodes {
		n.becomes(homeIP, unknown, http.StatusServiceUnavailable)
	}
	if again := g.uses(unknown); again != seen {
		t.Errorf("the gateway saw the unknown key %d times more, though it could not be bound", again-seen)
	}
	_, err := a.api.EditBinding(t.Context(), a.hashOf(known), 0, client.BindingEdit{Status: new("banned")})
	problem := new(client.Problem)
	if !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable || !strings.Contains(problem.Detail, "PostgreSQL cannot be reached: nothing was changed") {
		t.Errorf("a ban: %v", err)
	}
	if code, _, stderr := runSentinel(t, "", "settings", "set", "SENTINEL_MODE=observe", "--data-dir", a.data); code == exitOK || !strings.Contains(stderr, "nothing was changed") {
		t.Errorf("a setting: %d, %s", code, stderr)
	}
	if code, _, stderr := runSentinel(t, "", "networks", "set", "office", "--prefix", "127.0.3.0/24", "--data-dir", a.data); code == exitOK || !strings.Contains(stderr, "nothing was changed") {
		t.Errorf("a network: %d, %s", code, stderr)
	}
	// What is refused meanwhile is gathered by the node that saw it.
	for i, n := range nodes {
		if got := n.status([]string{"127.0.6.1", "127.0.6.2"}[i], known); got != http.StatusForbidden {
			t.Errorf("from elsewhere: %d", got)
		}
	}
	eventually(t, "the refusal in the node's own log", func() bool { return slices.Contains(a.refusedFrom(known), "127.0.6.1") })

	// A node that is started now has its copy to start from.
	must(t, b.stop())
	b = launchNode(t, g.url, dsn, b.data, "SENTINEL_NODE_NAME=node-2").serving()
	if got := b.status(homeIP, known); got != http.StatusOK {
		t.Errorf("a known key at a node that was started anew: %d", got)
	}
	if got := b.status(elsewhereIP, known); got != http.StatusForbidden {
		t.Errorf("from elsewhere at a node that was started anew: %d", got)
	}
	if log := b.stderr.String(); !strings.Contains(log, "starting from the copy of this node") || strings.Contains(log, serverPassword(dsn)) {
		t.Errorf("log of a start without PostgreSQL:\n%s", log)
	}

	must(t, server.Restart())
	for _, n := range []guarded{a, b} {
		eventually(t, "ready again", func() bool { return n.readiness().Status == "ok" })
	}
	if after := a.binding(known); after.Value.Revision != before.Value.Revision || after.Value.Status != "active" {
		t.Errorf("the binding is %+v, and was %+v", after.Value, before.Value)
	}
	eventually(t, "all refusals at the authority, once", func() bool {
		ips := b.refusedFrom(known)
		ips = slices.DeleteFunc(ips, func(ip string) bool { return ip == elsewhereIP }) // how many depends on how fast it was
		return slices.Equal(ips, []string{"127.0.6.1", "127.0.6.2"}) && a.metric("sentinel_outbox_batches") == "0" && b.metric("sentinel_outbox_batches") == "0"
	})
	a.use(homeIP, unknown, http.StatusOK)
	b.becomes(elsewhereIP, unknown, http.StatusForbidden)
}

// TestNodeThatIsCutOffFailsSafe has a node be without PostgreSQL for longer than its copy
// is believed: also a key that is in its memory is treated as the failsafe mode says.
func TestNodeThatIsCutOffFailsSafe(t *testing.T) {
	key := testKey(7600)
	g := startGateway(t, key)
	server, dsn := startPostgres(t)
	n := startCluster(t, 1, g.url, dsn, "SENTINEL_MAX_STALENESS=10s")[0]
	n.use(homeIP, key, http.StatusOK)
	server.Kill()
	if got := n.status(homeIP, key); got != http.StatusOK {
		t.Errorf("a moment after PostgreSQL was lost: %d", got)
	}
	n.becomes(homeIP, key, http.StatusServiceUnavailable)
	eventually(t, "not ready", func() bool {
		r := n.readiness()
		return r.code == http.StatusServiceUnavailable && r.Authority == "stale"
	})
	must(t, n.stop())
	n = launchNode(t, g.url, dsn, n.data, "SENTINEL_NODE_NAME=node-1", "SENTINEL_MAX_STALENESS=10s").serving()
	if got := n.status(homeIP, key); got != http.StatusServiceUnavailable {
		t.Errorf("at a node that was started with a stale copy: %d", got)
	}
	must(t, server.Restart())
	n.becomes(homeIP, key, http.StatusOK)
	n.becomes(elsewhereIP, key, http.StatusForbidden)
	eventually(t, "ready again", func() bool { return n.readiness().code == http.StatusOK })
}
