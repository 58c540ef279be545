package admin_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

func single(prefix string) map[string]any {
	return map[string]any{"kind": "single", "prefixes": []string{prefix}}
}

func TestCreateBinding(t *testing.T) {
	s := newSite(t)
	hash, hint, err := s.engine.HashKey(testKey)
	must(t, err)
	var got bindingBody
	a := s.call(account.Operator, "POST", "/bindings", map[string]any{
		"key": testKey, "label": " Billing ", "note": "one\ntwo", "rule": map[string]any{"kind": "multiple", "prefixes": []string{"10.0.0.1", "2001:DB8::/32"}},
	}).want(http.StatusCreated).into(&got)
	if got.Hash != hash.String() || got.Hint != hint || got.Label != "Billing" || got.Status != "active" || fmt.Sprint(got.Rule.Prefixes) != "[10.0.0.1/32 2001:db8::/32]" {
		t.Errorf("got %s", a.body)
	}
	if a.header.Get("ETag") != fmt.Sprintf("\"%d\"", got.Revision) || a.header.Get("Location") != "/admin/api/bindings/"+hash.String() {
		t.Errorf("got headers %v", a.header)
	}
	s.wantTrail(0, "token:operator binding.create binding:"+hash.String())
	s.call(account.Operator, "POST", "/bindings", map[string]any{"key": testKey, "rule": single("10.0.0.2")}).wantFault(http.StatusConflict, "already_bound")
	s.call(account.Operator, "POST", "/bindings", map[string]any{
		"hash": hashOf(1).String(), "hint": "sk-x…y", "status": "banned", "rule": map[string]any{"kind": "all"},
	}).want(http.StatusCreated)
	if strings.Contains(s.log.String(), testKey) || strings.Contains(fmt.Sprint(s.trail()), testKey) {
		t.Error("the key is in the log or the audit trail")
	}
}

func TestBadBindingsAreRefusedAndChangeNothing(t *testing.T) {
	s := newSite(t)
	key := func(more map[string]any) map[string]any {
		body := map[string]any{"key": testKey, "rule": single("10.0.0.1")}
		for name, value := range more {
			body[name] = value
		}
		return body
	}
	rule := func(kind string, prefixes ...string) map[string]any {
		return key(map[string]any{"rule": map[string]any{"kind": kind, "prefixes": prefixes}})
	}
	for _, tt := range []struct {
		name     string
		body     any
		location string
	}{
		{"nothing", map[string]any{}, "body"},
		{"no rule", map[string]any{"key": testKey}, "body"},
		{"no key", map[string]any{"rule": single("10.0.0.1")}, "body.key"},
		{"key and hash", key(map[string]any{"hash": hashOf(1).String()}), "body.key"},
		{"hint of a key", key(map[string]any{"hint": "sk-…"}), "body.hint"},
		{"bad key", key(map[string]any{"key": "sk-test\x00key"}), "body.key"},
		{"bad hash", map[string]any{"hash": "beef", "rule": single("10.0.0.1")}, "body.hash"},
		{"zero hash", map[string]any{"hash": strings.Repeat("0", 64), "rule": single("10.0.0.1")}, "body.hash"},
		{"unknown field", key(map[string]any{"colour": "red"}), "body.colour"},
		{"wrong type", key(map[string]any{"label": 5}), "body.label"},
		{"long label", key(map[string]any{"label": strings.Repeat("é", 200)}), "body.label"},
		{"control character", key(map[string]any{"label": "a\x1b[31m"}), "body.label"},
		{"long note", key(map[string]any{"note": strings.Repeat("x", 4097)}), "body.note"},
		{"bad status", key(map[string]any{"status": "gone"}), "body.status"},
		{"bad kind", rule("some", "10.0.0.1"), "body.rule.kind"},
		{"host bits", rule("single", "10.0.0.1/8"), "body.rule.prefixes[0]"},
		{"second one", rule("multiple", "10.0.0.1", "10.0.0.256"), "body.rule.prefixes[1]"},
		{"zone", rule("single", "fe80::1%eth0"), "body.rule.prefixes[0]"},
		{"port", rule("single", "10.0.0.1:80"), "body.rule.prefixes[0]"},
		{"netmask", rule("single", "10.0.0.0/255.0.0.0"), "body.rule.prefixes[0]"},
		{"leading zero", rule("single", "010.0.0.1"), "body.rule.prefixes[0]"},
		{"short mapped", rule("single", "::ffff:0:0/64"), "body.rule.prefixes[0]"},
		{"any IPv4", rule("single", "0.0.0.0/0"), "body.rule.prefixes[0]"},
		{"any IPv6", rule("multiple", "10.0.0.1", "::/0"), "body.rule.prefixes[1]"},
		{"two of single", rule("single", "10.0.0.1", "10.0.0.2"), "body.rule"},
		{"none of single", rule("single"), "body.rule"},
		{"some of all", rule("all", "10.0.0.1"), "body.rule"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.t = t
			s.call(account.Operator, "POST", "/bindings", tt.body).wantFault(http.StatusUnprocessableEntity, "invalid", tt.location)
		})
	}
	s.t = t
	n, err := s.store.CountBindings(t.Context())
	must(t, err)
	if n != 0 {
		t.Errorf("%d bindings were made", n)
	}
	s.wantTrail(0)
}

func TestAKeyInThePlaceOfAPrefixIsNotRepeated(t *testing.T) {
	s := newSite(t)
	a := s.call(account.Operator, "POST", "/bindings", map[string]any{"hash": hashOf(1).String(), "rule": single(testKey)})
	a.wantFault(http.StatusUnprocessableEntity, "invalid", "body.rule.prefixes[0]")
	if strings.Contains(string(a.body), testKey) {
		t.Errorf("got %s", a.body)
	}
}

func TestAnySourceMustBeConfirmed(t *testing.T) {
	s := newSite(t)
	body := map[string]any{"hash": hashOf(1).String(), "rule": map[string]any{"kind": "single", "prefixes": []string{"0.0.0.0/0"}}}
	f := s.call(account.Operator, "POST", "/bindings", body).wantFault(http.StatusUnprocessableEntity, "invalid", "body.rule.prefixes[0]")
	if !strings.Contains(f.Errors[0].Message, "confirmAnySource") || !strings.Contains(f.Errors[0].Message, "kind all") {
		t.Errorf("got %q, want both ways out", f.Errors[0].Message)
	}
	body["rule"].(map[string]any)["confirmAnySource"] = true
	s.call(account.Operator, "POST", "/bindings", body).want(http.StatusCreated)
}

func TestEditBinding(t *testing.T) {
	s := newSite(t)
	b := s.bind(1)
	path := "/bindings/" + b.Hash.String()
	var got bindingBody
	a := s.call(account.Operator, "PATCH", path, map[string]any{"label": "new", "rule": map[string]any{"kind": "all"}}).want(http.StatusOK).into(&got)
	if got.Label != "new" || got.Rule.Kind != "all" || got.Status != "active" || got.Revision <= b.Revision || a.header.Get("ETag") != fmt.Sprintf("\"%d\"", got.Revision) {
		t.Errorf("got %s with ETag %s", a.body, a.header.Get("ETag"))
	}
	s.call(account.Operator, "PATCH", path, map[string]any{"status": "banned"}).want(http.StatusOK)
	s.call(account.Operator, "PATCH", path, map[string]any{"status": "banned"}).want(http.StatusOK) // changes nothing
	s.call(account.Operator, "PATCH", path, map[string]any{"status": "active", "note": "x"}).want(http.StatusOK)
	target := "binding:" + b.Hash.String()
	s.wantTrail(0, "token:operator binding.edit "+target, "token:operator binding.ban "+target, "token:operator binding.unban "+target)
	first := s.trail()[0]
	if before, after := string(first.Before), string(first.After); before != `{"label":"team 1","rule":{"kind":"single","prefixes":["10.0.0.0/8"]}}` ||
		after != `{"label":"new","rule":{"kind":"all","prefixes":[]}}` {
		t.Errorf("got before %s and after %s", before, after)
	}
	s.call(account.Operator, "PATCH", path, map[string]any{}).wantFault(http.StatusUnprocessableEntity, "invalid", "body")
	s.call(account.Operator, "PATCH", path, map[string]any{"label": "a\tb"}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.label")
	s.call(account.Operator, "PATCH", path, map[string]any{"hint": "x"}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.hint")
	s.call(account.Operator, "PATCH", path, map[string]any{"rule": single("10.0.0.1/8")}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.rule.prefixes[0]")
	s.call(account.Operator, "PATCH", "/bindings/"+hashOf(2).String(), map[string]any{"label": "x"}).wantFault(http.StatusNotFound, "not_found")
	s.wantTrail(3)
}

func TestIfMatchOfBindings(t *testing.T) {
	s := newSite(t)
	b := s.bind(1)
	path := "/bindings/" + b.Hash.String()
	tag := fmt.Sprintf("If-Match: \"%d\"", b.Revision)
	for _, stale := range []string{`If-Match: "0"`, `If-Match: "99999"`, `If-Match: W/"1"`, `If-Match: "x"`, `If-Match: 1`} {
		s.call(account.Operator, "PATCH", path, map[string]any{"label": "stale"}, stale).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
		s.call(account.Operator, "DELETE", path, nil, stale).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
		s.call(account.Operator, "POST", "/bindings/ban", map[string]any{"id": b.Hash.String()}, stale).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	}
	s.wantTrail(0)
	s.call(account.Operator, "PATCH", path, map[string]any{"label": "fresh"}, tag).want(http.StatusOK)
	s.call(account.Operator, "PATCH", path, map[string]any{"label": "twice"}, tag).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	s.call(account.Operator, "PATCH", path, map[string]any{"label": "any"}, "If-Match: *").want(http.StatusOK)
	s.call(account.Operator, "DELETE", path, nil, tag).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	s.call(account.Operator, "DELETE", path, nil).want(http.StatusNoContent)
	if _, err := s.store.Binding(t.Context(), b.Hash); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after DELETE: got %v", err)
	}
	target := "binding:" + b.Hash.String()
	s.wantTrail(0, "token:operator binding.edit "+target, "token:operator binding.edit "+target, "token:operator binding.unbind "+target)
	s.call(account.Operator, "DELETE", path, nil).wantFault(http.StatusNotFound, "not_found")
}

func TestOfConcurrentEditsOfOneRevisionOneWins(t *testing.T) {
	s := newSite(t)
	b := s.bind(1)
	var won, lost atomic.Int32
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			a := s.call(account.Operator, "PATCH", "/bindings/"+b.Hash.String(), map[string]any{"label": fmt.Sprint("edit ", n)}, fmt.Sprintf("If-Match: \"%d\"", b.Revision))
			switch a.status {
			case http.StatusOK:
				won.Add(1)
			case http.StatusPreconditionFailed:
				lost.Add(1)
			default:
				t.Errorf("got %d %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 15 {
		t.Errorf("got %d that won and %d that lost", won.Load(), lost.Load())
	}
	s.wantTrail(0, "token:operator binding.edit binding:"+b.Hash.String())
}

func TestPathsOfTheEarlierDeployment(t *testing.T) {
	s := newSite(t)
	b := s.bind(1)
	hash := b.Hash.String()
	var got bindingBody
	s.call(account.Operator, "POST", "/bindings/ban", map[string]any{"key_hash": hash}).want(http.StatusOK).into(&got)
	if got.Status != "banned" {
		t.Errorf("after ban: got %+v", got)
	}
	s.call(account.Operator, "POST", "/bindings/unban", map[string]any{"hash": hash}).want(http.StatusOK).into(&got)
	if got.Status != "active" {
		t.Errorf("after unban: got %+v", got)
	}
	for _, tt := range []struct {
		body map[string]any
		want string
	}{
		{map[string]any{"bound_ip": "192.0.2.1"}, "single [192.0.2.1/32]"},
		{map[string]any{"ip": "192.0.2.1, 192.0.2.2"}, "multiple [192.0.2.1/32 192.0.2.2/32]"},
		{map[string]any{"ips": []string{"192.0.2.0/24"}, "binding_mode": "MULTIPLE"}, "multiple [192.0.2.0/24]"},
		{map[string]any{"prefixes": []string{"2001:db8::/32"}, "rule": "single"}, "single [2001:db8::/32]"},
		{map[string]any{"binding_mode": "ALL"}, "all []"},
	} {
		tt.body["id"] = hash
		s.call(account.Operator, "PUT", "/bindings/ip", tt.body).want(http.StatusOK).into(&got)
		if is := fmt.Sprint(got.Rule.Kind, " ", got.Rule.Prefixes); is != tt.want {
			t.Errorf("%v: got %s, want %s", tt.body, is, tt.want)
		}
	}
	s.call(account.Operator, "POST", "/bindings/unbind", map[string]any{"id": hash}).want(http.StatusOK)
	s.call(account.Operator, "POST", "/bindings/unbind", map[string]any{"id": hash}).wantFault(http.StatusNotFound, "not_found")
	if n := len(s.trail()); n != 8 {
		t.Errorf("got %d entries of the audit trail, want one for each change", n)
	}
}

func TestBadBodiesOfTheEarlierPaths(t *testing.T) {
	s := newSite(t)
	hash := s.bind(1).Hash.String()
	for _, tt := range []struct {
		path     string
		body     map[string]any
		location string
	}{
		{"/bindings/ban", map[string]any{}, "body.hash"},
		{"/bindings/ban", map[string]any{"id": hash, "hash": hash}, "body.hash"},
		{"/bindings/ban", map[string]any{"id": "17"}, "body.id"},
		{"/bindings/ban", map[string]any{"id": 17}, "body.id"},
		{"/bindings/unban", map[string]any{"id": hash, "reason": "x"}, "body.reason"},
		{"/bindings/ip", map[string]any{"id": hash}, "body.bound_ip"},
		{"/bindings/ip", map[string]any{"id": hash, "ip": 5}, "body.ip"},
		{"/bindings/ip", map[string]any{"id": hash, "ip": "10.0.0.1/8"}, "body.prefixes[0]"},
		{"/bindings/ip", map[string]any{"id": hash, "ip": "10.0.0.1", "ips": []string{"10.0.0.2"}}, "body.prefixes"},
		{"/bindings/ip", map[string]any{"id": hash, "ip": "10.0.0.1", "rule": "single", "binding_mode": "single"}, "body.rule"},
		{"/bindings/ip", map[string]any{"id": hash, "ip": "0.0.0.0/0"}, "body.prefixes[0]"},
	} {
		method := "POST"
		if tt.path == "/bindings/ip" {
			method = "PUT"
		}
		s.call(account.Operator, method, tt.path, tt.body).wantFault(http.StatusUnprocessableEntity, "invalid", tt.location)
	}
	s.wantTrail(0)
}
