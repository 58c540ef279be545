//go:build unix

package redis_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/redis"
	"github.com/key-ip-sentinel/sentinel/store/redis/redistest"
)

// server is the one of most tests, each of which has a namespace of its own. Tests that
// harm a server start another one.
var server *redistest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	var err error
	if server, err = redistest.Start(redistest.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func startServer(t *testing.T, opts redistest.Options) *redistest.Server {
	t.Helper()
	s, err := redistest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// node is a client with what it was told.
type node struct {
	*redis.Client
	log *syncBuffer

	mu        sync.Mutex
	revisions []uint64
	uses      []redis.Use
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// open opens a client until the test ends.
func open(t *testing.T, name string, to redis.Server) *node {
	t.Helper()
	n := &node{log: new(syncBuffer)}
	var err error
	n.Client, err = redis.Open(redis.Options{
		Server: to, Namespace: t.Name(), Secret: []byte("secret for tests only"), Node: name,
		Logger: slog.New(slog.NewTextHandler(n.log, nil)),
		OnRevision: func(revision uint64) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.revisions = append(n.revisions, revision)
		},
		OnUses: func(uses []redis.Use) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.uses = append(n.uses, uses...)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *node) heard(revision uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.revisions, revision)
}

// join opens a client, and waits until it is connected.
func join(t *testing.T, name string, to redis.Server) *node {
	t.Helper()
	n := open(t, name, to)
	n.awaitGood(t)
	return n
}

func (n *node) awaitGood(t *testing.T) {
	t.Helper()
	eventually(t, "it is connected", func() bool { return n.Health().State == store.HealthGood })
}

func (n *node) awaitAway(t *testing.T) {
	t.Helper()
	eventually(t, "it is away", func() bool { return n.Health().State == store.HealthAway })
}

func plain(s *redistest.Server) redis.Server { return redis.Server{Addresses: s.Addr()} }

// eventually waits until something is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !isSo() {
		if time.Now().After(deadline) {
			t.Fatalf("never so: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// wantWorking checks that two nodes hear of each other and count together, once they are
// connected.
func wantWorking(t *testing.T, a, b *node) {
	t.Helper()
	a.awaitGood(t)
	b.awaitGood(t)
	revision := uint64(time.Now().UnixNano())
	eventually(t, "the other node hears of a change", func() bool {
		revision++ // a message may be lost while somebody connects
		a.TellRevision(revision)
		time.Sleep(10 * time.Millisecond)
		return b.heard(revision)
	})
	name := fmt.Sprint(revision)
	for i, n := range []*node{a, b} {
		got, err := n.Counts("test").Add(t.Context(), time.Minute, map[string]uint64{name: 1})
		if err != nil || got[name] != uint64(i+1) {
			t.Fatalf("counted %v, %v; want %d", got, err, i+1)
		}
	}
}

func TestNodesHearOfEachOther(t *testing.T) {
	a, b := join(t, "a", plain(server)), join(t, "b", plain(server))
	wantWorking(t, a, b)
	wantWorking(t, b, a)
	a.TellRevision(7) // what is older than what was told says nothing
	a.TellRevision(1 << 63)
	eventually(t, "the last one is heard", func() bool { return b.heard(1 << 63) })
	if b.heard(7) || a.heard(1<<63) {
		t.Error("heard what is old, or of itself")
	}
}

// TestUsesAreTold, and not to oneself.
func TestUsesAreTold(t *testing.T) {
	a, b := join(t, "a", plain(server)), join(t, "b", plain(server))
	ctx, cancel := context.WithCancel(t.Context())
	var telling sync.WaitGroup
	want := []redis.Use{{Key: 1<<64 - 1, N: 7}, {Key: 2, N: 1<<32 - 1}}
	telling.Go(func() { a.TellUses(ctx, func(int) []redis.Use { return want }) })
	eventually(t, "the uses are there", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.uses) >= 2
	})
	cancel()
	telling.Wait()
	if b.uses[0] != want[0] || b.uses[1] != want[1] || len(a.uses) != 0 {
		t.Errorf("heard %v and %v", b.uses, a.uses)
	}
}

// TestBadMessagesAreIgnored: whoever can write to Redis can send anything.
func TestBadMessagesAreIgnored(t *testing.T) {
	a := join(t, "a", plain(server))
	channel := "sentinel:" + t.Name() + ":"
	for _, text := range []string{"", "\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x05b", "\x01b", "\x01bx", "\x01b-1", "\x01b99999999999999999999", "\x01a7",
		"\x01b" + strings.Repeat("x", 11), "\x01b" + strings.Repeat("x", 12*20_001)} {
		for _, name := range []string{"changes", "uses"} {
			if err := server.Do("publish", channel+name, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "a good one comes through", func() bool {
		if err := server.Do("publish", channel+"changes", "\x01b42"); err != nil {
			t.Fatal(err)
		}
		return a.heard(42)
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := slices.Compact(a.revisions); len(got) != 1 || len(a.uses) != 0 {
		t.Errorf("heard %v, %v", got, a.uses)
	}
}

func TestCountsSlide(t *testing.T) {
	a, b := join(t, "a", plain(server)), join(t, "b", plain(server))
	window := 600 * time.Millisecond
	add := func(n *node, name string, more uint64) uint64 {
		t.Helper()
		got, err := n.Counts("alert").Add(t.Context(), window, map[string]uint64{name: more, "other " + name: 1})
		if err != nil {
			t.Fatal(err)
		}
		return got[name]
	}
	if got := add(a, "k", 3) + add(b, "k", 4); got < 3 || got > 10 {
		t.Errorf("counted %d", got)
	}
	eventually(t, "the window is over", func() bool { return add(a, "k", 0) == 0 })
	got, err := a.Counts("another").Add(t.Context(), time.Hour, map[string]uint64{"k": 2})
	if err != nil || got["k"] != 2 {
		t.Errorf("another kind has %v, %v", got, err)
	}
	if got, err := a.Counts("another").Add(t.Context(), 2*time.Hour, map[string]uint64{"k": 0}); err != nil || got["k"] != 0 {
		t.Errorf("another window has %v, %v", got, err)
	}
}

// TestCountsAreExact under many who add at once.
func TestCountsAreExact(t *testing.T) {
	nodes := []*node{join(t, "a", plain(server)), join(t, "b", plain(server))}
	var adding sync.WaitGroup
	for i := range 10 {
		adding.Go(func() {
			for range 50 {
				if _, err := nodes[i%2].Counts("alert").Add(t.Context(), time.Hour, map[string]uint64{"k": 2}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	adding.Wait()
	if got, err := nodes[0].Counts("alert").Add(t.Context(), time.Hour, map[string]uint64{"k": 0}); err != nil || got["k"] != 1000 {
		t.Errorf("counted %v, %v", got, err)
	}
}

// TestEverythingExpires, and names tell nothing of people.
func TestEverythingExpires(t *testing.T) {
	a := join(t, "a", plain(server))
	logins := a.Logins(store.LoginLimits{Failures: 2, Window: time.Minute, LockFor: time.Minute})
	for i, pair := range []string{"admin|203.0.113.9", "admin|203.0.113.9", "other|2001:db8::1"} {
		attempt, _, err := logins.Begin(t.Context(), pair)
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			if _, err := logins.Failed(t.Context(), pair, attempt); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := logins.Count(t.Context(), "admin", 1); err != nil {
		t.Fatal(err)
	}
	db := server.Connect()
	defer func() { _ = db.Close() }() // it has served
	keys, err := db.Keys(t.Context(), "*"+t.Name()+"*").Result()
	if err != nil || len(keys) != 4 {
		t.Fatalf("keys %q, %v", keys, err)
	}
	for _, key := range keys {
		ttl, err := db.PTTL(t.Context(), key).Result()
		if err != nil || ttl <= 0 || ttl > 2*time.Minute {
			t.Errorf("%s expires in %s, %v", key, ttl, err)
		}
		if !strings.HasPrefix(key, "sentinel:"+t.Name()+":") || strings.Contains(key, "admin") || strings.Contains(key, "203.") {
			t.Errorf("a key is called %s", key)
		}
	}
}

func TestLoginsOfAllNodes(t *testing.T) {
	limits := store.LoginLimits{Failures: 3, Window: time.Minute, LockFor: time.Minute}
	a, b := join(t, "a", plain(server)).Logins(limits), join(t, "b", plain(server)).Logins(limits)
	try := func(l *redis.Logins, pair string) (attempt string, wait time.Duration) {
		t.Helper()
		attempt, wait, err := l.Begin(t.Context(), pair)
		if err != nil {
			t.Fatal(err)
		}
		return attempt, wait
	}
	fail := func(l *redis.Logins, pair string) bool {
		t.Helper()
		attempt, wait := try(l, pair)
		locked, err := l.Failed(t.Context(), pair, attempt)
		if err != nil || wait != 0 {
			t.Fatalf("waits %s, %v", wait, err)
		}
		return locked
	}
	if fail(a, "p") || fail(b, "p") || !fail(a, "p") {
		t.Error("not locked by the third failure")
	}
	for _, l := range []*redis.Logins{a, b} {
		if _, wait := try(l, "p"); wait <= 50*time.Second || wait > time.Minute {
			t.Errorf("waits %s", wait)
		}
	}
	if err := a.Succeeded(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if _, wait := try(b, "p"); wait == 0 {
		t.Error("a success has unlocked the pair")
	}
	// What is under way counts: three at once, and no fourth one anywhere.
	first, _ := try(a, "q")
	second, _ := try(b, "q")
	if fail(a, "q") {
		t.Error("locked by one failure")
	}
	if _, wait := try(b, "q"); wait == 0 {
		t.Error("a fourth attempt at once")
	}
	if err := a.Undone(t.Context(), "q", first); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Failed(t.Context(), "q", second); err != nil {
		t.Fatal(err)
	}
	if !fail(b, "q") {
		t.Error("not locked by the third failure")
	}
	for i, want := range []int{2, 4} {
		if got, err := []*redis.Logins{a, b}[i].Count(t.Context(), "n", 2); err != nil || got != want {
			t.Errorf("counted %d, %v; want %d", got, err, want)
		}
	}
	if err := a.Forget(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Count(t.Context(), "n", 0); err != nil || got != 0 {
		t.Errorf("counted %d, %v after it was forgotten", got, err)
	}
	// A success forgets.
	if fail(a, "r") || fail(b, "r") {
		t.Error("locked by two failures")
	}
	if err := a.Succeeded(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	if fail(a, "r") || fail(b, "r") || !fail(a, "r") {
		t.Error("a success has not forgotten")
	}
}

// TestGuessesInParallel: of many at once, at all nodes, no more are admitted than lock.
func TestGuessesInParallel(t *testing.T) {
	limits := store.LoginLimits{Failures: 5, Window: time.Minute, LockFor: time.Minute}
	nodes := []*redis.Logins{join(t, "a", plain(server)).Logins(limits), join(t, "b", plain(server)).Logins(limits)}
	var mu sync.Mutex
	admitted, locked := 0, 0
	var guessing sync.WaitGroup
	for i := range 8 {
		guessing.Go(func() {
			for range 10 {
				attempt, wait, err := nodes[i%2].Begin(t.Context(), "p")
				if err != nil {
					t.Error(err)
				}
				if wait > 0 || err != nil {
					continue
				}
				isLock, err := nodes[i%2].Failed(t.Context(), "p", attempt)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				admitted++
				if isLock {
					locked++
				}
				mu.Unlock()
			}
		})
	}
	guessing.Wait()
	if admitted != 5 || locked != 1 {
		t.Errorf("%d guesses were admitted, and %d locked", admitted, locked)
	}
}

// TestLocksEnd after their time.
func TestLocksEnd(t *testing.T) {
	logins := join(t, "a", plain(server)).Logins(store.LoginLimits{Failures: 1, Window: time.Minute, LockFor: 200 * time.Millisecond})
	attempt, _, err := logins.Begin(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	if locked, err := logins.Failed(t.Context(), "p", attempt); err != nil || !locked {
		t.Fatalf("locked %t, %v", locked, err)
	}
	eventually(t, "the lock is over", func() bool {
		_, wait, err := logins.Begin(t.Context(), "p")
		return err == nil && wait == 0
	})
}

func TestClosedClient(t *testing.T) {
	n := join(t, "a", plain(server))
	for range 2 {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	n.TellRevision(1)
	if _, err := n.Counts("x").Add(t.Context(), time.Minute, map[string]uint64{"k": 1}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
	if h := n.Health(); h.State != store.HealthAway {
		t.Errorf("health %+v", h)
	}
}
