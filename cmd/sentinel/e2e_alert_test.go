package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert"
)

// TestRefusedKeysRaiseOneAlert uses a copied key until ALERT_THRESHOLD_COUNT is
// reached and beyond, kills Sentinel, and goes on.
func TestRefusedKeysRaiseOneAlert(t *testing.T) {
	key := testKey(9810)
	g := startGateway(t, key)
	type told struct {
		body string
		alert.Body
	}
	heard := make(chan told, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		got := told{body: string(raw)}
		if err != nil || json.Unmarshal(raw, &got.Body) != nil {
			t.Errorf("the receiver got %q, %v", raw, err)
		}
		heard <- got
	}))
	defer receiver.Close()
	data := t.TempDir()
	start := func() sentinelProcess {
		return startSentinel(t, g.url, "SENTINEL_DATA_DIR="+data, "ALERT_WEBHOOK_URL="+receiver.URL+"/hook",
			"ALERT_THRESHOLD_COUNT=3", "ALERT_THRESHOLD_SECONDS=600", "SENTINEL_ALERT_LANGUAGE=zh")
	}
	sentinel := start()
	use := func(ip string, want int) {
		t.Helper()
		if got := call(t, from(t, ip), "GET", sentinel.url+"/v1/models", key, nil); got.status != want {
			t.Fatalf("from %s: got %d, want %d", ip, got.status, want)
		}
	}
	use(homeIP, http.StatusOK)
	for range 4 {
		use(elsewhereIP, http.StatusForbidden)
	}
	var first string
	select {
	case got := <-heard:
		first = got.ID
		if got.Event != alert.Opened || got.Alert == nil || got.Alert.Kind != alert.KeyRefused || got.Alert.Count < 3 || !strings.Contains(got.Text, elsewhereIP) {
			t.Errorf("got %s", got.body)
		}
		if strings.Contains(got.body, key) {
			t.Error("the alert has the key in it")
		}
	case <-time.After(patience):
		t.Fatal("waited in vain for the alert")
	}
	must(t, sentinel.cmd.Process.Kill())
	<-sentinel.ended
	sentinel = start()
	for range 4 {
		use(elsewhereIP, http.StatusForbidden)
	}
	must(t, sentinel.stop())
	for len(heard) > 0 {
		if got := <-heard; got.ID != first { // the same one may come twice around a kill
			t.Errorf("told again: %s", got.body)
		}
	}
}

// TestInventedKeysRaiseOneAlert tries keys that the gateway does not know.
func TestInventedKeysRaiseOneAlert(t *testing.T) {
	g := startGateway(t, testKey(9811))
	heard := make(chan alert.Body, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got alert.Body
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		heard <- got
	}))
	defer receiver.Close()
	sentinel := startSentinel(t, g.url, "ALERT_WEBHOOK_URL="+receiver.URL)
	for i := range alert.DefaultSettings().UnknownKeyCount + 5 {
		if got := call(t, from(t, elsewhereIP), "GET", sentinel.url+"/v1/models", testKey(20_000+i), nil); got.status != http.StatusUnauthorized {
			t.Fatalf("got %d, want the gateway's 401", got.status)
		}
	}
	select {
	case got := <-heard:
		if got.Alert == nil || got.Alert.Kind != alert.UnknownKeys || !strings.Contains(got.Text, elsewhereIP) {
			t.Errorf("got %+v", got)
		}
	case <-time.After(patience):
		t.Fatal("waited in vain for the alert")
	}
	must(t, sentinel.stop())
	if n := len(heard); n > 0 {
		t.Errorf("told %d times more", n)
	}
}
