package alert_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt" //nolint:depguard // a kill needs a store that outlives the process
)

// childEnv makes the test binary a child process, which sends to the URL in it.
const childEnv = "SENTINEL_ALERT_TEST_CHILD"

func TestMain(m *testing.M) {
	if url := os.Getenv(childEnv); url != "" {
		if err := alertForever(os.Args[len(os.Args)-2], os.Args[len(os.Args)-1], url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func openOn(path, url string) (*bolt.Store, *alert.Center, error) {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return nil, nil, err
	}
	settings := alert.DefaultSettings()
	settings.Window, settings.WebhookURL = time.Second, url
	c, err := alert.New(context.Background(), alert.Options{
		Documents: s, Logger: slog.New(slog.DiscardHandler), Key: bytes.Repeat([]byte{1}, 32), Settings: settings,
	})
	return s, c, err
}

// alertsEach is how many keys each process has for itself: in all fewer than
// would make the oldest deliveries be forgotten.
const alertsEach = 12

// alertForever raises alerts until it is killed: some of keys of its own, one
// every few milliseconds, and one that goes on through all processes.
func alertForever(path, name, url string) error {
	_, c, err := openOn(path, url)
	if err != nil {
		return err
	}
	refuse := func(name string) {
		var hash store.KeyHash
		copy(hash[:], name)
		now := time.Now()
		c.Intercept(store.Intercept{
			At: now, Last: now, Reason: store.ReasonIPNotAllowed, Hash: hash, Hint: name, ClientIP: netip.MustParseAddr("203.0.113.9"),
		}, 5)
	}
	tick := time.NewTicker(15 * time.Millisecond)
	for n := 0; ; n++ {
		if n < alertsEach {
			refuse(fmt.Sprintf("%s-%d", name, n))
		}
		refuse("all")
		<-tick.C
	}
}

// hook is a receiver that fails now and then.
type hook struct {
	mu    sync.Mutex
	calls int
	taken map[string]int // by the ID of the delivery
	got   chan struct{}  // tells of each one taken, if somebody waits
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var b alert.Body
	text, err := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	if err != nil || json.Unmarshal(text, &b) != nil || b.ID == "" || b.ID != r.Header.Get(send.HeaderDelivery) {
		return // the client was killed while it wrote
	}
	if h.calls%29 == 0 {
		w.WriteHeader(http.StatusUnprocessableEntity) // so that only this one waits
		return
	}
	h.taken[b.ID]++
	select {
	case h.got <- struct{}{}:
	default:
	}
}

// TestKill kills a process in the middle of its work, again and again. In the
// end there is one delivery of each transition of each alert; each has arrived;
// the receiver was told of nothing that is not in the store; and no more than
// what was under way at a kill came twice.
func TestKill(t *testing.T) {
	const rounds = 8
	h := &hook{taken: map[string]int{}, got: make(chan struct{})}
	server := httptest.NewServer(h)
	defer server.Close()
	path := filepath.Join(t.TempDir(), bolt.FileName)
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		killAfter(t, h, path, server.URL, fmt.Sprint(round), 1+rnd.IntN(15))
	}
	s, c, err := openOn(path, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	waitFor(t, func() bool {
		stats := c.Stats()
		return stats.Open == 0 && stats.Pending == 0 && len(c.List(alert.Filter{}).Alerts) > 0
	})
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkKilled(t, s, h, rounds)
}

// killAfter lets a process work until the receiver has taken so many messages.
func killAfter(t *testing.T, h *hook, path, url, name string, messages int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], path, name) // #nosec G702 -- the test binary itself
	cmd.Env = append(os.Environ(), childEnv+"="+url)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range messages {
		select {
		case <-h.got:
		case <-time.After(20 * time.Second):
			t.Fatal("no message")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", cmd.ProcessState)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it takes too long")
		}
	}
}

func checkKilled(t *testing.T, s *bolt.Store, h *hook, kills int) {
	t.Helper()
	deliveries := map[string]alert.Delivery{}
	list(t, s, "delivery", func(d alert.Delivery) { deliveries[d.ID] = d })
	alerts := 0
	var through []alert.Alert // of the key that goes on
	list(t, s, "alert", func(a alert.Alert) {
		alerts++
		for n := range 2 { // opened, closed
			id := fmt.Sprintf("%s.%d.%s", a.ID, n, alert.EnvChannel)
			if d, ok := deliveries[id]; !ok || d.State != alert.Delivered || h.taken[id] == 0 {
				t.Errorf("%s: %+v, taken %d times", id, d, h.taken[id])
			}
		}
		if a.State != alert.Closed {
			t.Errorf("%s is %s", a.ID, a.State)
		}
		if a.Subject.Hint == "all" {
			through = append(through, a)
		}
	})
	if len(deliveries) != 2*alerts || alerts < 2*kills {
		t.Errorf("%d deliveries of %d alerts", len(deliveries), alerts)
	}
	again := 0
	for id, n := range h.taken {
		if _, ok := deliveries[id]; !ok {
			t.Errorf("the receiver was told of %s, which is not in the store", id)
		}
		again += n - 1
	}
	if again > kills {
		t.Errorf("%d messages came twice after %d kills", again, kills)
	}
	slices.SortFunc(through, func(a, b alert.Alert) int { return a.OpenedAt.Compare(b.OpenedAt) })
	for i := 1; i < len(through); i++ {
		if through[i].OpenedAt.Before(through[i-1].ClosedAt) {
			t.Errorf("two alerts of one key were open at a time: %+v, %+v", through[i-1], through[i])
		}
	}
	t.Logf("%d alerts, %d deliveries, %d came twice", alerts, len(deliveries), again)
}

func list[T any](t *testing.T, s *bolt.Store, kind string, each func(T)) {
	t.Helper()
	docs, err := s.ListDocuments(t.Context(), kind)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		var v T
		if err := json.Unmarshal(d.Body, &v); err != nil {
			t.Fatal(err)
		}
		each(v)
	}
}

// TestNoGoroutineIsLeft by a center with the real sender.
func TestNoGoroutineIsLeft(t *testing.T) {
	h := &hook{taken: map[string]int{}}
	server := httptest.NewServer(h)
	s, c, err := openOn(filepath.Join(t.TempDir(), bolt.FileName), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.Lockout("alice", netip.MustParseAddr("203.0.113.9"))
	waitFor(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.taken) > 0
	})
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	server.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	var stacks string
	waitFor(t, func() bool { // those of connections end when the other side has noticed
		buffer := make([]byte, 1<<20)
		stacks = string(buffer[:runtime.Stack(buffer, true)])
		return !strings.Contains(stacks, "engine/alert.(") && !strings.Contains(stacks, "net/http.(*persistConn)")
	})
}
