//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/upstream"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

func TestQuantile(t *testing.T) {
	var r loadResult
	if got := r.quantile(0.5); got != 0 {
		t.Errorf("of nothing: got %v", got)
	}
	for i := range 100 {
		r.latencies = append(r.latencies, time.Duration(i+1)*time.Millisecond)
	}
	for _, test := range []struct{ share, want float64 }{{0, 1}, {0.5, 51}, {0.99, 100}, {1, 100}} {
		if got := r.quantile(test.share); got != test.want {
			t.Errorf("quantile(%v): got %v, want %v", test.share, got, test.want)
		}
	}
}

// TestAuthService has the peer refuse what Sentinel would.
func TestAuthService(t *testing.T) {
	s := newAuthService(2, netip.PrefixFrom(home, 32))
	for _, test := range []struct {
		name, authorization, ip string
		want                    int
	}{
		{"bound", "Bearer " + wire.Key(storedSeries, 1), home.String(), 204},
		{"elsewhere", "Bearer " + wire.Key(storedSeries, 1), other.String(), 403},
		{"unknown", "Bearer " + wire.Key(storedSeries, 2), home.String(), 403},
		{"no key", "", home.String(), 403},
		{"no address", "Bearer " + wire.Key(storedSeries, 1), "", 403},
	} {
		r := httptest.NewRequest(http.MethodGet, "/check", nil)
		r.Header.Set("Authorization", test.authorization)
		r.Header.Set("X-Real-IP", test.ip)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%s: got %d, want %d", test.name, w.Code, test.want)
		}
	}
}

// TestStreamsTellWhatComes holds the streams for longer and longer, until what is to be
// seen has come.
func TestStreamsTellWhatComes(t *testing.T) {
	const n, longest = 5, 10 * time.Second
	try := func(hold time.Duration, first func(up *upstream.Server) error) (streamsSeen, error) {
		up, err := startUpstream()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = up.Close() }()
		l := streamLoad{addr: up.Addr(), n: n, interval: time.Millisecond, opening: time.Millisecond}
		return l.run(t.Context(), func(ctx context.Context) error { return errors.Join(first(up), pause(ctx, hold)) })
	}
	for _, test := range []struct {
		name  string
		first func(up *upstream.Server) error
		cut   int
	}{
		{"to the end", func(*upstream.Server) error { return nil }, 0},
		{"the downstream ends", (*upstream.Server).Close, n},
	} {
		for hold := 10 * time.Millisecond; ; hold *= 2 {
			seen, err := try(hold, test.first)
			if err != nil || len(seen.firstBytes) != n || seen.firstBytes[0] <= 0 || seen.cut > test.cut {
				t.Fatalf("%s: got %d first bytes, %d cut, %v", test.name, len(seen.firstBytes), seen.cut, err)
			}
			if seen.cut == test.cut && (test.cut > 0 || len(seen.delays) > 0 && seen.delays[0] > 0) {
				break
			}
			if hold > longest {
				t.Fatalf("%s: got %d delays, %d cut, want %d", test.name, len(seen.delays), seen.cut, test.cut)
			}
		}
	}
}

func TestEventsAreReadAsTheyWereSent(t *testing.T) {
	sent := time.Unix(1_700_000_000, 123)
	line, blank, _ := bytes.Cut(appendEvent(nil, 42, sent), []byte("\n"))
	if n, at, err := parseEvent(line); err != nil || n != 42 || !at.Equal(sent) || !isEvent(line) || string(blank) != "\n" {
		t.Errorf("got %d, %v, %v of %q and %q", n, at, err, line, blank)
	}
	for _, bad := range []string{"", "data: x\n", eventBegin + "1\n", eventBegin + "1" + eventMiddle + "x" + eventEnd, eventBegin + "x" + eventMiddle + "1" + eventEnd} {
		if n, sent, err := parseEvent([]byte(bad)); err == nil {
			t.Errorf("%q: got %d, %v, want an error", bad, n, sent)
		}
	}
}

func TestPacedLoadKeepsItsRate(t *testing.T) {
	up, err := startUpstream()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.Close() }()
	l := load{addr: up.Addr(), from: home, want: 200, conns: 2, rate: 500, total: 50, request: chatWith(func(i int) string { return wire.Key("t", i) })}
	if r, err := l.run(t.Context()); err != nil || r.requests != 50 || r.elapsed < 98*time.Millisecond {
		t.Errorf("got %d requests in %v, %v, want 50 in no less than 98 ms", r.requests, r.elapsed, err)
	}
}

func TestLoadCountsAndStops(t *testing.T) {
	up, err := startUpstream()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.Close() }()
	request := chatWith(func(i int) string { return wire.Key("t", i) })
	r, err := load{addr: up.Addr(), from: home, want: 200, total: 500, request: request}.run(t.Context())
	if err != nil || r.requests != 500 || len(r.latencies) != 500 || !slices.IsSorted(r.latencies) {
		t.Errorf("got %d requests, %d latencies, %v", r.requests, len(r.latencies), err)
	}
	r, err = load{addr: up.Addr(), from: home, want: 200, lasts: time.Millisecond, request: request}.run(t.Context())
	if err != nil || r.elapsed < time.Millisecond {
		t.Errorf("got %v, %v", r.elapsed, err)
	}
	if _, err := (load{addr: up.Addr(), from: home, want: 403, total: 5, request: request}).run(t.Context()); err == nil {
		t.Error("no error for answers of another status")
	}
	if _, err := (load{addr: up.Addr(), from: home, want: 200, request: request}).run(t.Context()); err == nil {
		t.Error("no error for a load without an end")
	}
}
