package admin_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

type replayBody struct {
	Checked, Keys, PassedKeys             int
	Refused, RefusedThen, Passed, Omitted uint64
	Rows                                  []struct {
		Hash, Hint, Network, Would, Did string
		Count                           uint64
	}
	Uncertain struct {
		Requests, Unbound uint64
		UsesFrom          time.Time
		UnknownNetworks   []string
	}
}

func (s *site) replay(path string, body map[string]any) replayBody {
	s.t.Helper()
	var got replayBody
	s.call(account.Viewer, "POST", path, body).want(http.StatusOK).into(&got)
	return got
}

// TestReplay replays uses and intercepts for all keys, for chosen ones, and for one.
func TestReplay(t *testing.T) {
	s := newSite(t)
	at := s.now()
	since := at.Add(-time.Hour).Format(time.RFC3339)
	one, two := s.bind(1), s.bind(2)
	s.use(one, 5, at)
	s.use(two, 7, at)
	rec := store.Intercept{Hash: two.Hash, Hint: two.Hint, At: at, Last: at, Count: 3, Reason: store.ReasonIPNotAllowed, ClientIP: netip.MustParseAddr("203.0.113.1")}
	must(t, s.store.PutIntercepts(t.Context(), []store.Intercept{rec}))

	got := s.replay("/replay", map[string]any{"since": since})
	if got.Refused != 3 || got.RefusedThen != 3 || got.Keys != 1 || got.Checked != 2 || len(got.Rows) != 1 || got.Uncertain.UnknownNetworks == nil ||
		got.Rows[0].Network != "203.0.113.1/32" || got.Rows[0].Would != "refuse" || got.Rows[0].Did != "refuse" || got.Rows[0].Hint != two.Hint {
		t.Errorf("the rules as they are: got %+v", got)
	}
	rule := single("203.0.113.0/24")
	got = s.replay("/replay", map[string]any{"since": since, "rule": rule, "rows": 1})
	if got.Refused != 12 || got.RefusedThen != 0 || got.Keys != 2 || got.Passed != 3 || got.PassedKeys != 1 || len(got.Rows) != 1 || got.Omitted != 8 {
		t.Errorf("another rule: got %+v", got)
	}
	for _, body := range []map[string]any{{"hashes": []string{two.Hash.String()}}, {"filter": map[string]any{"label": "team 2"}}} {
		body["since"], body["rule"] = since, rule
		if got := s.replay("/replay", body); got.Refused != 7 || got.Checked != 1 || got.Passed != 3 {
			t.Errorf("chosen with %v: got %+v", body, got)
		}
	}
	got = s.replay("/bindings/"+one.Hash.String()+"/replay", map[string]any{"since": since, "rule": rule})
	if got.Refused != 5 || got.Passed != 0 || got.Rows[0].Network != "10.9.8.7/32" || got.Rows[0].Did != "pass" {
		t.Errorf("of one key: got %+v", got)
	}
	got = s.replay("/replay", map[string]any{"since": "2020-01-01T00:00:00Z"})
	if got.Uncertain.UsesFrom.IsZero() {
		t.Errorf("since long ago: got %+v", got)
	}
	s.wantTrail(0)
}

func TestBadReplays(t *testing.T) {
	s := newSite(t)
	b := s.bind(1)
	past := "2026-01-01T00:00:00Z"
	for _, c := range []struct {
		path     string
		body     map[string]any
		location string
	}{
		{"/replay", map[string]any{}, "body"}, // no time
		{"/replay", map[string]any{"since": "2999-01-01T00:00:00Z"}, "body.since"},
		{"/replay", map[string]any{"since": "1066-01-01T00:00:00Z"}, "body.since"},
		{"/replay", map[string]any{"since": past, "hashes": []string{b.Hash.String()}, "filter": map[string]any{"label": "x"}}, "body.filter"},
		{"/replay", map[string]any{"since": past, "rule": map[string]any{"kind": "single"}}, "body.rule"},
		{"/replay", map[string]any{"since": past, "filter": map[string]any{"network": "x"}}, "body.filter.network"},
		{"/replay", map[string]any{"since": past, "rows": 1001}, "body.rows"},
		{"/bindings/x/replay", map[string]any{"since": past}, "path.hash"},
	} {
		s.call(account.Viewer, "POST", c.path, c.body).wantFault(422, "invalid", c.location)
	}
	s.call(account.Viewer, "POST", "/bindings/"+hashOf(9).String()+"/replay", map[string]any{"since": past}).wantFault(404, "not_found")
}
