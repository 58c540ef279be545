package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

type bulkResult struct {
	Matched, Changed, Unchanged, Missing, Failed int
	DryRun                                       bool
	FirstError                                   *failureJSON
}

func (s *site) bulk(body map[string]any) bulkResult {
	s.t.Helper()
	var got bulkResult
	s.call(account.Operator, "POST", "/bindings/bulk", body).want(http.StatusOK).into(&got)
	return got
}

// banned counts the banned bindings.
func (s *site) banned() int {
	s.t.Helper()
	page, err := s.store.FindBindings(s.t.Context(), store.BindingQuery{Filter: store.BindingFilter{Status: store.StatusBanned}})
	must(s.t, err)
	return page.Total
}

func TestBulkByHashes(t *testing.T) {
	s := newSite(t)
	for n := range 5 {
		s.bind(n)
	}
	hashes := []string{hashOf(0).String(), hashOf(1).String(), hashOf(1).String(), strings.ToUpper(hashOf(2).String()), hashOf(99).String()}
	dry := s.bulk(map[string]any{"hashes": hashes, "act": "ban", "dryRun": true})
	if want := (bulkResult{Matched: 4, Changed: 3, Missing: 1, DryRun: true}); dry != want || s.banned() != 0 {
		t.Errorf("dry run: got %+v, want %+v; %d are banned", dry, want, s.banned())
	}
	s.wantTrail(0)
	got := s.bulk(map[string]any{"hashes": hashes, "act": "ban", "expect": 4})
	if want := (bulkResult{Matched: 4, Changed: 3, Missing: 1}); got != want || s.banned() != 3 {
		t.Errorf("got %+v, want %+v; %d are banned", got, want, s.banned())
	}
	if got := s.bulk(map[string]any{"hashes": hashes, "act": "ban"}); got.Unchanged != 3 || got.Changed != 0 {
		t.Errorf("the second time: got %+v", got)
	}
	s.wantTrail(0, "token:operator binding.bulk")
	var before struct {
		Act      string `json:"act"`
		Bindings []struct{ Hash, Status string }
	}
	must(t, json.Unmarshal(s.trail()[0].Before, &before))
	if len(before.Bindings) != 3 || before.Bindings[0].Hash != hashOf(0).String() || before.Bindings[0].Status != "active" || before.Act != "ban" {
		t.Errorf("got before %s", s.trail()[0].Before)
	}
}

func TestBulkByFilter(t *testing.T) {
	s := newSite(t)
	for n := range 1500 {
		s.bind(n)
	}
	got := s.bulk(map[string]any{"filter": map[string]any{"network": "10.0.0.0/8"}, "act": "edit", "edit": map[string]any{"label": "all", "rule": single("10.1.0.0/16")}})
	if want := (bulkResult{Matched: 1500, Changed: 1500}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.wantTrail(0, "token:operator binding.bulk", "token:operator binding.bulk")
	if got := s.bulk(map[string]any{"filter": map[string]any{"label": "nobody"}, "act": "unbind"}); got != (bulkResult{}) {
		t.Errorf("of a filter that chooses none: got %+v", got)
	}
	if got := s.bulk(map[string]any{"filter": map[string]any{"all": true}, "act": "unbind", "expect": 1500}); got.Changed != 1500 {
		t.Errorf("unbind all: got %+v", got)
	}
	if n, _ := s.store.CountBindings(t.Context()); n != 0 {
		t.Errorf("%d are left", n)
	}
	removed := s.trail()[2]
	if !strings.Contains(string(removed.Before), `"prefixes":["10.1.0.0/16"]`) || strings.Contains(string(removed.After), `"hash"`) {
		t.Errorf("got before %.300s and after %.300s, want the bindings as they were and nothing after", removed.Before, removed.After)
	}
}

func TestBulkRefusesAnotherNumber(t *testing.T) {
	s := newSite(t)
	s.bind(1)
	s.bind(2)
	f := s.call(account.Operator, "POST", "/bindings/bulk", map[string]any{"filter": map[string]any{"status": "active"}, "act": "ban", "expect": 1}).
		wantFault(http.StatusConflict, "number_changed")
	if !strings.Contains(f.Detail, "2 bindings") || s.banned() != 0 {
		t.Errorf("got %q; %d are banned", f.Detail, s.banned())
	}
	s.wantTrail(0)
}

// brokenChanges is a store that does not take changes of bindings.
type brokenChanges struct{ store.Store }

func (brokenChanges) ReplaceBinding(context.Context, store.Binding) (store.Binding, error) {
	return store.Binding{}, errors.New("medium is broken")
}

// TestBulkSaysWhyItFailed, with a code, and without what is only for the log.
func TestBulkSaysWhyItFailed(t *testing.T) {
	s := newSite(t, func(o *admin.Options) {
		keys, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte(strings.Repeat("secret for tests only ", 2))})
		must(t, err)
		o.Engine, err = engine.New(engine.Options{
			Store: brokenChanges{o.Store}, Resolver: o.Resolver, Credentials: keys, Policy: engine.DefaultPolicy(), Logger: o.Logger, CacheEntries: 1000,
		})
		must(t, err)
		t.Cleanup(func() { must(t, o.Engine.Close(context.Background())) })
	})
	s.bind(1)
	s.bind(2)
	got := s.bulk(map[string]any{"filter": map[string]any{"status": "active"}, "act": "ban"})
	if got.Failed != 2 || got.Changed != 0 || got.FirstError == nil || got.FirstError.Code != "internal" || strings.Contains(got.FirstError.Message, "medium") {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(s.log.String(), "medium is broken") {
		t.Error("the log does not say why")
	}
}

func TestBadBulkIsRefused(t *testing.T) {
	s := newSite(t)
	s.bind(1)
	hashes := []string{hashOf(1).String()}
	many := make([]string, 10_001)
	for n := range many {
		many[n] = hashOf(n).String()
	}
	for _, tt := range []struct {
		body     map[string]any
		location string
	}{
		{map[string]any{"act": "ban"}, "body.filter"},
		{map[string]any{"act": "ban", "hashes": hashes, "filter": map[string]any{"all": true}}, "body.filter"},
		{map[string]any{"act": "ban", "filter": map[string]any{}}, "body.filter.all"},
		{map[string]any{"act": "ban", "filter": map[string]any{"all": false}}, "body.filter.all"},
		{map[string]any{"act": "ban", "filter": map[string]any{"all": true, "status": "active"}}, "body.filter.all"},
		{map[string]any{"act": "ban", "filter": map[string]any{"network": "10.0.0.1/8"}}, "body.filter.network"},
		{map[string]any{"act": "ban", "filter": map[string]any{"nonsense": 1}}, "body.filter.nonsense"},
		{map[string]any{"act": "ban", "filter": map[string]any{"hitsBelow": 0}}, "body.filter.hitsBelow"},
		{map[string]any{"act": "ban", "filter": map[string]any{"createdSince": "0001-01-01T00:00:00Z"}}, "body.filter.createdSince"},
		{map[string]any{"act": "ban", "filter": map[string]any{"text": ""}}, "body.filter.text"},
		{map[string]any{"act": "ban", "hashes": []string{}}, "body.hashes"},
		{map[string]any{"act": "ban", "hashes": []string{"beef"}}, "body.hashes[0]"},
		{map[string]any{"act": "ban", "hashes": many}, "body.hashes"},
		{map[string]any{"act": "burn", "hashes": hashes}, "body.act"},
		{map[string]any{"act": "edit", "hashes": hashes}, "body.edit"},
		{map[string]any{"act": "edit", "hashes": hashes, "edit": map[string]any{}}, "body.edit"},
		{map[string]any{"act": "edit", "hashes": hashes, "edit": map[string]any{"label": "a\x00"}}, "body.edit.label"},
		{map[string]any{"act": "edit", "hashes": hashes, "edit": map[string]any{"rule": single("10.0.0.1/8")}}, "body.edit.rule.prefixes[0]"},
		{map[string]any{"act": "edit", "hashes": hashes, "edit": map[string]any{"status": "banned"}}, "body.edit.status"},
		{map[string]any{"act": "ban", "hashes": hashes, "edit": map[string]any{"label": "x"}}, "body.edit"},
		{map[string]any{"act": "ban", "hashes": hashes, "expect": -1}, "body.expect"},
	} {
		s.call(account.Operator, "POST", "/bindings/bulk", tt.body).wantFault(http.StatusUnprocessableEntity, "invalid", tt.location)
	}
	s.call(account.Operator, "POST", "/bindings/bulk", fmt.Sprintf(`{"act":"ban","hashes":[%q]`, hashOf(1))).wantFault(http.StatusBadRequest, "invalid")
	if s.banned() != 0 {
		t.Error("a bad request has banned a key")
	}
	s.wantTrail(0)
}
