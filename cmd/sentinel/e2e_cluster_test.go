package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
)

// inForce is how soon what one node has acknowledged has to be in force on the others.
// A machine that runs other tests is given more; what it took is logged.
const inForce = time.Second

// clusterSecrets are what the nodes of a cluster share.
var clusterSecrets = []string{
	"SENTINEL_HMAC_SECRET=" + strings.Repeat("h", 40), "ADMIN_JWT_SECRET=" + strings.Repeat("j", 40),
}

// startPostgres starts a server with an empty database, until the end of the test.
func startPostgres(t *testing.T) (s *pgtest.Server, dsn string) {
	t.Helper()
	s, err := pgtest.Start(pgtest.Options{Fsync: true})
	if err != nil && !requireServers {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() {
		s.Thaw()
		must(t, s.Stop())
	})
	must(t, s.Create("cluster"))
	// The form of the earlier deployment.
	return s, strings.Replace(s.TCP("cluster"), "postgresql://", "postgresql+asyncpg://", 1)
}

// launched is a node that may not serve yet.
type launched struct {
	*process
	t    *testing.T
	data string
}

func launchNode(t *testing.T, downstream, dsn, data string, more ...string) launched {
	t.Helper()
	environ := append(settingsFor(downstream, data, "PG_DSN="+dsn), clusterSecrets...)
	return launched{startProcess(t, append(environ, more...), "serve"), t, data}
}

// serving waits until a node serves.
func (l launched) serving() guarded {
	l.t.Helper()
	addr := l.stderr.waitFor(l.t, l.ended, servingAt)
	api := client.Local(l.data)
	l.t.Cleanup(api.Close)
	return guarded{sentinelProcess{process: l.process, url: "http://" + addr}, l.data, api}
}

// startCluster starts so many nodes at once.
func startCluster(t *testing.T, n int, downstream, dsn string, more ...string) []guarded {
	t.Helper()
	var all []launched
	for i := range n {
		all = append(all, launchNode(t, downstream, dsn, t.TempDir(), append(more, fmt.Sprintf("SENTINEL_NODE_NAME=node-%d", i+1))...))
	}
	var nodes []guarded
	for _, l := range all {
		nodes = append(nodes, l.serving())
	}
	return nodes
}

// status is what a key gets from an address.
func (g guarded) status(ip, key string) int {
	g.t.Helper()
	return call(g.t, from(g.t, ip), http.MethodGet, g.url+"/v1/models", key, nil).status
}

// becomes waits until a node answers a key in a way, and returns how long it took.
func (g guarded) becomes(ip, key string, status int) time.Duration {
	g.t.Helper()
	began := time.Now()
	for {
		got := g.status(ip, key)
		if got == status {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			g.t.Fatalf("from %s: %d, and never %d", ip, got, status)
		}
		time.Sleep(time.Millisecond)
	}
}

// hashOf returns the key hash of a key that is bound.
func (g guarded) hashOf(key string) string {
	g.t.Helper()
	found, err := g.api.FindKey(g.t.Context(), key)
	must(g.t, err)
	return found.Key.Hash
}

func (g guarded) binding(key string) client.Item[client.BindingDetail] {
	g.t.Helper()
	b, err := g.api.Binding(g.t.Context(), g.hashOf(key))
	must(g.t, err)
	return b
}

// edit changes the binding of a key.
func (g guarded) edit(key string, edit client.BindingEdit) {
	g.t.Helper()
	_, err := g.api.EditBinding(g.t.Context(), g.hashOf(key), 0, edit)
	must(g.t, err)
}

// TestOneKeyIsBoundOnceInACluster has three nodes see the same new keys at the same moment
// from three addresses: of each key, one is let pass.
func TestOneKeyIsBoundOnceInACluster(t *testing.T) {
	const keys = 20
	var all []string
	for n := range keys {
		all = append(all, testKey(7000+n))
	}
	g := startGateway(t, all...)
	_, dsn := startPostgres(t)
	nodes := startCluster(t, 3, g.url, dsn)
	for _, key := range all {
		statuses := make([]int, len(nodes))
		var uses sync.WaitGroup
		begin := make(chan struct{})
		for i, n := range nodes {
			client, req := from(t, fmt.Sprintf("127.0.1.%d", i+1)), withKey(t, "GET", n.url+"/v1/models", key)
			uses.Go(func() {
				<-begin
				if res, err := client.Do(req); err == nil {
					statuses[i] = res.StatusCode
					_ = res.Body.Close()
				}
			})
		}
		close(begin)
		uses.Wait()
		winner := -1
		for i, status := range statuses {
			switch {
			case status == http.StatusOK && winner < 0:
				winner = i
			case status != http.StatusForbidden:
				t.Fatalf("statuses %v, want one 200 and the others 403", statuses)
			}
		}
		if winner < 0 {
			t.Fatalf("statuses %v: nobody has bound the key", statuses)
		}
		for i, n := range nodes { // whichever node is asked, from then on
			want := http.StatusForbidden
			if i == winner {
				want = http.StatusOK
			}
			for _, ask := range nodes {
				if got := ask.status(fmt.Sprintf("127.0.1.%d", i+1), key); got != want {
					t.Fatalf("key of node %d from 127.0.1.%d: %d, want %d", winner+1, i+1, got, want)
				}
			}
			_ = n
		}
	}
}

// TestABanReachesEveryNode bans a key at one node: the others refuse it within a second,
// and cut its open stream.
func TestABanReachesEveryNode(t *testing.T) {
	key, other := testKey(7100), testKey(7101)
	g := startGateway(t, key, other)
	_, dsn := startPostgres(t)
	nodes := startCluster(t, 3, g.url, dsn)
	a, b, c := nodes[0], nodes[1], nodes[2]
	a.use(homeIP, key, http.StatusOK)
	a.use(homeIP, other, http.StatusOK)
	for _, n := range []guarded{b, c} {
		n.becomes(elsewhereIP, other, http.StatusForbidden)
		n.becomes(homeIP, key, http.StatusOK) // now it is in the cache of the node
	}
	stream, kept := b.stream(homeIP, key), b.stream(homeIP, other)
	a.edit(key, client.BindingEdit{Status: new("banned")})
	banned := time.Now()
	b.ended(stream)
	cutAfter := time.Since(banned)
	b.becomes(homeIP, key, http.StatusForbidden)
	c.becomes(homeIP, key, http.StatusForbidden)
	took := time.Since(banned)
	t.Logf("stream cut after %s, refused everywhere after %s", cutAfter, took)
	if took > inForce && !raceEnabled {
		t.Errorf("a ban was in force everywhere after %s, want %s", took, inForce)
	}
	if got := kept.Body; got == nil {
		t.Error("no other stream")
	}
	one := make([]byte, 1)
	if _, err := kept.Body.Read(one); err != nil {
		t.Errorf("the stream of another key was cut: %v", err)
	}
	c.edit(key, client.BindingEdit{Status: new("active"), Rule: &client.Rule{Kind: "single", Prefixes: []string{elsewhereIP}}})
	for _, n := range nodes {
		n.becomes(elsewhereIP, key, http.StatusOK)
		n.becomes(homeIP, key, http.StatusForbidden)
	}
}
