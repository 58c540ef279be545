package admin_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

type exceptionBody struct {
	ID, Hash, Hint, Prefix, State, Note, By, RevokedBy string
	InterceptID                                        uint64
	Until, RevokedAt                                   time.Time
}

type exceptionList struct {
	Items []exceptionBody
	Next  string
	Total int
}

func newRules(t *testing.T, text string) []engine.NewRule {
	t.Helper()
	rules, err := engine.ParseNewRules(text)
	must(t, err)
	return rules
}

// except makes an exception.
func (s *site) except(body map[string]any) (x exceptionBody) {
	s.t.Helper()
	s.call(account.Operator, "POST", "/exceptions", body).want(http.StatusCreated).into(&x)
	return x
}

// refusal stores the record of a refusal of a key, and returns its ID.
func (s *site) refusal(n int, reason store.Reason, ip string) uint64 {
	s.t.Helper()
	must(s.t, s.store.PutIntercepts(s.t.Context(), []store.Intercept{{
		At: s.now(), Last: s.now(), Count: 1, Reason: reason, Hash: hashOf(n), Hint: "sk-t…st", ClientIP: netip.MustParseAddr(ip), Path: "/v1/x",
		Basis: store.Basis{Kind: store.BasisRule, Name: "single"},
	}}))
	page, err := s.store.ListIntercepts(s.t.Context(), store.InterceptFilter{Limit: 1})
	must(s.t, err)
	return page.Records[0].ID
}

func TestExceptions(t *testing.T) {
	s := newSite(t)
	s.bind(1)
	hash, hint, err := s.engine.HashKey(testKey)
	must(t, err)
	s.bind(2, func(b *store.Binding) { b.Hash, b.Hint = hash, hint })
	first := s.except(map[string]any{"hash": hashOf(1).String(), "prefix": "203.0.113.0/24", "forSeconds": 3600, "note": "on the road"})
	second := s.except(map[string]any{"key": testKey, "prefix": "192.0.2.7", "until": s.now().Add(30 * time.Minute)})
	if first.State != "running" || first.Prefix != "203.0.113.0/24" || first.By != "token:operator" || second.Hint != hint || second.Prefix != "192.0.2.7/32" {
		t.Errorf("got %+v and %+v", first, second)
	}
	var list exceptionList
	s.call(account.Viewer, "GET", "/exceptions?limit=1", nil).want(http.StatusOK).into(&list)
	if len(list.Items) != 1 || list.Items[0].ID != second.ID || list.Total != 2 {
		t.Errorf("got %+v, want the next to end first", list)
	}
	s.call(account.Viewer, "GET", "/exceptions?limit=1&after="+list.Next, nil).want(http.StatusOK).into(&list)
	if list.Items[0].ID != first.ID {
		t.Errorf("second page: got %+v", list)
	}
	for query, want := range map[string]int{"state=running": 2, "state=revoked": 0, "hash=" + hashOf(1).String(): 1, "text=ROAD": 1, "text=192.0.2": 1} {
		if s.call(account.Viewer, "GET", "/exceptions?"+query, nil).want(http.StatusOK).into(&list); list.Total != want {
			t.Errorf("%s: got %d, want %d", query, list.Total, want)
		}
	}
	var ended exceptionBody
	s.call(account.Operator, "DELETE", "/exceptions/"+first.ID, nil).want(http.StatusOK).into(&ended)
	if ended.State != "revoked" || ended.RevokedBy != "token:operator" {
		t.Errorf("got %+v", ended)
	}
	s.call(account.Operator, "DELETE", "/exceptions/"+first.ID, nil).wantFault(http.StatusConflict, "over")
	s.call(account.Operator, "DELETE", "/exceptions/nothing", nil).wantFault(http.StatusNotFound, "not_found")
	s.call(account.Viewer, "DELETE", "/exceptions/"+second.ID, nil).wantFault(http.StatusForbidden, "forbidden")
	s.advance(time.Hour)
	var over exceptionBody
	if s.call(account.Viewer, "GET", "/exceptions/"+second.ID, nil).want(http.StatusOK).into(&over); over.State != "ended" {
		t.Errorf("got %+v", over)
	}
	s.wantTrail(0, "token:operator exception.create exception:"+first.ID, "token:operator exception.create exception:"+second.ID, "token:operator exception.end exception:"+first.ID)
}

func TestExceptionFromARecord(t *testing.T) {
	s := newSite(t)
	s.bind(1)
	for ip, want := range map[string]string{"203.0.113.9": "203.0.113.9/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64"} {
		id := s.refusal(1, store.ReasonIPNotAllowed, ip)
		x := s.except(map[string]any{"interceptId": id, "forSeconds": 60})
		if x.Hash != hashOf(1).String() || x.Prefix != want || x.InterceptID != id {
			t.Errorf("%s: got %+v, want %s", ip, x, want)
		}
	}
	id := s.refusal(1, store.ReasonBlocked, "203.0.113.9")
	if x := s.except(map[string]any{"interceptId": id, "forSeconds": 60, "prefix": "203.0.113.0/24"}); x.Prefix != "203.0.113.0/24" {
		t.Errorf("got %+v", x)
	}
	banned := s.refusal(1, store.ReasonKeyBanned, "203.0.113.9")
	if f := s.call(account.Operator, "POST", "/exceptions", map[string]any{"interceptId": banned, "forSeconds": 60}).wantFault(http.StatusConflict, "key_banned"); !strings.Contains(f.Detail, "lift the ban") {
		t.Errorf("got %q", f.Detail)
	}
	s.call(account.Operator, "POST", "/exceptions", map[string]any{"interceptId": banned + 1, "forSeconds": 60}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.interceptId")
	unbound := s.refusal(7, store.ReasonIPNotAllowed, "203.0.113.9")
	s.call(account.Operator, "POST", "/exceptions", map[string]any{"interceptId": unbound, "forSeconds": 60}).wantFault(http.StatusConflict, "not_bound")
}

func TestBadExceptions(t *testing.T) {
	s := newSite(t)
	s.bind(1)
	s.bind(2, func(b *store.Binding) { b.Status = store.StatusBanned })
	hash := hashOf(1).String()
	for _, tt := range []struct {
		location string
		body     map[string]any
	}{
		{"body", map[string]any{"prefix": "192.0.2.1", "forSeconds": 60}},
		{"body", map[string]any{"hash": hash, "key": testKey, "prefix": "192.0.2.1", "forSeconds": 60}},
		{"body.until", map[string]any{"hash": hash, "prefix": "192.0.2.1"}},
		{"body.until", map[string]any{"hash": hash, "prefix": "192.0.2.1", "forSeconds": 60, "until": s.now().Add(time.Hour)}},
		{"body.until", map[string]any{"hash": hash, "prefix": "192.0.2.1", "until": s.now().Add(-time.Second)}},
		{"body.until", map[string]any{"hash": hash, "prefix": "192.0.2.1", "until": s.now().AddDate(2, 0, 0)}},
		{"body.forSeconds", map[string]any{"hash": hash, "prefix": "192.0.2.1", "forSeconds": -5}},
		{"body.prefix", map[string]any{"hash": hash, "forSeconds": 60}},
		{"body.prefix", map[string]any{"hash": hash, "forSeconds": 60, "prefix": "192.0.2.1/24"}},
		{"body.prefix", map[string]any{"hash": hash, "forSeconds": 60, "prefix": "0.0.0.0/0"}},
		{"body.key", map[string]any{"key": "ключ", "forSeconds": 60, "prefix": "192.0.2.1"}},
	} {
		s.call(account.Operator, "POST", "/exceptions", tt.body).wantFault(http.StatusUnprocessableEntity, "invalid", tt.location)
	}
	s.call(account.Operator, "POST", "/exceptions", map[string]any{"hash": hashOf(2).String(), "forSeconds": 60, "prefix": "192.0.2.1"}).wantFault(http.StatusConflict, "key_banned")
	s.call(account.Viewer, "GET", "/exceptions?after=x", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.after")
	if n := len(s.trail()); n != 0 {
		t.Errorf("refused acts are in the audit trail: %d", n)
	}
	s.except(map[string]any{"hash": hash, "forSeconds": 60, "prefix": "0.0.0.0/0", "confirmAnySource": true})
}

// TestExplain holds the fields and the sentence of each kind of answer.
func TestExplain(t *testing.T) {
	s := newSite(t)
	s.network("office", "203.0.113.0/24")
	s.bind(1, naming("office", "10.0.0.0/8"))
	s.bind(2, func(b *store.Binding) { b.Status = store.StatusBanned })
	s.bind(3, func(b *store.Binding) { b.Rule = store.Rule{Kind: store.RuleAll} })
	s.bind(4, func(b *store.Binding) {
		b.Rule = store.Rule{Kind: store.RuleLearn, Learn: store.Learn{Limit: 3, Within: time.Hour}}
	})
	s.bind(5, naming("gone", "10.0.0.0/8"))
	s.except(map[string]any{"hash": hashOf(1).String(), "prefix": "192.0.2.9", "forSeconds": 60})
	_, err := s.engine.Block(t.Context(), []network.Blocked{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}})
	must(t, err)
	for _, tt := range []struct {
		n        int
		ip       string
		passes   bool
		reason   string
		basis    string
		sentence string
	}{
		{1, "10.1.2.3", true, "", "rule multiple", "It would pass: the address is in a prefix of the rule."},
		{1, "::ffff:10.1.2.3", true, "", "rule multiple", "in a prefix"},
		{1, "203.0.113.5", true, "", "network office", `the network "office", which the rule names`},
		{1, "198.51.100.1", false, "ip_not_allowed", "rule multiple", "It would be refused: the address is not in its rule."},
		{1, "192.0.2.9", true, "", "exception", "an exception ("},
		{1, "192.0.2.10", false, "network_blocked", "blocked_network 192.0.2.0/24", "the network 192.0.2.0/24 is blocked"},
		{2, "10.1.2.3", false, "key_banned", "ban", "the key is banned"},
		{3, "198.51.100.1", true, "", "rule all", "from anywhere"},
		{3, "192.0.2.1", false, "network_blocked", "blocked_network 192.0.2.0/24", "is blocked"},
		{4, "198.51.100.1", true, "", "rule learn", "its rule would learn 198.51.100.1/32 (it has 0 of 3)"},
		{4, "127.0.0.9", true, "", "rule learn", "its rule would learn nothing: the address is that of a trusted proxy"},
		{5, "198.51.100.1", false, "ip_not_allowed", "rule multiple", "networks that do not exist: gone"},
		{9, "198.51.100.1", true, "", "", "bind it to 198.51.100.1/32."},
		{9, "127.0.0.9", true, "", "", "bind nothing: the address is that of a trusted proxy"},
		{9, "192.0.2.1", false, "network_blocked", "blocked_network 192.0.2.0/24", "is blocked"},
	} {
		var byHash, byBody struct {
			Passes, Bound bool
			Reason        string
			Basis         struct{ Kind, Name string }
			Sentence      string
		}
		s.call(account.Viewer, "GET", "/bindings/"+hashOf(tt.n).String()+"/explain"+query("ip", tt.ip), nil).want(http.StatusOK).into(&byHash)
		s.call(account.Viewer, "POST", "/explain", map[string]any{"hash": hashOf(tt.n).String(), "ip": tt.ip}).want(http.StatusOK).into(&byBody)
		basis := strings.TrimSpace(byHash.Basis.Kind + " " + byHash.Basis.Name)
		if byHash != byBody || byHash.Passes != tt.passes || byHash.Reason != tt.reason || !strings.HasPrefix(basis, tt.basis) || byHash.Bound != (tt.n < 9) ||
			!strings.Contains(byHash.Sentence, tt.sentence) {
			t.Errorf("%d from %s: got %+v, want %+v", tt.n, tt.ip, byHash, tt)
		}
	}
	s.call(account.Viewer, "POST", "/explain", map[string]any{"key": testKey, "ip": "10.0.0.1"}).want(http.StatusOK)
	for _, body := range []map[string]any{{"ip": "10.0.0.1"}, {"key": testKey, "hash": hashOf(1).String(), "ip": "10.0.0.1"}} {
		s.call(account.Viewer, "POST", "/explain", body).wantFault(http.StatusUnprocessableEntity, "invalid", "body.key")
	}
	for _, ip := range []string{"10.0.0.0/8", "fe80::1%eth0", "x"} {
		s.call(account.Viewer, "GET", "/bindings/"+hashOf(1).String()+"/explain"+query("ip", ip), nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.ip")
	}
	if n := len(s.trail()); n != 1 { // of the exception
		t.Errorf("got %d entries: asking is no act", n)
	}
}

func TestLogsSayWhatTheyRestOn(t *testing.T) {
	s := newSite(t)
	s.refusal(1, store.ReasonBlocked, "203.0.113.9")
	var got struct {
		Items []struct {
			Reason string
			Basis  struct{ Kind, Name string }
		}
	}
	s.call(account.Viewer, "GET", "/logs?reason=network_blocked", nil).want(http.StatusOK).into(&got)
	if len(got.Items) != 1 || got.Items[0].Basis.Kind != "rule" || got.Items[0].Basis.Name != "single" {
		t.Errorf("got %+v", got)
	}
	if a := s.call(account.Viewer, "GET", "/logs/export", nil); !strings.Contains(string(a.body), ",basis,basisName\n") || !strings.Contains(string(a.body), ",rule,single\n") {
		t.Errorf("got %s", a.body)
	}
	if a := s.call(account.Viewer, "GET", "/logs/export?format=jsonl", nil); !strings.Contains(string(a.body), `"basis":{"kind":"rule","name":"single"}`) {
		t.Errorf("got %s", a.body)
	}
}
