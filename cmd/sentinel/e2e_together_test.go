package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/store/redis/redistest"
)

// takeover is how soon another node is the leader when one has been killed.
const takeover = 15 * time.Second

// startRedis starts a server, until the end of the test.
func startRedis(t *testing.T) (s *redistest.Server, setting string) {
	t.Helper()
	password := redistest.NewPassword()
	s, err := redistest.Start(redistest.Options{Password: password})
	if err != nil && !requireServers {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, s.Stop()) })
	return s, "REDIS_ADDR=redis://:" + password + "@" + s.Addr()
}

// awaitRedis waits until a node reaches Redis.
func (g guarded) awaitRedis() {
	g.t.Helper()
	eventually(g.t, "Redis is there", func() bool {
		r := g.readiness()
		return r.code == http.StatusOK && r.Status == "ok" && r.Redis == "ok"
	})
}

// nodes returns what a node knows of all, by name.
func (g guarded) nodes() map[string]client.Node {
	g.t.Helper()
	list, _, err := g.api.Nodes(g.t.Context())
	must(g.t, err)
	nodes := map[string]client.Node{}
	for _, item := range list {
		nodes[item.Value.Name] = item.Value
	}
	return nodes
}

// messages are what a receiver of alerts has heard: each once, by its ID.
type messages struct {
	*httptest.Server
	mu   sync.Mutex
	byID map[string]alert.Body
	all  int
}

func startReceiver(t *testing.T) *messages {
	t.Helper()
	m := &messages{byID: map[string]alert.Body{}}
	m.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got alert.Body
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.byID[got.ID] = got
		m.all++
	}))
	t.Cleanup(m.Close)
	return m
}

// of returns how many messages there were of a key that opened an alert, and how many of
// any kind.
func (m *messages) of(hash string) (opened, all int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, got := range m.byID {
		if got.Alert != nil && got.Alert.Kind == alert.KeyRefused && got.Alert.Subject.Hash.String() == hash && got.Event == alert.Opened {
			opened++
		}
	}
	return opened, m.all
}

// leaderOf waits until one of two nodes is the leader, and returns it, and the other.
func leaderOf(t *testing.T, a, b guarded) (leader, other guarded) {
	t.Helper()
	eventually(t, "there is a leader, and both know it", func() bool {
		seen, same := a.nodes(), b.nodes()
		for name := range seen {
			if seen[name].Leader != same[name].Leader {
				return false
			}
		}
		leader, other = a, b
		for _, n := range seen {
			if n.Leader && !n.Self {
				leader, other = b, a
			}
			if n.Leader {
				return len(seen) == 2
			}
		}
		return false
	})
	return leader, other
}

// TestOneAlertOfAllNodes: refusals at two nodes reach the threshold together, and one
// message is sent. The leader is killed, and the other node goes on with the same alert.
func TestOneAlertOfAllNodes(t *testing.T) {
	key, second := testKey(9901), testKey(9902)
	g, receiver := startGateway(t, key, second), startReceiver(t)
	_, dsn := startPostgres(t)
	_, redis := startRedis(t)
	nodes := startCluster(t, 2, g.url, dsn, redis, "ALERT_WEBHOOK_URL="+receiver.URL, "ALERT_THRESHOLD_COUNT=4", "ALERT_THRESHOLD_SECONDS=600")
	for _, n := range nodes {
		n.awaitRedis()
	}
	leader, other := leaderOf(t, nodes[0], nodes[1])
	for _, k := range []string{key, second} {
		leader.becomes(homeIP, k, http.StatusOK)
		other.becomes(elsewhereIP, k, http.StatusForbidden) // the first refusal
	}
	hash, secondHash := leader.hashOf(key), leader.hashOf(second)
	refuse := func(n guarded, key string, times int) {
		t.Helper()
		for range times {
			if got := n.status(elsewhereIP, key); got != http.StatusForbidden {
				t.Fatalf("got %d, want a refusal", got)
			}
		}
	}
	refuse(leader, key, 2)
	refuse(other, key, 1)
	refuse(other, second, 2) // one is missing
	eventually(t, "the alert is told", func() bool { opened, _ := receiver.of(hash); return opened == 1 })
	for _, n := range nodes {
		eventually(t, "the node shows the alert", func() bool {
			out, _ := n.run(exitOK, "", "alerts", "list", "--output", "json")
			return strings.Contains(out, hash)
		})
	}
	killed := time.Now()
	must(t, leader.cmd.Process.Kill())
	<-leader.process.ended
	eventually(t, "the other one leads", func() bool { return selfOf(other).Leader })
	if took := time.Since(killed); took > takeover {
		t.Errorf("it took %s until the other node was the leader", took)
	}
	refuse(other, key, 5)
	refuse(other, second, 1) // which makes four, of which the killed one had been told
	eventually(t, "the second alert is told", func() bool { opened, _ := receiver.of(secondHash); return opened == 1 })
	must(t, other.stop())
	if opened, all := receiver.of(hash); opened != 1 || all != 2 {
		t.Errorf("told %d times of the first alert, and of %d in all", opened, all)
	}
}

func selfOf(g guarded) client.Node {
	g.t.Helper()
	for _, n := range g.nodes() {
		if n.Self {
			return n
		}
	}
	return client.Node{}
}

// TestLoginsOfAllNodes: wrong passwords at two nodes lock together, by Redis, without one,
// and while it is away.
func TestLoginsOfAllNodes(t *testing.T) {
	g := startGateway(t, testKey(9903))
	_, dsn := startPostgres(t)
	server, redis := startRedis(t)
	password := strings.Repeat("p", 20)
	login := func(n guarded, ip, password string) int {
		t.Helper()
		order := map[string]string{"username": "admin", "password": password}
		return adminCall(t, from(t, ip), http.MethodPost, n.url+"/admin/api/login", "", order, nil)
	}
	lockTogether := func(nodes []guarded, ip string) {
		t.Helper()
		if got := login(nodes[1], ip, password); got != http.StatusOK {
			t.Fatalf("login: %d", got)
		}
		for i := range 5 {
			if got := login(nodes[i%2], ip, "wrong"); got != http.StatusUnauthorized {
				t.Fatalf("a wrong password: %d", got)
			}
		}
		for _, n := range nodes {
			if got := login(n, ip, password); got != http.StatusTooManyRequests {
				t.Errorf("after five wrong passwords at two nodes: %d", got)
			}
		}
	}
	lockTogether(startCluster(t, 2, g.url, dsn, "ADMIN_PASSWORD="+password), "127.0.5.1")
	nodes := startCluster(t, 2, g.url, dsn, redis, "ADMIN_PASSWORD="+password)
	for _, n := range nodes {
		n.awaitRedis()
	}
	lockTogether(nodes, "127.0.5.2")
	server.Kill()
	lockTogether(nodes, "127.0.5.3")
}

// TestRateLimitOfAllNodes: what one node has let pass counts at the other.
func TestRateLimitOfAllNodes(t *testing.T) {
	key := testKey(9904)
	g := startGateway(t, key)
	_, dsn := startPostgres(t)
	_, redis := startRedis(t)
	const burst = 30
	nodes := startCluster(t, 2, g.url, dsn, redis, "SENTINEL_RATE_LIMIT=1", fmt.Sprintf("SENTINEL_RATE_BURST=%d", burst))
	for _, n := range nodes {
		n.awaitRedis()
	}
	for nodes[0].status(homeIP, key) != http.StatusTooManyRequests {
	}
	passed := 0
	for nodes[1].status(homeIP, key) != http.StatusTooManyRequests {
		passed++
		time.Sleep(50 * time.Millisecond) // so that the burst lasts longer than an exchange
	}
	if passed >= burst {
		t.Errorf("%d passed at the other node, as if it knew of nothing", passed)
	}
}

// TestRedisGoesAndComes: all goes on without it, which is told, and it is used again.
func TestRedisGoesAndComes(t *testing.T) {
	key := testKey(9905)
	g := startGateway(t, key)
	_, dsn := startPostgres(t)
	server, redis := startRedis(t)
	nodes := startCluster(t, 2, g.url, dsn, redis)
	for _, harm := range []struct {
		name       string
		harm, mend func()
	}{
		{"killed", server.Kill, func() { must(t, server.Restart()) }},
		{"frozen", server.Freeze, server.Thaw},
	} {
		for _, n := range nodes {
			n.awaitRedis()
		}
		harm.harm()
		for _, n := range nodes {
			eventually(t, harm.name+" is told", func() bool { return n.readiness().Redis == "unreachable" })
			if r := n.readiness(); r.code != http.StatusOK || r.Status != "degraded" {
				t.Errorf("%s: /ready says %+v", harm.name, r)
			}
			if self := selfOf(n); self.Redis.State != "away" || self.Redis.Error == "" || self.PostgreSQL.State != "ok" {
				t.Errorf("%s: the node tells %+v", harm.name, self)
			}
		}
		nodes[0].becomes(homeIP, key, http.StatusOK)
		nodes[0].edit(key, client.BindingEdit{Status: new("banned")})
		nodes[1].becomes(homeIP, key, http.StatusForbidden)
		nodes[0].edit(key, client.BindingEdit{Status: new("active")})
		nodes[1].becomes(homeIP, key, http.StatusOK)
		harm.mend()
	}
	for _, n := range nodes {
		n.awaitRedis()
	}
}

// TestFirstNodeAlone leads, and lists itself; a Sentinel without a cluster too.
func TestFirstNodeAlone(t *testing.T) {
	g := startGateway(t, testKey(9906))
	data := t.TempDir()
	sentinel := startSentinel(t, g.url, "SENTINEL_DATA_DIR="+data, "SENTINEL_NODE_NAME=lonely")
	api := client.Local(data)
	t.Cleanup(api.Close)
	alone := guarded{sentinel, data, api}
	if n := selfOf(alone); !n.Leader || n.State != "here" || n.Name != "lonely" || n.Address == "" || n.PostgreSQL.State != "none" || n.Redis.State != "none" {
		t.Errorf("got %+v", n)
	}
	if out, _ := alone.run(exitOK, "", "nodes"); !strings.Contains(out, "lonely") {
		t.Errorf("got %q", out)
	}
}
