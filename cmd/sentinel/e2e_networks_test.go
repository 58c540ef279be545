package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// guarded is a Sentinel of which every answer is held against what sentinel
// bindings explain says of it.
type guarded struct {
	sentinelProcess
	data string
	api  *client.Client
}

func startGuarded(t *testing.T, downstream, data string, more ...string) guarded {
	t.Helper()
	p := startSentinel(t, downstream, append(more, "SENTINEL_DATA_DIR="+data)...)
	api := client.Local(data)
	t.Cleanup(api.Close)
	return guarded{p, data, api}
}

// use makes a request, which must be answered with a status, after asking what
// would become of it.
func (g guarded) use(ip, key string, status int, headers ...string) (body string) {
	g.t.Helper()
	x, err := g.api.Explain(g.t.Context(), key, "", ip)
	must(g.t, err)
	if x.Value.Passes != (status == http.StatusOK) {
		g.t.Errorf("from %s: explained as %+v, want %d", ip, x.Value, status)
	}
	r := withKey(g.t, "GET", g.url+"/v1/models", key)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := from(g.t, ip).Do(r)
	must(g.t, err)
	raw, err := io.ReadAll(res.Body)
	must(g.t, err)
	must(g.t, res.Body.Close())
	if res.StatusCode != status {
		g.t.Fatalf("from %s: got %d %s, want %d", ip, res.StatusCode, raw, status)
	}
	if status != http.StatusOK && !strings.Contains(string(raw), `"`+x.Value.Reason+`"`) {
		g.t.Errorf("from %s: got %s, explained as %q", ip, raw, x.Value.Reason)
	}
	return string(raw)
}

// run runs a command of the real binary on the server's machine.
func (g guarded) run(code int, stdin string, args ...string) (stdout, stderr string) {
	g.t.Helper()
	got, stdout, stderr := runSentinel(g.t, stdin, append(args, "--data-dir", g.data)...)
	if got != code {
		g.t.Fatalf("%v: got %d, %q, %q, want %d", args, got, stdout, stderr, code)
	}
	return stdout, stderr
}

// stream opens an answer that goes on for minutes, and returns once it has begun.
func (g guarded) stream(ip, key string) *http.Response {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), "POST", g.url+"/v1/chat/completions", strings.NewReader(`{"model":"demo-slow","stream":true}`))
	must(g.t, err)
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := from(g.t, ip).Do(r)
	must(g.t, err)
	g.t.Cleanup(func() { _ = res.Body.Close() })
	if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil || res.StatusCode != http.StatusOK {
		g.t.Fatalf("stream from %s: got %d, %v", ip, res.StatusCode, err)
	}
	return res
}

// ended waits for the end of a stream, which must be cut.
func (g guarded) ended(res *http.Response) {
	g.t.Helper()
	cut := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, res.Body)
		cut <- err
	}()
	select {
	case err := <-cut:
		if err == nil {
			g.t.Error("the stream ended as if it were whole")
		}
	case <-time.After(patience):
		g.t.Fatal("the stream was not cut")
	}
}

// record waits for a record of a reason.
func (g guarded) record(reason string) client.Intercept {
	g.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		for page, err := range g.api.Logs(g.t.Context(), client.LogFilter{Reason: reason}, 1) {
			must(g.t, err)
			if len(page.Items) > 0 {
				return page.Items[0].Value
			}
		}
	}
	g.t.Fatalf("no record of %s", reason)
	return client.Intercept{}
}

// TestNetworkIsEditedUnderLoad changes a network while 64 connections use keys that
// name it.
func TestNetworkIsEditedUnderLoad(t *testing.T) {
	const (
		owner, member, moving = "127.0.0.9", "127.0.0.2", "127.0.0.3"
		connections, edits    = 64, 20
	)
	var keys []string
	for i := range 8 {
		keys = append(keys, testKey(9820+i))
	}
	g := startGuarded(t, startGateway(t, keys...).url, t.TempDir(), "SENTINEL_BIND_RULE=@office")
	g.run(exitOK, "", "networks", "set", "office", "--prefix", member)
	for _, key := range keys {
		g.use(owner, key, http.StatusOK)
		g.use(moving, key, http.StatusForbidden)
	}
	staying := g.stream(member, keys[0])
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for i := range connections {
		ip, key := member, keys[i%len(keys)]
		if i%2 == 1 {
			ip = moving
		}
		workers.Go(func() { g.load(stop, ip, key, ip == member) })
	}
	for range edits {
		g.run(exitOK, "", "networks", "add", "office", moving)
		g.use(moving, keys[1], http.StatusOK)
		cut := g.stream(moving, keys[2])
		g.run(exitOK, "", "networks", "remove-prefix", "office", moving+"/32")
		g.use(moving, keys[1], http.StatusForbidden)
		g.ended(cut)
	}
	close(stop)
	workers.Wait()
	if _, err := io.ReadFull(staying.Body, make([]byte, 1)); err != nil {
		t.Errorf("a stream that matched all the time was cut: %v", err)
	}
	if rec := g.record("stream_cut"); rec.ClientIP != moving || rec.Basis.Kind != "rule" {
		t.Errorf("got record %+v", rec)
	}
}

// load makes one request after the other on one connection. From an address that
// the network has all the time each must pass.
func (g guarded) load(stop <-chan struct{}, ip, key string, mustPass bool) {
	caller := from(g.t, ip)
	for {
		select {
		case <-stop:
			return
		default:
		}
		res, err := caller.Do(withKey(g.t, "GET", g.url+"/v1/models", key))
		status := 0
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			status = res.StatusCode
		}
		switch {
		case mustPass && (err != nil || status != http.StatusOK):
			g.t.Errorf("from %s: got %d, %v", ip, status, err)
			return
		case !mustPass && err == nil && status != http.StatusOK && status != http.StatusForbidden:
			g.t.Errorf("from %s: got %d", ip, status)
			return
		}
	}
}

func TestNetworkIsRemoved(t *testing.T) {
	const owner, member = "127.0.0.9", "127.0.0.2"
	key := testKey(9830)
	g := startGuarded(t, startGateway(t, key).url, t.TempDir(), "SENTINEL_BIND_RULE=@office+@vpn")
	for _, name := range []string{"office", "vpn"} {
		g.run(exitOK, "", "networks", "set", name, "--prefix", member)
	}
	g.use(owner, key, http.StatusOK)
	g.use(member, key, http.StatusOK)
	if _, stderr := g.run(exitRefused, "", "networks", "delete", "office"); !strings.Contains(stderr, "rule of one binding") {
		t.Errorf("got %q", stderr)
	}
	if _, stderr := g.run(exitOK, "", "networks", "delete", "office", "--rules", "drop"); !strings.Contains(stderr, "SENTINEL_BIND_RULE still names it") {
		t.Errorf("got %q", stderr)
	}
	g.use(member, key, http.StatusOK) // by the other one
	g.run(exitOK, "", "networks", "delete", "vpn", "--rules", "inline")
	g.use(member, key, http.StatusOK)
	if text, _ := g.run(exitOK, "", "bindings", "explain", "9830", member); !strings.Contains(text, "in a prefix of the rule") {
		t.Errorf("got %q", text)
	}
	g.run(exitOK, "", "networks", "set", "office", "--prefix", member)
	g.run(exitOK, "", "bindings", "set", "9830", "--network", "office", "--prefix", owner)
	g.use(member, key, http.StatusOK)
	g.run(exitOK, "", "networks", "delete", "office", "--rules", "drop")
	g.use(member, key, http.StatusForbidden)
	g.use(owner, key, http.StatusOK)
	if text, _ := g.run(exitOK, "", "networks", "list", "--output", "csv"); strings.Count(text, "\n") != 1 {
		t.Errorf("got %q, want no network", text)
	}
}

func TestExceptionFromARecordOfARefusal(t *testing.T) {
	key := testKey(9831)
	g := startGuarded(t, startGateway(t, key).url, t.TempDir())
	g.use(homeIP, key, http.StatusOK)
	g.use(elsewhereIP, key, http.StatusForbidden)
	rec := g.record("ip_not_allowed")
	if rec.Basis != (client.Basis{Kind: "rule", Name: "single"}) {
		t.Errorf("got %+v", rec)
	}
	var x client.Exception
	out, _ := g.run(exitOK, "", "exceptions", "add", "--intercept", fmt.Sprint(rec.ID), "--for", "8h", "--output", "json")
	must(t, json.Unmarshal([]byte(out), &x))
	g.use(elsewhereIP, key, http.StatusOK)
	running := g.stream(elsewhereIP, key)
	g.run(exitOK, "", "exceptions", "end", x.ID)
	g.ended(running)
	g.use(elsewhereIP, key, http.StatusForbidden)
	g.run(exitRefused, "", "exceptions", "end", x.ID)

	short, err := g.api.CreateException(t.Context(), client.NewException{Hash: rec.Hash, Prefix: elsewhereIP, Until: time.Now().Add(2 * time.Second)})
	must(t, err)
	running = g.stream(elsewhereIP, key)
	g.ended(running) // by itself
	if left := time.Until(short.Value.Until); left > 0 {
		t.Errorf("the stream was cut %s before the end of its exception", left)
	}
	if cut := g.record("stream_cut"); cut.ClientIP != elsewhereIP || cut.Basis.Kind != "rule" {
		t.Errorf("got %+v", cut)
	}
	g.run(exitWouldRefuse, "", "bindings", "explain", "9831", elsewhereIP)
	g.run(exitOK, "", "bindings", "ban", "9831", "--yes")
	if _, stderr := g.run(exitRefused, "", "exceptions", "add", "9831", elsewhereIP, "--for", "1h"); !strings.Contains(stderr, "lift the ban") {
		t.Errorf("got %q", stderr)
	}
	g.use(homeIP, key, http.StatusForbidden)
}

// TestBlockedNetworks imports a hundred thousand of them, and starts anew.
func TestBlockedNetworks(t *testing.T) {
	const listed = "127.0.0.5"
	known, unknown := testKey(9832), testKey(9833)
	gateway := startGateway(t, known, unknown)
	data := t.TempDir()
	g := startGuarded(t, gateway.url, data)
	g.use(listed, known, http.StatusOK)
	open := g.stream(listed, known)
	var list bytes.Buffer
	fmt.Fprintln(&list, listed, "# ours")
	for i := range 99_999 {
		fmt.Fprintln(&list, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	file := filepath.Join(t.TempDir(), "list.txt")
	must(t, os.WriteFile(file, list.Bytes(), 0o600))
	if _, stderr := g.run(exitOK, "", "blocked", "import", file, "--note", "feed"); !strings.Contains(stderr, "100,000 blocked anew") {
		t.Errorf("got %q", stderr)
	}
	g.ended(open)
	check := func(status int) {
		t.Helper()
		g.use(listed, known, status)
		g.use(listed, unknown, status)
		res, err := from(t, listed).Get(g.url + "/api/status")
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != status {
			t.Errorf("without a key: got %d, want %d", res.StatusCode, status)
		}
	}
	check(http.StatusForbidden)
	if n := gateway.uses(unknown); n != 0 {
		t.Errorf("the gateway has seen the unknown key %d times", n)
	}
	if rec := g.record("network_blocked"); rec.Basis != (client.Basis{Kind: "blocked_network", Name: listed + "/32"}) {
		t.Errorf("got %+v", rec)
	}
	must(t, g.stop())
	g = startGuarded(t, gateway.url, data)
	check(http.StatusForbidden)
	if text, _ := g.run(exitOK, "", "blocked", "export"); strings.Count(text, "\n") != 100_000 {
		t.Errorf("exported %d", strings.Count(text, "\n"))
	}
	g.run(exitOK, "", "exceptions", "add", "9832", listed, "--for", "1h")
	g.use(listed, known, http.StatusOK) // which is stronger
	g.run(exitOK, "", "blocked", "remove", listed)
	g.run(exitNotFound, "", "blocked", "remove", listed)
	check(http.StatusOK)
	g.run(exitRefused, "", "blocked", "add", "10.0.0.1/8")
}
