package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
)

func TestRuleThatLearns(t *testing.T) {
	key, late := testKey(9834), testKey(9835)
	gateway := startGateway(t, key, late)
	data := t.TempDir()
	g := startGuarded(t, gateway.url, data, "SENTINEL_BIND_RULE=learn:3/1h")
	g.use("127.0.0.2", key, http.StatusOK)
	g.use("127.0.0.3", key, http.StatusOK)
	must(t, g.stop())
	g = startGuarded(t, gateway.url, data, "SENTINEL_BIND_RULE=learn:3/3s")
	g.use("127.0.0.4", key, http.StatusOK)
	g.use("127.0.0.5", key, http.StatusForbidden)
	for _, ip := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		g.use(ip, key, http.StatusOK)
	}
	g.use("127.0.0.2", late, http.StatusOK)
	for deadline := time.Now().Add(patience); ; {
		x, err := g.api.Explain(t.Context(), late, "", "127.0.0.3")
		must(t, err)
		if !x.Value.Passes {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the rule learns for ever")
		}
	}
	g.use("127.0.0.3", late, http.StatusForbidden)
	g.use("127.0.0.2", late, http.StatusOK)
}

func TestRuleOfNewKeysByHint(t *testing.T) {
	anywhere, single := testKey(9836), testKey(9837)
	g := startGuarded(t, startGateway(t, anywhere, single).url, t.TempDir(), "SENTINEL_BIND_RULE=*9836=all, single")
	for _, key := range []string{anywhere, single} {
		g.use(homeIP, key, http.StatusOK)
	}
	g.use(elsewhereIP, anywhere, http.StatusOK)
	g.use(elsewhereIP, single, http.StatusForbidden)
	third := testKey(9838)
	if x, err := g.api.Explain(t.Context(), third, "", homeIP); err != nil || !strings.Contains(x.Value.Sentence, "bind it to "+homeIP+"/32") {
		t.Errorf("got %+v, %v", x.Value, err)
	}
	if _, stderr := g.run(exitRefused, "", "settings", "set", "SENTINEL_BIND_RULE=sk-ci*=every"); !strings.Contains(stderr, "is no rule") {
		t.Errorf("got %q", stderr)
	}
	g.run(exitOK, "", "settings", "set", "SENTINEL_BIND_RULE=all")
	if x, err := g.api.Explain(t.Context(), third, "", homeIP); err != nil || !strings.Contains(x.Value.Sentence, "from anywhere") {
		t.Errorf("got %+v, %v", x.Value, err)
	}
}

// webhook returns a receiver of alerts, and a wait for one of a kind.
func webhook(t *testing.T) (url string, wait func(alert.Kind) alert.Body) {
	t.Helper()
	heard := make(chan alert.Body, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got alert.Body
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		heard <- got
	}))
	t.Cleanup(receiver.Close)
	return receiver.URL, func(kind alert.Kind) alert.Body {
		t.Helper()
		for deadline := time.After(patience); ; {
			select {
			case got := <-heard:
				if got.Alert != nil && got.Alert.Kind == kind {
					return got
				}
			case <-deadline:
				t.Fatalf("waited in vain for %s", kind)
			}
		}
	}
}

// TestFirstUseFromAProxyItself has the proxy name itself as the client.
func TestFirstUseFromAProxyItself(t *testing.T) {
	key := testKey(9839)
	gateway := startGateway(t, key)
	url, wait := webhook(t)
	data := t.TempDir()
	g := startGuarded(t, gateway.url, data, "TRUSTED_PROXY_IPS="+homeIP, "ALERT_WEBHOOK_URL="+url)
	g.use(homeIP, key, http.StatusOK, "X-Real-IP: "+homeIP)
	if got := wait(alert.FirstUseHeld); !strings.Contains(got.Text, "SENTINEL_REAL_IP_HEADER") || strings.Contains(got.Text, key) {
		t.Errorf("got %q", got.Text)
	}
	if text, _ := g.run(exitOK, "", "bindings", "list", "--output", "json"); text != "" {
		t.Errorf("the key was bound: %s", text)
	}
	g.run(exitOK, "", "settings", "set", "SENTINEL_BIND_GUARD=refuse")
	if body := g.use(homeIP, key, http.StatusForbidden, "X-Real-IP: "+homeIP); !strings.Contains(body, `"first_use_held"`) {
		t.Errorf("got %s", body)
	}
	g.run(exitOK, "", "settings", "set", "SENTINEL_BIND_GUARD=off")
	g.use(homeIP, key, http.StatusOK, "X-Real-IP: "+homeIP)
	if text, _ := g.run(exitOK, "", "bindings", "list", "--output", "json"); !strings.Contains(text, homeIP) {
		t.Errorf("without the guard: got %q, want the key to be bound", text)
	}
}

func TestManyFirstUsesOfOneAddress(t *testing.T) {
	var keys []string
	for i := range 8 {
		keys = append(keys, testKey(9840+i))
	}
	gateway := startGateway(t, keys...)
	url, wait := webhook(t)
	g := startGuarded(t, gateway.url, t.TempDir(), "SENTINEL_BIND_BURST=3", "ALERT_WEBHOOK_URL="+url)
	for _, key := range keys[:4] {
		g.use(elsewhereIP, key, http.StatusOK)
	}
	if got := wait(alert.ManyBindings); !strings.Contains(got.Text, "TRUSTED_PROXY_IPS") || !strings.Contains(got.Text, elsewhereIP) {
		t.Errorf("got %q", got.Text)
	}
	g.run(exitOK, "", "settings", "set", "SENTINEL_BIND_BURST_ACTION=hold", "SENTINEL_BIND_GUARD=refuse")
	g.use(elsewhereIP, keys[4], http.StatusForbidden)
	g.use(homeIP, keys[4], http.StatusOK)
	g.use(elsewhereIP, keys[0], http.StatusOK) // it is bound
	g.run(exitOK, "", "networks", "set", "office", "--prefix", elsewhereIP, "--shared")
	g.use(elsewhereIP, keys[5], http.StatusOK)
	shown, _ := g.run(exitOK, "", "networks", "show", "office", "--output", "json")
	var n client.Network
	if must(t, json.Unmarshal([]byte(shown), &n)); !n.Shared || !slices.Equal(n.Prefixes, []string{elsewhereIP + "/32"}) {
		t.Errorf("got %+v", n)
	}
}
