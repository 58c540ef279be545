package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// eventually waits until something is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !isSo(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestWhatOneNodeChangesIsInForceOnAnother changes one of everything at the first node,
// and uses it at the second.
func TestWhatOneNodeChangesIsInForceOnAnother(t *testing.T) {
	key := testKey(7200)
	g := startGateway(t, key)
	_, dsn := startPostgres(t)
	nodes := startCluster(t, 2, g.url, dsn)
	a, b := nodes[0], nodes[1]
	const office, trouble = "127.0.3.1", "127.0.4.1"
	a.use(homeIP, key, http.StatusOK)
	b.becomes(elsewhereIP, key, http.StatusForbidden)

	t.Run("runtime setting", func(*testing.T) {
		a.run(exitOK, "", "settings", "set", "SENTINEL_MODE=observe")
		b.becomes(elsewhereIP, key, http.StatusOK)
		a.run(exitOK, "", "settings", "unset", "SENTINEL_MODE")
		b.becomes(elsewhereIP, key, http.StatusForbidden)
	})
	t.Run("named network", func(*testing.T) {
		a.run(exitOK, "", "networks", "set", "office", "--prefix", "127.0.3.0/24")
		a.edit(key, client.BindingEdit{Rule: &client.Rule{Kind: "multiple", Prefixes: []string{homeIP}, Networks: []string{"office"}}})
		b.becomes(office, key, http.StatusOK)
		stream := b.stream(office, key)
		a.run(exitOK, "", "networks", "set", "office", "--prefix", "127.0.5.0/24")
		b.ended(stream)
		b.becomes(office, key, http.StatusForbidden)
	})
	t.Run("exception", func(t *testing.T) {
		x, err := a.api.CreateException(t.Context(), client.NewException{Key: key, Prefix: office + "/32", Until: time.Now().Add(time.Hour)})
		must(t, err)
		b.becomes(office, key, http.StatusOK)
		stream := b.stream(office, key)
		_, err = a.api.EndException(t.Context(), x.Value.ID)
		must(t, err)
		b.ended(stream)
		b.becomes(office, key, http.StatusForbidden)
	})
	t.Run("blocked network", func(*testing.T) {
		a.edit(key, client.BindingEdit{Rule: &client.Rule{Kind: "all"}})
		b.becomes(trouble, key, http.StatusOK)
		stream := b.stream(trouble, key)
		a.run(exitOK, "", "blocked", "add", "127.0.4.0/24")
		b.ended(stream)
		b.becomes(trouble, key, http.StatusForbidden)
		a.run(exitOK, "", "blocked", "remove", "127.0.4.0/24")
		b.becomes(trouble, key, http.StatusOK)
	})
	t.Run("unbind", func(t *testing.T) {
		a.edit(key, client.BindingEdit{Rule: &client.Rule{Kind: "single", Prefixes: []string{homeIP}}})
		b.becomes(elsewhereIP, key, http.StatusForbidden)
		must(t, a.api.Do(t.Context(), http.MethodDelete, "/bindings/"+url.PathEscape(a.hashOf(key)), nil, nil))
		b.becomes(elsewhereIP, key, http.StatusOK) // and binds it anew
		a.becomes(homeIP, key, http.StatusForbidden)
	})
	t.Run("alert channel", func(t *testing.T) {
		a.run(exitOK, g.url+"\n", "alerts", "channels", "add", "ops", "--type", "webhook")
		eventually(t, "the channel at the other node", func() bool {
			channels, err := b.api.Channels(t.Context())
			must(t, err)
			return len(channels) == 1
		})
	})
	t.Run("accounts, sessions and tokens", func(t *testing.T) { adminAtBoth(t, a, b) })
	t.Run("audit trail", func(t *testing.T) {
		eventually(t, "the acts of one node at the other", func() bool {
			var trail struct {
				Items []struct{ Action, Target string }
			}
			must(t, b.api.Do(t.Context(), http.MethodGet, "/audit?action=network.&limit=100", nil, &trail))
			return len(trail.Items) == 2 // made and changed
		})
	})
}

// adminAtBoth makes an account and tokens at one node, and uses and ends them at both.
func adminAtBoth(t *testing.T, a, b guarded) {
	t.Helper()
	home := from(t, homeIP)
	api := func(g guarded, path string) string { return g.url + "/admin/api" + path }
	a.run(exitOK, testPassword+"\n", "admin", "create", "ada", "--role", "admin")
	var session sessionAnswer
	login := map[string]string{"username": "ada", "password": testPassword}
	eventually(t, "login at the other node", func() bool {
		return adminCall(t, home, http.MethodPost, api(b, "/login"), "", login, &session) == http.StatusOK
	})
	as := func(g guarded, token string) int {
		return adminCall(t, home, http.MethodGet, api(g, "/bindings"), token, nil, nil)
	}
	for _, g := range []guarded{a, b} {
		if got := as(g, session.AccessToken); got != http.StatusOK {
			t.Errorf("a session of the second node at %s: %d", g.url, got)
		}
	}
	if got := adminCall(t, home, http.MethodPost, api(b, "/logout"), session.AccessToken, nil, nil); got != http.StatusNoContent {
		t.Errorf("logout: %d", got)
	}
	eventually(t, "the end of the session at the first node", func() bool { return as(a, session.AccessToken) == http.StatusUnauthorized })

	token, _ := a.run(exitOK, "", "token", "create", "ci", "--role", "viewer", "--expires", "1h")
	token = strings.TrimSpace(token)
	eventually(t, "the token at the other node", func() bool { return as(b, token) == http.StatusOK })
	a.run(exitOK, "", "token", "delete", "ci")
	began := time.Now()
	eventually(t, "the end of the token at the other node", func() bool { return as(b, token) == http.StatusUnauthorized })
	if took := time.Since(began); took > inForce && !raceEnabled {
		t.Errorf("a token that was revoked worked for %s at the other node", took)
	}
}

// TestTenNodesStartAtOnce has them meet an empty database, with a password to set.
func TestTenNodesStartAtOnce(t *testing.T) {
	if raceEnabled {
		t.Skip("ten processes with the race detector are more than a test machine has memory for")
	}
	key := testKey(7300)
	g := startGateway(t, key)
	_, dsn := startPostgres(t)
	nodes := startCluster(t, 10, g.url, dsn, "ADMIN_PASSWORD="+longSecret)
	nodes[0].use(homeIP, key, http.StatusOK)
	for i, n := range nodes {
		n.becomes(elsewhereIP, key, http.StatusForbidden)
		var session sessionAnswer
		if got := adminCall(t, from(t, homeIP), http.MethodPost, n.url+"/admin/api/login", "", map[string]string{"password": longSecret}, &session); got != http.StatusOK {
			t.Errorf("login at node %d: %d", i+1, got)
		}
		if log := n.stderr.String(); strings.Contains(log, `"level":"ERROR"`) {
			t.Errorf("node %d has logged an error:\n%s", i+1, log)
		}
	}
}

// TestNodesThatMayNotJoin starts what must not become a node of the cluster.
func TestNodesThatMayNotJoin(t *testing.T) {
	key := testKey(7400)
	g := startGateway(t, key)
	_, dsn := startPostgres(t)
	member := startCluster(t, 1, g.url, dsn)[0]
	member.use(homeIP, key, http.StatusOK)
	alone := t.TempDir()
	single := startGuarded(t, g.url, alone)
	single.use(homeIP, key, http.StatusOK)
	must(t, single.stop())
	must(t, member.stop())

	refused := func(name string, environ []string, args []string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			p := startProcess(t, environ, args...)
			select {
			case <-p.ended:
			case <-time.After(patience):
				t.Fatalf("did not end:\n%s", p.stderr)
			}
			out := p.stderr.String()
			for _, text := range want {
				if !strings.Contains(out, text) {
					t.Errorf("got %q, want %q in it", out, text)
				}
			}
			if p.err == nil || strings.Contains(out, serverPassword(dsn)) {
				t.Errorf("ended with %v, or told the password:\n%s", p.err, out)
			}
		})
	}
	withDSN := func(data string, more ...string) []string {
		return append(settingsFor(g.url, data, "PG_DSN="+dsn), more...)
	}
	serve := []string{"serve"}
	refused("another HMAC secret", withDSN(t.TempDir(), "SENTINEL_HMAC_SECRET="+strings.Repeat("x", 40), clusterSecrets[1]), serve, "SENTINEL_HMAC_SECRET", "not that of the cluster")
	refused("no secrets", withDSN(t.TempDir()), serve, "SENTINEL_HMAC_SECRET and ADMIN_JWT_SECRET", "openssl rand -hex 32")
	refused("data of a sentinel alone", withDSN(alone, clusterSecrets...), serve, "sentinel migrate bolt-to-postgres")
	refused("a copy without its cluster", append(settingsFor(g.url, member.data), clusterSecrets...), serve, "start sentinel with PG_DSN")
	refused("accounts in a copy", nil, []string{"admin", "list", "--data-dir", member.data}, "start sentinel with PG_DSN")
	refused("a DSN with a fault", append(settingsFor(g.url, t.TempDir(), "PG_DSN="+dsn+"?ssl=perhaps"), clusterSecrets...), serve, "PG_DSN", "ssl=")
	if got := fmt.Sprint(single.stderr, member.stderr); strings.Contains(got, serverPassword(dsn)) {
		t.Error("a log has the password of PostgreSQL")
	}
}

// serverPassword is the one in a DSN.
func serverPassword(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn
	}
	password, _ := u.User.Password()
	return password
}
