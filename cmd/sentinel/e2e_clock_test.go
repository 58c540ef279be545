//go:build linux

package main

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/faulttest"
)

// TestWrongClock has the clock of one of two nodes be an hour ahead, and then an hour
// behind: what ends at a time ends at the same moment on both, sessions hold on both, and
// the node says so. That no key is bound twice and bans are in force in a second, the
// faults clock-ahead and clock-behind of faulttest show.
func TestWrongClock(t *testing.T) {
	dir := t.TempDir()
	path, err := faulttest.BuildWithClock(t.Context(), dir)
	must(t, err)
	clock := faulttest.Clock(filepath.Join(dir, "clock"))
	must(t, clock.Set(time.Hour))
	key, password := testKey(7600), "ADMIN_PASSWORD="+longSecret
	g := startGateway(t, key)
	_, dsn := startPostgres(t)
	right := launchNode(t, g.url, dsn, t.TempDir(), "SENTINEL_NODE_NAME=right", password).serving()
	data := t.TempDir()
	environ := append(settingsFor(g.url, data, "PG_DSN="+dsn, "SENTINEL_NODE_NAME=wrong", password, clock.Env()), clusterSecrets...)
	process := startCommand(t, environ, func(cmd *exec.Cmd) { cmd.Path = path }, "serve")
	wrong := launched{process, t, data}.serving()

	right.use(homeIP, key, http.StatusOK)
	wrong.becomes(elsewhereIP, key, http.StatusForbidden)
	wantClock(t, wrong, time.Hour)
	wantSessionsToHold(t, wrong, right)

	// By the node's own clock, this exception was over before it began.
	_, err = right.api.CreateException(t.Context(), client.NewException{Key: key, Prefix: elsewhereIP + "/32", Until: time.Now().Add(30 * time.Minute)})
	must(t, err)
	wrong.becomes(elsewhereIP, key, http.StatusOK)

	// And by this one, it ends in an hour.
	must(t, clock.Set(-time.Hour))
	wantClock(t, wrong, -time.Hour)
	wantSessionsToHold(t, wrong, right)
	const strange = "127.0.6.7"
	_, err = wrong.api.CreateException(t.Context(), client.NewException{Key: key, Prefix: strange + "/32", Until: time.Now().Add(3 * time.Second)})
	must(t, err)
	wrong.becomes(strange, key, http.StatusOK)
	wrong.becomes(strange, key, http.StatusForbidden)
	for page, err := range wrong.api.Logs(t.Context(), client.LogFilter{Hash: wrong.hashOf(key)}, 100) {
		must(t, err)
		for _, one := range page.Items {
			if age := time.Since(one.Value.At); age.Abs() > time.Minute {
				t.Errorf("a refusal of a moment ago is recorded as of %v ago", age)
			}
		}
	}

	must(t, clock.Set(0))
	wantClock(t, wrong, 0)
}

// wantClock waits until a node tells everywhere that its clock is ahead by so much.
func wantClock(t *testing.T, n guarded, ahead time.Duration) {
	t.Helper()
	eventually(t, "the clock "+ahead.String()+" ahead", func() bool {
		seconds, err := strconv.ParseFloat(n.metric("sentinel_clock_ahead_seconds"), 64)
		return err == nil && (time.Duration(seconds*float64(time.Second))-ahead).Abs() < time.Second
	})
	eventually(t, "the clock in the list of nodes", func() bool {
		told := n.nodes()["wrong"].Clock
		return told != nil && (time.Duration(*told*float64(time.Second))-ahead).Abs() < time.Second
	})
	want := readiness{http.StatusOK, "ok", "ok", "ok", "", ""}
	if ahead != 0 {
		want.Status, want.Clock = "degraded", "wrong"
	}
	eventually(t, "ready with the clock", func() bool { return n.readiness() == want })
}

// wantSessionsToHold signs in at either node, and uses the session at both.
func wantSessionsToHold(t *testing.T, nodes ...guarded) {
	t.Helper()
	for _, at := range nodes {
		var session sessionAnswer
		if got := adminCall(t, from(t, homeIP), http.MethodPost, at.url+"/admin/api/login", "", map[string]string{"password": longSecret}, &session); got != http.StatusOK {
			t.Fatalf("sign in at %s: %d", at.url, got)
		}
		for _, n := range nodes {
			if got := adminCall(t, from(t, homeIP), http.MethodGet, n.url+"/admin/api/me", session.AccessToken, nil, nil); got != http.StatusOK {
				t.Errorf("a session of %s at %s: %d", at.url, n.url, got)
			}
		}
	}
}
