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
	"github.com/key-ip-sentinel/sentinel/store"
)

const testKey = "sk-testkey0123456789abcdefghij"

// hashOf is a key hash that is easy to read in a failure.
func hashOf(n int) store.KeyHash { return store.KeyHash{0: byte(n >> 8), 1: byte(n), 31: 1} }

func ruleOf(prefixes ...string) store.Rule {
	r := store.Rule{Kind: store.RuleMultiple}
	for _, p := range prefixes {
		r.Prefixes = append(r.Prefixes, netip.MustParsePrefix(p))
	}
	switch len(prefixes) {
	case 0:
		r.Kind = store.RuleAll
	case 1:
		r.Kind = store.RuleSingle
	}
	return r
}

// bind stores a binding, changed as the caller likes.
func (s *site) bind(n int, change ...func(*store.Binding)) store.Binding {
	s.t.Helper()
	b := store.Binding{
		Hash: hashOf(n), Hint: fmt.Sprintf("sk-t…%04d", n), Label: fmt.Sprintf("team %d", n), Status: store.StatusActive,
		Rule: ruleOf("10.0.0.0/8"), CreatedAt: s.now(), UpdatedAt: s.now(),
	}
	for _, c := range change {
		c(&b)
	}
	b, created, err := s.store.Bind(s.t.Context(), b)
	must(s.t, err)
	if !created {
		s.t.Fatalf("binding %d is there already", n)
	}
	return b
}

// use stores uses of a key.
func (s *site) use(b store.Binding, hits uint64, at time.Time) {
	s.t.Helper()
	must(s.t, s.store.AddUsage(s.t.Context(), store.UsageBatch{Touches: []store.Touch{
		{Hash: b.Hash, LastUsed: at, LastIP: netip.MustParseAddr("10.9.8.7"), Hits: hits, Refused: 1},
	}}))
}

// bindingBody is a binding as clients see it.
type bindingBody struct {
	Hash   string `json:"hash"`
	Hint   string `json:"hint"`
	Label  string `json:"label"`
	Note   string `json:"note"`
	Status string `json:"status"`
	Rule   struct {
		Kind     string   `json:"kind"`
		Prefixes []string `json:"prefixes"`
	} `json:"rule"`
	FirstIP  string `json:"firstIp"`
	Revision uint64 `json:"revision"`
	Usage    struct {
		Hits   uint64 `json:"hits"`
		LastIP string `json:"lastIp"`
		Days   []struct {
			Allowed, Refused uint64
			Networks         []struct{ Network string }
		} `json:"days"`
		Addresses []struct {
			IP string `json:"ip"`
		} `json:"addresses"`
	} `json:"usage"`
	Intercepts []interceptBody `json:"intercepts"`
	ArchivedAt string          `json:"archivedAt"`
}

type bindingList struct {
	Items []bindingBody `json:"items"`
	Next  string        `json:"next"`
	Total *int          `json:"total"`
	Key   *struct {
		Hash string `json:"hash"`
		Hint string `json:"hint"`
	} `json:"key"`
}

func (l bindingList) labels() []string {
	labels := []string{}
	for _, b := range l.Items {
		labels = append(labels, b.Label)
	}
	return labels
}

func TestListBindingsFiltersInQueryAndBody(t *testing.T) {
	s := newSite(t)
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one := s.bind(1, func(b *store.Binding) { b.Label, b.Rule = "Billing", ruleOf("10.1.2.0/24", "2001:db8::/32") })
	s.bind(2, func(b *store.Binding) { b.Label, b.Rule, b.Status = "crawler", ruleOf(), store.StatusBanned })
	three := s.bind(3, func(b *store.Binding) { b.Label, b.Rule, b.CreatedAt = "old", ruleOf("192.0.2.1/32"), old })
	s.use(one, 7, s.now())
	s.use(three, 2, old.AddDate(0, 1, 0))

	for _, tt := range []struct {
		name  string
		value any
		want  []string
	}{
		{"text", "BILL", []string{"Billing"}},
		{"hint", "0002", []string{"crawler"}},
		{"label", "l", []string{"Billing", "crawler", "old"}},
		{"network", "10.1.0.0/16", []string{"Billing", "crawler"}},
		{"network", "10.1.2.3", []string{"Billing", "crawler"}},
		{"network", "2001:db8:1::/48", []string{"Billing", "crawler"}},
		{"network", "::ffff:192.0.2.1", []string{"crawler", "old"}},
		{"status", "banned", []string{"crawler"}},
		{"rule", "single", []string{"old"}},
		{"createdSince", "2026-02-01T00:00:00Z", []string{"Billing", "crawler"}},
		{"createdBefore", "2026-02-01T00:00:00+08:00", []string{"old"}},
		{"usedSince", "2026-02-02T00:00:00Z", []string{"Billing"}},
		{"usedBefore", "2026-02-02T00:00:00Z", []string{"old"}},
		{"idleSince", "2026-02-02T00:00:00Z", []string{"old"}},
		{"hitsBelow", 3, []string{"crawler", "old"}},
		{"returned", true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var inQuery, inBody bindingList
			s.call(account.Viewer, "GET", "/bindings"+query(tt.name, fmt.Sprint(tt.value), "sort", "label", "order", "asc"), nil).want(http.StatusOK).into(&inQuery)
			s.call(account.Viewer, "POST", "/bindings/search", map[string]any{tt.name: tt.value, "sort": "label", "order": "asc"}).want(http.StatusOK).into(&inBody)
			for _, got := range []bindingList{inQuery, inBody} {
				if !slices.Equal(got.labels(), append([]string{}, tt.want...)) || *got.Total != len(tt.want) {
					t.Errorf("got %v of %d, want %v", got.labels(), *got.Total, tt.want)
				}
			}
		})
	}
}

func TestListBindingsPagesAndSorts(t *testing.T) {
	s := newSite(t)
	for n := range 7 {
		s.use(s.bind(n, func(b *store.Binding) { b.CreatedAt = b.CreatedAt.Add(time.Duration(n) * time.Second) }), uint64(10-n), s.now())
	}
	for _, tt := range []struct {
		sort  string
		first string
	}{{"", "team 6"}, {"sort=created&order=asc", "team 0"}, {"sort=hits", "team 0"}, {"sort=hits&order=asc", "team 6"}, {"sort=label&order=asc", "team 0"}} {
		var all []string
		after := ""
		for {
			var got bindingList
			s.call(account.Viewer, "GET", "/bindings?limit=3&after="+after+"&"+tt.sort, nil).want(http.StatusOK).into(&got)
			if *got.Total != 7 || len(got.Items) > 3 {
				t.Fatalf("%s: got %d items of %d", tt.sort, len(got.Items), *got.Total)
			}
			all = append(all, got.labels()...)
			if after = got.Next; after == "" {
				break
			}
		}
		once := slices.Clone(all)
		slices.Sort(once)
		if len(slices.Compact(once)) != 7 || all[0] != tt.first {
			t.Errorf("%q: got %v, want all 7 once, first %s", tt.sort, all, tt.first)
		}
	}
}

func TestListBindingsRefusesBadFilters(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct{ name, value, location string }{
		{"network", "10.0.0.1/8", "network"},
		{"network", "10.0.0.300", "network"},
		{"network", "fe80::1%25eth0", "network"},
		{"network", "10.0.0.0/33", "network"},
		{"status", "gone", "status"},
		{"rule", "any", "rule"},
		{"sort", "id", "sort"},
		{"order", "up", "order"},
		{"limit", "0", "limit"},
		{"limit", "1001", "limit"},
		{"limit", "ten", "limit"},
		{"after", "nonsense", "after"},
		{"createdSince", "yesterday", "createdSince"},
		{"createdSince", "0001-01-01T00:00:00Z", "createdSince"},
		{"usedBefore", "2026-13-01T00:00:00Z", "usedBefore"},
		{"hitsBelow", "0", "hitsBelow"},
		{"hitsBelow", "-1", "hitsBelow"},
		{"returned", "perhaps", "returned"},
		{"key", testKey, "key"},
		{"nonsense", "1", "nonsense"},
	} {
		f := s.call(account.Viewer, "GET", "/bindings"+query(tt.name, tt.value), nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query."+tt.location)
		if strings.Contains(fmt.Sprint(f), testKey) {
			t.Errorf("%s: the key is in the answer", tt.name)
		}
	}
	f := s.call(account.Viewer, "GET", "/bindings"+query("network", "10.0.0.1/8"), nil).wantFault(http.StatusUnprocessableEntity, "invalid")
	if got := fmt.Sprint(f.Errors); !strings.Contains(got, "did you mean 10.0.0.0/8") {
		t.Errorf("got %s, want what was meant", got)
	}
	s.call(account.Viewer, "GET", "/bindings"+query("createdSince", "2026-02-02T00:00:00Z", "createdBefore", "2026-02-01T00:00:00Z"), nil).
		wantFault(http.StatusUnprocessableEntity, "invalid", "query.createdBefore")
	s.call(account.Viewer, "POST", "/bindings/search", map[string]any{"network": "10.0.0.1/8", "nonsense": 1}).
		wantFault(http.StatusUnprocessableEntity, "invalid", "body.nonsense")
	s.call(account.Viewer, "POST", "/bindings/search", map[string]any{"network": "10.0.0.1/8"}).
		wantFault(http.StatusUnprocessableEntity, "invalid", "body.network")
}

func TestAQueryIsReadInOneWayOnly(t *testing.T) {
	s := newSite(t)
	s.call(account.Viewer, "GET", "/bindings?status=active&status=banned", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.status")
	s.call(account.Viewer, "GET", "/bindings?status=active;rule=all", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query")
	s.call(account.Viewer, "GET", "/bindings?status=%zz", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query")
}

func TestSearchBindingsByKey(t *testing.T) {
	s := newSite(t)
	hash, hint, err := s.engine.HashKey(testKey)
	must(t, err)
	s.bind(1)
	s.bind(2, func(b *store.Binding) { b.Hash, b.Hint = hash, hint })

	var got bindingList
	for _, spelling := range []string{testKey, "Bearer " + testKey, " " + testKey + " "} {
		got = bindingList{}
		a := s.call(account.Viewer, "POST", "/bindings/search", map[string]any{"key": spelling}).want(http.StatusOK).into(&got)
		if len(got.Items) != 1 || got.Items[0].Label != "team 2" || got.Key == nil || got.Key.Hash != hash.String() {
			t.Errorf("%q: got %s", spelling, a.body)
		}
	}
	s.call(account.Viewer, "POST", "/bindings/search", map[string]any{"key": "sk-testunknownunknownunknown"}).want(http.StatusOK).into(&got)
	if len(got.Items) != 0 || got.Key == nil {
		t.Errorf("of an unknown key, got %+v", got)
	}
	bad := s.call(account.Viewer, "POST", "/bindings/search", map[string]any{"key": "sk-testключ"})
	bad.wantFault(http.StatusUnprocessableEntity, "invalid", "body.key")
	if log := s.log.String(); strings.Contains(log, testKey) || strings.Contains(string(bad.body), "ключ") {
		t.Errorf("a key is in the log or in an answer: %s %s", log, bad.body)
	}
}

func TestShowBinding(t *testing.T) {
	s := newSite(t)
	b := s.bind(1)
	s.use(b, 5, s.now())
	var records []store.Intercept
	for n := range 25 {
		records = append(records, store.Intercept{
			At: s.now(), Last: s.now(), Count: 1, Reason: store.ReasonIPNotAllowed, Hash: b.Hash, Hint: b.Hint,
			ClientIP: netip.MustParseAddr("192.0.2.1"), PeerIP: netip.MustParseAddr("192.0.2.1"), Method: "POST", Path: fmt.Sprintf("/v1/%d", n),
		})
	}
	must(t, s.store.PutIntercepts(t.Context(), records))

	var got bindingBody
	a := s.call(account.Viewer, "GET", "/bindings/"+b.Hash.String(), nil).want(http.StatusOK).into(&got)
	if want := fmt.Sprintf("%q", fmt.Sprint(b.Revision)); a.header.Get("ETag") != want {
		t.Errorf("got ETag %s, want %s", a.header.Get("ETag"), want)
	}
	if got.Usage.Hits != 5 || len(got.Usage.Days) != 1 || got.Usage.Days[0].Refused != 1 || got.Usage.Days[0].Networks[0].Network != "10.9.8.7/32" || len(got.Usage.Addresses) != 1 || got.Usage.Addresses[0].IP != "10.9.8.7" {
		t.Errorf("got usage %+v", got.Usage)
	}
	if len(got.Intercepts) != 20 || got.Intercepts[0].Path != "/v1/24" || got.ArchivedAt != "" {
		t.Errorf("got %d intercepts, the first %+v, archived %q", len(got.Intercepts), got.Intercepts[0], got.ArchivedAt)
	}
	upper := s.call(account.Viewer, "GET", "/bindings/"+strings.ToUpper(b.Hash.String()), nil)
	upper.want(http.StatusOK)
	s.call(account.Viewer, "GET", "/bindings/"+hashOf(9).String(), nil).wantFault(http.StatusNotFound, "not_found")
	s.call(account.Viewer, "GET", "/bindings/beef", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "path.hash")
	s.call(account.Viewer, "GET", "/bindings/"+strings.Repeat("0", 64), nil).wantFault(http.StatusUnprocessableEntity, "invalid", "path.hash")
}

func TestArraysOfBindingsAreNeverNull(t *testing.T) {
	s := newSite(t)
	b := s.bind(1, func(b *store.Binding) { b.Rule = ruleOf() })
	for _, path := range []string{"/bindings", "/bindings/" + b.Hash.String(), "/bindings?label=none", "/archive", "/logs", "/dashboard"} {
		if a := s.call(account.Viewer, "GET", path, nil).want(http.StatusOK); strings.Contains(string(a.body), "null") {
			t.Errorf("%s: got %s", path, a.body)
		}
	}
}
