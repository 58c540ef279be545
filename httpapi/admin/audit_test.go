package admin_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

type auditBody struct {
	Items []store.AuditEntry `json:"items"`
	Next  string             `json:"next"`
}

func TestAudit(t *testing.T) {
	s := newSite(t)
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 30 {
		e := store.AuditEntry{At: start.Add(time.Duration(i) * time.Hour), Actor: "account:ada", Action: "binding.ban", Target: fmt.Sprintf("binding:%d", i%3)}
		if i%2 == 0 {
			e.Actor, e.Action, e.ClientIP = "local", "account.create", netip.MustParseAddr(clientIP)
		}
		_, err := s.store.AppendAudit(t.Context(), e)
		must(t, err)
	}
	at := func(hour int) string { return start.Add(time.Duration(hour) * time.Hour).Format(time.RFC3339) }
	for name, test := range map[string]struct {
		query string
		want  int
	}{
		"all":             {query("limit", "1000"), 30},
		"default":         {"", 30},
		"actor":           {query("actor", "local"), 15},
		"action":          {query("action", "binding.ban"), 15},
		"actions":         {query("action", "account."), 15},
		"target":          {query("target", "binding:1"), 10},
		"time":            {query("since", at(10), "until", at(20)), 10},
		"time with zone":  {query("since", "2026-03-01T18:00:00+08:00"), 20},
		"several filters": {query("actor", "local", "target", "binding:0"), 5},
		"none":            {query("actor", "account:nobody"), 0},
	} {
		var got auditBody
		s.call(account.Admin, "GET", "/audit"+test.query, nil).want(http.StatusOK).into(&got)
		if len(got.Items) != test.want || got.Next != "" {
			t.Errorf("%s: got %d entries, next %q; want %d", name, len(got.Items), got.Next, test.want)
		}
	}
	var seen []uint64
	for next := ""; ; {
		var got auditBody
		q := query("limit", "7")
		if next != "" {
			q = query("limit", "7", "after", next)
		}
		s.call(account.Admin, "GET", "/audit"+q, nil).want(http.StatusOK).into(&got)
		for _, e := range got.Items {
			seen = append(seen, e.ID)
		}
		if next = got.Next; next == "" {
			break
		}
	}
	if len(seen) != 30 || seen[0] != 30 || seen[29] != 1 {
		t.Errorf("got IDs %v page by page, want 30 down to 1", seen)
	}
	s.wantTrailLength(30)
}

func (s *site) wantTrailLength(want int) {
	s.t.Helper()
	if got := len(s.trail()); got != want {
		s.t.Errorf("got %d entries, want %d: reading is no act", got, want)
	}
}

func TestBadAuditQueries(t *testing.T) {
	s := newSite(t)
	for location, q := range map[string]string{
		"query.limit": query("limit", "0"), "query.after": query("after", "x"), "query.since": query("since", "yesterday"),
		"query.until": query("since", "2026-01-02T00:00:00Z", "until", "2026-01-01T00:00:00Z"), "query.actor": query("actor", string(make([]byte, 200))),
	} {
		s.call(account.Admin, "GET", "/audit"+q, nil).wantFault(http.StatusUnprocessableEntity, "invalid", location)
	}
}
