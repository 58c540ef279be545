//go:build unix

package redis_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/redis"
	"github.com/key-ip-sentinel/sentinel/store/redis/redistest"
)

// callMany makes calls, and returns how long the longest one took; all fail.
func callMany(t *testing.T, n *node, calls int) (longest time.Duration) {
	t.Helper()
	for range calls {
		begin := time.Now()
		_, err := n.Counts("test").Add(t.Context(), time.Minute, map[string]uint64{"k": 1})
		if took := time.Since(begin); took > longest {
			longest = took
		}
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("a call while Redis is away: %v", err)
		}
	}
	return longest
}

// TestServerGone in each way that there is, and back.
func TestServerGone(t *testing.T) {
	for _, test := range []struct {
		name       string
		harm, mend func(t *testing.T, s *redistest.Server)
	}{
		{"killed", func(_ *testing.T, s *redistest.Server) { s.Kill() }, func(t *testing.T, s *redistest.Server) {
			if err := s.Restart(); err != nil {
				t.Fatal(err)
			}
		}},
		{"frozen", func(_ *testing.T, s *redistest.Server) { s.Freeze() }, func(_ *testing.T, s *redistest.Server) { s.Thaw() }},
		{"without memory", func(t *testing.T, s *redistest.Server) {
			mustDo(t, s, "config", "set", "maxmemory", "1")
		}, func(t *testing.T, s *redistest.Server) { mustDo(t, s, "config", "set", "maxmemory", "0") }},
		{"a replica", func(t *testing.T, s *redistest.Server) {
			mustDo(t, s, "replicaof", "127.0.0.1", "1")
		}, func(t *testing.T, s *redistest.Server) { mustDo(t, s, "replicaof", "no", "one") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startServer(t, redistest.Options{})
			a, b := join(t, "a", plain(s)), join(t, "b", plain(s))
			wantWorking(t, a, b)
			test.harm(t, s)
			// The first ones may wait for their timeout; after them nobody does.
			callMany(t, a, 1)
			if h := a.Health(); h.State != store.HealthAway || h.Error == "" {
				t.Errorf("health %+v", h)
			}
			if took := callMany(t, a, 1_000); took > redis.DefaultTimeout {
				t.Errorf("a call took %s while it was known that Redis is away", took)
			}
			b.awaitAway(t) // without any call
			test.mend(t, s)
			wantWorking(t, a, b)
			wantWorking(t, b, a)
			if got := strings.Count(a.log.String(), "Redis is away"); got != 1 {
				t.Errorf("told %d times that it is away:\n%s", got, a.log)
			}
		})
	}
}

func mustDo(t *testing.T, s *redistest.Server, args ...any) {
	t.Helper()
	if err := s.Do(args...); err != nil {
		t.Fatal(err)
	}
}

// TestAFrozenServerHoldsUpFew: many call at the moment when it is frozen.
func TestAFrozenServerHoldsUpFew(t *testing.T) {
	s := startServer(t, redistest.Options{})
	a := join(t, "a", plain(s))
	s.Freeze()
	begin := time.Now()
	var calling sync.WaitGroup
	for range 200 {
		calling.Go(func() {
			if _, err := a.Counts("x").Add(t.Context(), time.Minute, map[string]uint64{"k": 1}); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a call: %v", err)
			}
		})
	}
	calling.Wait()
	// Timeout for each one that has a connection, and for each one that waits for one.
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("200 calls at once took %s", took)
	}
}

// TestFlushed: counts begin anew, and all goes on.
func TestFlushed(t *testing.T) {
	s := startServer(t, redistest.Options{})
	a, b := join(t, "a", plain(s)), join(t, "b", plain(s))
	wantWorking(t, a, b)
	mustDo(t, s, "flushall")
	mustDo(t, s, "script", "flush")
	wantWorking(t, a, b)
	if strings.Contains(a.log.String(), "away") {
		t.Errorf("told that it is away:\n%s", a.log)
	}
}

// TestNoServerAtTheStart: it comes later.
func TestNoServerAtTheStart(t *testing.T) {
	s := startServer(t, redistest.Options{})
	s.Kill()
	a, b := open(t, "a", plain(s)), open(t, "b", plain(s))
	callMany(t, a, 10)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	wantWorking(t, a, b)
}

// TestPasswords: the right one, and what is said of wrong ones.
func TestPasswords(t *testing.T) {
	password := redistest.NewPassword()
	s := startServer(t, redistest.Options{Password: password})
	right := redis.Server{Addresses: s.Addr(), Password: password}
	inURL := redis.Server{Addresses: "redis://:" + password + "@" + s.Addr() + "/3"}
	a := join(t, "a", right)
	wantWorking(t, a, join(t, "b", right))
	join(t, "c", inURL)
	mustDo(t, s, "acl", "setuser", "sentinel", "on", ">"+password, "~sentinel:*", "&sentinel:*", "+@all", "-@admin", "-@dangerous")
	user := redis.Server{Addresses: s.Addr(), Username: "sentinel", Password: password}
	wantWorking(t, a, join(t, "d", user))
	wrong := redistest.NewPassword()
	for name, to := range map[string]redis.Server{
		"wrong": {Addresses: s.Addr(), Password: wrong}, "none": {Addresses: s.Addr()},
		"no such user": {Addresses: s.Addr(), Username: "x", Password: wrong},
	} {
		n := open(t, name, to)
		eventually(t, name+" is told", func() bool { return strings.Contains(n.log.String(), "Redis is away") })
		text := n.log.String() + n.Health().Error
		if strings.Contains(text, wrong) || strings.Contains(text, password) {
			t.Errorf("%s: a password is told: %s", name, text)
		}
		if !strings.Contains(text, "NOAUTH") && !strings.Contains(text, "WRONGPASS") {
			t.Errorf("%s: told %s", name, text)
		}
	}
}

func TestTLS(t *testing.T) {
	password := redistest.NewPassword()
	s := startServer(t, redistest.Options{TLS: true, Password: password})
	good := redis.Server{Addresses: "rediss://:" + password + "@" + s.Addr(), CA: s.CA()}
	wantWorking(t, join(t, "a", good), join(t, "b", redis.Server{Addresses: s.Addr(), Password: password, TLS: true, CA: s.CA()}))
	for name, to := range map[string]redis.Server{
		"another CA": {Addresses: s.Addr(), Password: password, TLS: true},
		"no TLS":     {Addresses: s.Addr(), Password: password},
	} {
		n := open(t, name, to)
		eventually(t, name+" is told", func() bool { return strings.Contains(n.log.String(), "Redis is away") })
		if n.Health().State != store.HealthAway {
			t.Errorf("%s: health %+v", name, n.Health())
		}
	}
}

// TestSentinels: the server dies, and its replica takes over.
func TestSentinels(t *testing.T) {
	password := redistest.NewPassword()
	g, err := redistest.StartSentinels(password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
	to := redis.Server{Addresses: g.Addresses(), Password: password, MasterName: redistest.MasterName}
	a, b := join(t, "a", to), join(t, "b", to)
	wantWorking(t, a, b)
	g.Servers[0].Kill()
	// So soon that it may not be noticed; until then calls fail.
	eventually(t, "the replica has taken over", func() bool {
		_, err := a.Counts("test").Add(t.Context(), time.Minute, map[string]uint64{"k": 1})
		return err == nil && g.Servers[1].Do("set", "is", "master") == nil
	})
	wantWorking(t, a, b)
	wantWorking(t, b, a)
}

func TestCluster(t *testing.T) {
	g, err := redistest.StartCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
	to := redis.Server{Addresses: g.Addresses()}
	a, b := join(t, "a", to), join(t, "b", to)
	wantWorking(t, a, b)
	many := map[string]uint64{} // on all servers
	for _, name := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		many[name] = 2
	}
	for i := range 2 {
		got, err := []*node{a, b}[i].Counts("alert").Add(t.Context(), time.Hour, many)
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range got {
			if n != uint64(2*(i+1)) {
				t.Errorf("%s is counted %d", name, n)
			}
		}
	}
	logins := a.Logins(store.LoginLimits{Failures: 1, Window: time.Minute, LockFor: time.Minute})
	for _, pair := range strings.Split("abcdefgh", "") {
		attempt, _, err := logins.Begin(t.Context(), pair)
		if err != nil {
			t.Fatal(err)
		}
		if locked, err := logins.Failed(t.Context(), pair, attempt); err != nil || !locked {
			t.Errorf("%s: locked %t, %v", pair, locked, err)
		}
	}
	g.Servers[1].Kill()
	a.awaitAway(t)
	if err := g.Servers[1].Restart(); err != nil {
		t.Fatal(err)
	}
	wantWorking(t, a, b)
}
