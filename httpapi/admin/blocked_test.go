package admin_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

type blockAnswer struct {
	Added, Replaced, Total int
	Warnings               spoken
}

type blockedList struct {
	Items []struct {
		Prefix, Note, By string
		Until            time.Time
	}
	Next  string
	Total int
}

// block makes a call that must succeed.
func (s *site) block(body map[string]any) (out blockAnswer) {
	s.t.Helper()
	s.call(account.Operator, "POST", "/blocked-networks", body).want(http.StatusOK).into(&out)
	return out
}

func TestBlockedNetworks(t *testing.T) {
	s := newSite(t)
	until := s.now().Add(time.Hour).UTC().Truncate(time.Second)
	got := s.block(map[string]any{
		"networks": []any{map[string]any{"prefix": "192.0.2.0/24", "note": "scanner", "until": until}, map[string]any{"prefix": "2001:db8::/32"}},
		"text":     "# a list\n203.0.113.7   # one address\n\n  192.0.2.128/25\r\n", "note": "from the list",
	})
	if got.Added != 4 || got.Total != 4 || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "192.0.2.128/25 is within 192.0.2.0/24") {
		t.Errorf("got %+v", got)
	}
	if got := s.block(map[string]any{"networks": []any{map[string]any{"prefix": "192.0.2.0/24", "note": "still"}}}); got.Added != 0 || got.Replaced != 1 || got.Total != 4 {
		t.Errorf("again: got %+v", got)
	}
	var list blockedList
	after := ""
	var prefixes []string
	for {
		s.call(account.Viewer, "GET", "/blocked-networks?limit=3&after="+after, nil).want(http.StatusOK).into(&list)
		for _, b := range list.Items {
			prefixes = append(prefixes, b.Prefix)
		}
		if after = list.Next; after == "" {
			break
		}
		list.Next = ""
	}
	if got := strings.Join(prefixes, " "); got != "192.0.2.0/24 192.0.2.128/25 203.0.113.7/32 2001:db8::/32" || list.Total != 4 {
		t.Errorf("got %s of %d", got, list.Total)
	}
	for query, want := range map[string]int{"text=LIST": 3, "text=still": 1, "network=192.0.2.200": 2, "network=198.51.100.0/24": 0, "text=203.0": 1} {
		if s.call(account.Viewer, "GET", "/blocked-networks?"+query, nil).want(http.StatusOK).into(&list); list.Total != want {
			t.Errorf("%s: got %d, want %d", query, list.Total, want)
		}
	}
	if a := s.call(account.Viewer, "GET", "/blocked-networks/export", nil).want(http.StatusOK); string(a.body) != strings.Join(prefixes, "\n")+"\n" {
		t.Errorf("got %q", a.body)
	}
	var gone struct {
		Removed int
		Missing []string
		Total   int
	}
	s.call(account.Operator, "POST", "/blocked-networks/remove", map[string]any{"prefixes": []string{"203.0.113.7", "10.0.0.0/8", "192.0.2.128/25"}}).want(http.StatusOK).into(&gone)
	if gone.Removed != 2 || len(gone.Missing) != 1 || gone.Total != 2 {
		t.Errorf("got %+v", gone)
	}
	s.wantTrail(0, "token:operator blocked.add", "token:operator blocked.add blocked:192.0.2.0/24", "token:operator blocked.remove")
	if e := s.trail()[1]; !strings.Contains(string(e.Before), "scanner") || !strings.Contains(string(e.After), "still") {
		t.Errorf("got %s, then %s", e.Before, e.After)
	}
}

func TestBadBlocks(t *testing.T) {
	s := newSite(t)
	one := func(fields ...string) map[string]any {
		n := map[string]any{}
		for pair := range slices.Chunk(fields, 2) {
			n[pair[0]] = pair[1]
		}
		return map[string]any{"networks": []any{map[string]any{"prefix": "192.0.2.1"}, n}}
	}
	past := s.now().Add(-time.Minute).Format(time.RFC3339)
	for location, body := range map[string]map[string]any{
		"body.networks[1].prefix": one("prefix", "10.0.0.1/8"),
		"body.networks[1].until":  one("prefix", "192.0.2.2", "until", past),
		"body.until":              {"text": "192.0.2.1", "until": past},
		"body.text, line 3":       {"text": "192.0.2.1\n#\nnonsense"},
		"body":                    {"text": "# nothing\n"},
	} {
		s.call(account.Operator, "POST", "/blocked-networks", body).wantFault(http.StatusUnprocessableEntity, "invalid", location)
	}
	for _, any := range []string{"0.0.0.0/0", "::/0"} {
		body := one("prefix", any)
		s.call(account.Operator, "POST", "/blocked-networks", body).wantFault(http.StatusUnprocessableEntity, "invalid", "body.networks[1].prefix")
		body["confirmAnySource"] = true
		if any == "0.0.0.0/0" { // the caller's own address is in it
			s.call(account.Operator, "POST", "/blocked-networks", body).wantFault(http.StatusConflict, "would_lock_out")
			body["force"] = true
		}
		s.block(body)
	}
	s.call(account.Operator, "POST", "/blocked-networks", map[string]any{"text": clientIP + "/32"}).wantFault(http.StatusConflict, "would_lock_out")
	s.call(account.Viewer, "POST", "/blocked-networks", one("prefix", "192.0.2.9")).wantFault(http.StatusForbidden, "forbidden")
	s.call(account.Viewer, "GET", "/blocked-networks?after=x", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.after")
}

func TestImportBlocked(t *testing.T) {
	s := newSite(t)
	var text strings.Builder
	text.WriteString("\ufeff# addresses\n")
	for i := range 2500 {
		fmt.Fprintln(&text, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	send := func(query, body string) *answer {
		return s.call(account.Operator, "POST", "/blocked-networks/import"+query, body, "Content-Type: text/plain")
	}
	send("", text.String()+"10.0.0.0/33\n").wantFault(http.StatusUnprocessableEntity, "invalid", "body, line 2502")
	if n := s.engine.Blocked().Len(); n != 0 {
		t.Errorf("a list with a fault blocked %d networks", n)
	}
	var got blockAnswer
	send(query("note", "feed", "until", s.now().Add(time.Hour).Format(time.RFC3339)), text.String()).want(http.StatusOK).into(&got)
	if got.Added != 2500 || got.Total != 2500 {
		t.Errorf("got %+v", got)
	}
	var list blockedList
	if s.call(account.Viewer, "GET", "/blocked-networks?text=feed", nil).into(&list); list.Total != 2500 || list.Items[0].Until.IsZero() || list.Items[0].By != "token:operator" {
		t.Errorf("got %+v", list.Items[:1])
	}
	send("", strings.Repeat("# too much\n", 1<<20)).wantFault(http.StatusRequestEntityTooLarge, "too_large")
	send("?until=2020-01-01T00:00:00Z", "192.0.2.1").wantFault(http.StatusUnprocessableEntity, "invalid", "query.until")
	s.wantTrail(0, "token:operator blocked.add", "token:operator blocked.add", "token:operator blocked.add") // of a thousand each
}
