package admin_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

type networkBody struct {
	Name        string
	Note        string
	Prefixes    []string
	PrefixCount int
	Shared      bool
	Bindings    int
	Revision    uint64
	Warnings    spoken
}

type networkList struct {
	Items []networkBody
	Total int
}

// naming gives a binding a rule that names a network, with prefixes of its own.
func naming(name string, prefixes ...string) func(*store.Binding) {
	return func(b *store.Binding) {
		b.Rule = store.Rule{Kind: store.RuleMultiple, Networks: []string{name}}
		for _, p := range prefixes {
			b.Rule.Prefixes = append(b.Rule.Prefixes, netip.MustParsePrefix(p))
		}
	}
}

func TestNetworks(t *testing.T) {
	s := newSite(t)
	var made networkBody
	a := s.call(account.Operator, "POST", "/networks", map[string]any{
		"name": "办公室", "note": "two\nlines", "shared": true, "prefixes": []string{"203.0.113.0/24", "203.0.113.7", "2001:db8::/32", "203.0.113.0/24"},
	}).want(http.StatusCreated).into(&made)
	path := "/networks/" + url.PathEscape("办公室")
	if a.header.Get("Location") != "/admin/api"+path || !made.Shared || made.PrefixCount != 4 || made.Note != "two\nlines" {
		t.Errorf("got %s, %+v", a.header.Get("Location"), made)
	}
	warnings := strings.Join(made.Warnings, "\n")
	if !strings.Contains(warnings, "203.0.113.7/32 is within 203.0.113.0/24") || !strings.Contains(warnings, "203.0.113.0/24 is there twice") {
		t.Errorf("got warnings %q", made.Warnings)
	}
	for i := range 3 {
		s.bind(i, naming("办公室", "192.0.2.1/32"))
	}
	s.bind(3)
	var list networkList
	s.call(account.Viewer, "GET", "/networks", nil).want(http.StatusOK).into(&list)
	if len(list.Items) != 1 || list.Total != 1 || list.Items[0].Bindings != 3 {
		t.Errorf("got %+v, want three bindings that name it", list)
	}
	s.call(account.Viewer, "GET", "/networks?network=203.0.113.9", nil).want(http.StatusOK).into(&list)
	if len(list.Items) != 1 {
		t.Errorf("with an address of it: got %+v", list)
	}
	s.call(account.Viewer, "GET", "/networks?network=198.51.100.0/24", nil).want(http.StatusOK).into(&list)
	if len(list.Items) != 0 {
		t.Errorf("with none of it: got %+v", list)
	}

	etag := a.header.Get("ETag")
	change := map[string]any{"prefixes": []string{"198.51.100.0/24"}}
	after := s.call(account.Operator, "PUT", path, change, "If-Match: "+etag).want(http.StatusOK)
	s.call(account.Operator, "PUT", path, change, "If-Match: "+etag).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	s.call(account.Operator, "PUT", path, change).want(http.StatusOK)
	s.call(account.Operator, "PUT", "/networks/vpn", change).wantFault(http.StatusNotFound, "not_found")
	s.call(account.Operator, "POST", "/networks", map[string]any{"name": "办公室", "prefixes": []string{"10.0.0.0/8"}}).wantFault(http.StatusConflict, "exists")
	s.call(account.Operator, "DELETE", path, nil, "If-Match: "+etag).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	if after.header.Get("ETag") == etag {
		t.Error("a change left the revision as it was")
	}
	s.wantTrail(0, "token:operator network.create network:办公室", "token:operator network.edit network:办公室", "token:operator network.edit network:办公室")
	if e := s.trail()[1]; !strings.Contains(string(e.Before), "203.0.113.7/32") || !strings.Contains(string(e.After), "198.51.100.0/24") {
		t.Errorf("got %s, then %s", e.Before, e.After)
	}
}

func TestBadNetworks(t *testing.T) {
	s := newSite(t)
	many := make([]string, 10_001)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
	}
	for _, tt := range []struct {
		name     string
		body     map[string]any
		location string
		text     string
	}{
		{"capitals", map[string]any{"name": "Office", "prefixes": []string{"10.0.0.0/8"}}, "body.name", "no capital ones"},
		{"a slash", map[string]any{"name": "a/b", "prefixes": []string{"10.0.0.0/8"}}, "body.name", ""},
		{"steers a terminal", map[string]any{"name": "a\u202eb", "prefixes": []string{"10.0.0.0/8"}}, "body.name", ""},
		{"none", map[string]any{"name": "office", "prefixes": []string{}}, "body.prefixes", ""},
		{"ends in a dot", map[string]any{"name": "office.", "prefixes": []string{"10.0.0.0/8"}}, "body.name", "with . - _ between"},
		{"too many", map[string]any{"name": "office", "prefixes": many}, "body.prefixes", ""},
		{"host bits", map[string]any{"name": "office", "prefixes": []string{"10.0.0.0/8", "10.1.2.3/16"}}, "body.prefixes[1]", "did you mean 10.1.0.0/16"},
		{"a key", map[string]any{"name": "office", "prefixes": []string{testKey}}, "body.prefixes[0]", "is no IP address"},
		{"everything", map[string]any{"name": "office", "prefixes": []string{"0.0.0.0/0"}}, "body.prefixes[0]", "confirmAnySource"},
		{"all of IPv6", map[string]any{"name": "office", "prefixes": []string{"::/0"}}, "body.prefixes[0]", "confirmAnySource"},
		{"note", map[string]any{"name": "office", "prefixes": []string{"10.0.0.0/8"}, "note": "\x1b[2J"}, "body.note", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := s.call(account.Operator, "POST", "/networks", tt.body).wantFault(http.StatusUnprocessableEntity, "invalid", tt.location)
			if len(f.Errors) == 0 || !strings.Contains(f.Errors[0].Message, tt.text) || strings.Contains(f.Errors[0].Message, testKey) {
				t.Errorf("got %+v, want %q in it", f.Errors, tt.text)
			}
		})
	}
	s.call(account.Operator, "POST", "/networks", map[string]any{"name": "any", "prefixes": []string{"::/0"}, "confirmAnySource": true}).want(http.StatusCreated)
	s.call(account.Viewer, "POST", "/networks", map[string]any{"name": "x", "prefixes": []string{"10.0.0.0/8"}}).wantFault(http.StatusForbidden, "forbidden")
}

func TestDeleteNetworkThatRulesName(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"office", "vpn"} {
		s.network(name, "203.0.113.0/24", "2001:db8::/32")
	}
	s.bind(0, naming("office", "192.0.2.1/32"))
	s.bind(1, naming("office"))
	var refused struct {
		Detail string
		UsedBy struct {
			Total    int
			Bindings []struct{ Hash, Hint, Label string }
		}
	}
	for _, path := range []string{"/networks/office", "/networks/office?rules=refuse"} {
		s.call(account.Operator, "DELETE", path, nil).wantFault(http.StatusConflict, "network_in_use")
		s.call(account.Operator, "DELETE", path, nil).into(&refused)
		if refused.UsedBy.Total != 2 || len(refused.UsedBy.Bindings) != 2 || !strings.Contains(refused.Detail, "rules=inline") {
			t.Errorf("got %+v", refused)
		}
	}
	s.call(account.Operator, "DELETE", "/networks/office?rules=drop", nil).wantFault(http.StatusConflict, "network_in_use") // one would match nothing
	if got := s.stored(0); !slices.Equal(got.Networks, []string{"office"}) {
		t.Errorf("a refused removal changed a rule: %+v", got)
	}
	s.call(account.Operator, "DELETE", "/networks/office?rules=often", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.rules")
	var done struct {
		Changed  int
		Warnings spoken
	}
	s.call(account.Operator, "DELETE", "/networks/office?rules=inline", nil).want(http.StatusOK).into(&done)
	if got := s.stored(1); done.Changed != 2 || len(got.Networks) != 0 || len(got.Prefixes) != 2 {
		t.Errorf("got %+v and %+v, want the network's prefixes in the rules", done, got)
	}
	s.bind(2, naming("vpn", "192.0.2.1/32"))
	s.call(account.Operator, "DELETE", "/networks/vpn?rules=drop", nil).want(http.StatusOK).into(&done)
	if got := s.stored(2); done.Changed != 1 || len(got.Networks) != 0 || len(got.Prefixes) != 1 {
		t.Errorf("got %+v and %+v, want the rule without the network", done, got)
	}
	s.call(account.Operator, "DELETE", "/networks/vpn", nil).wantFault(http.StatusNotFound, "not_found")
	s.wantTrail(0, "token:operator network.delete network:office", "token:operator network.delete network:vpn")
}

// TestDeletedNetworkThatNewKeysWouldGet warns of the setting.
func TestDeletedNetworkThatNewKeysWouldGet(t *testing.T) {
	s := newSite(t)
	s.network("office", "203.0.113.0/24")
	policy := s.engine.Policy()
	policy.NewRules = newRules(t, "@office")
	must(t, s.engine.SetPolicy(policy))
	var done struct{ Warnings spoken }
	s.call(account.Operator, "DELETE", "/networks/office", nil).want(http.StatusOK).into(&done)
	if len(done.Warnings) != 1 || !strings.Contains(done.Warnings[0], "SENTINEL_BIND_RULE") {
		t.Errorf("got %q", done.Warnings)
	}
}

func TestNetworkEvents(t *testing.T) {
	s := newSite(t)
	events, cancel := s.engine.Events().Subscribe(10)
	defer cancel()
	s.bind(1)
	s.call(account.Operator, "POST", "/networks", map[string]any{"name": "office", "prefixes": []string{"10.0.0.0/8"}}).want(http.StatusCreated)
	s.call(account.Operator, "PUT", "/networks/office", map[string]any{"prefixes": []string{"10.0.0.0/9"}}).want(http.StatusOK)
	s.call(account.Operator, "DELETE", "/networks/office", nil).want(http.StatusOK)
	s.call(account.Operator, "POST", "/blocked-networks", map[string]any{"networks": []any{map[string]any{"prefix": "192.0.2.0/24"}}}).want(http.StatusOK)
	s.call(account.Operator, "POST", "/blocked-networks/remove", map[string]any{"prefixes": []string{"192.0.2.0/24"}}).want(http.StatusOK)
	var x struct{ ID string }
	s.call(account.Operator, "POST", "/exceptions", map[string]any{"hash": hashOf(1).String(), "prefix": "192.0.2.1", "forSeconds": 60}).want(http.StatusCreated).into(&x)
	s.call(account.Operator, "DELETE", "/exceptions/"+x.ID, nil).want(http.StatusOK)
	for _, want := range []string{"network", "network", "network", "blocked", "blocked", "exception", "exception"} {
		if e := <-events; e.Type != want {
			t.Errorf("got %+v, want type %s", e, want)
		}
	}
}
