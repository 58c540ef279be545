package admin_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

type rebindLinkBody struct {
	ID, State, CreatedBy, UsedFrom, RevokedBy string
	ExpiresAt                                 time.Time
}

type newLinkBody struct {
	Link            rebindLinkBody
	Hint, Path, URL string
}

// linkable returns the path of the links of a key that is bound.
func (s *site) linkable() string {
	s.t.Helper()
	hash := store.KeyHash{7}
	_, err := s.engine.Preset(s.t.Context(), store.Binding{
		Hash: hash, Hint: "sk-ab…9fQ2", Status: store.StatusActive,
		Rule: store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")}},
	})
	must(s.t, err)
	return "/bindings/" + hash.String() + "/rebind-links"
}

func TestRebindLinks(t *testing.T) {
	s := newSite(t)
	path := s.linkable()
	target := "binding:" + store.KeyHash{7}.String()
	var made newLinkBody
	s.call(account.Operator, "POST", path, map[string]any{}).want(http.StatusCreated).into(&made)
	if left := made.Link.ExpiresAt.Sub(s.now()); left < 23*time.Hour || left > 24*time.Hour || made.Hint != "sk-ab…9fQ2" || made.URL != s.server.URL+made.Path {
		t.Errorf("got %+v", made)
	}
	token, found := strings.CutPrefix(made.Path, admin.RebindPath)
	if !found || len(token) != 43 {
		t.Errorf("got path %s", made.Path)
	}
	var list struct{ Items []rebindLinkBody }
	a := s.call(account.Viewer, "GET", path, nil).want(http.StatusOK).into(&list)
	if len(list.Items) != 1 || list.Items[0].State != "open" || list.Items[0].CreatedBy != "token:operator" || strings.Contains(string(a.body), token) {
		t.Errorf("got %s", a.body)
	}
	s.call(account.Operator, "DELETE", path+"/"+made.Link.ID, nil).want(http.StatusNoContent)
	s.call(account.Viewer, "GET", path, nil).into(&list)
	if list.Items[0].State != "revoked" || list.Items[0].RevokedBy != "token:operator" {
		t.Errorf("got %+v", list.Items)
	}
	s.call(account.Operator, "DELETE", path+"/"+token, nil).wantFault(http.StatusNotFound, "not_found")
	s.wantTrail(0, "token:operator rebind.create "+target, "token:operator rebind.revoke "+target)
	if s.trailHas(token) || strings.Contains(s.log.String(), token) {
		t.Error("the token is on record")
	}

	s.call(account.Operator, "POST", path, map[string]any{"seconds": 60}).want(http.StatusCreated).into(&made)
	s.advance(time.Minute)
	s.call(account.Operator, "DELETE", path+"/"+made.Link.ID, nil).wantFault(http.StatusConflict, "link_over")
}

func TestRebindLinksThatAreRefused(t *testing.T) {
	s := newSite(t)
	path := s.linkable()
	for name, test := range map[string]struct {
		body     map[string]any
		location string
	}{
		"past":           {map[string]any{"expiresAt": s.now().Add(-time.Minute)}, "body.expiresAt"},
		"now":            {map[string]any{"expiresAt": s.now()}, "body.expiresAt"},
		"too far":        {map[string]any{"expiresAt": s.now().Add(31 * 24 * time.Hour)}, "body.expiresAt"},
		"both":           {map[string]any{"expiresAt": s.now().Add(time.Hour), "seconds": 60}, "body.expiresAt"},
		"too long":       {map[string]any{"seconds": 30*24*3600 + 1}, "body.seconds"},
		"negative":       {map[string]any{"seconds": -1}, "body.seconds"},
		"no such a time": {map[string]any{"expiresAt": "tomorrow"}, "body.expiresAt"},
	} {
		a := s.call(account.Operator, "POST", path, test.body)
		if f := a.wantFault(http.StatusUnprocessableEntity, "invalid", test.location); len(f.Errors) == 0 {
			t.Errorf("%s: got %s", name, a.body)
		}
	}
	s.call(account.Operator, "POST", "/bindings/"+strings.Repeat("ab", 32)+"/rebind-links", map[string]any{}).wantFault(http.StatusNotFound, "not_found")
	for range 10 {
		s.call(account.Operator, "POST", path, map[string]any{"expiresAt": s.now().Add(time.Hour)}).want(http.StatusCreated)
	}
	s.call(account.Operator, "POST", path, map[string]any{}).wantFault(http.StatusConflict, "too_many_links")
	_, err := s.engine.Ban(t.Context(), store.KeyHash{7})
	must(t, err)
	s.call(account.Operator, "POST", path, map[string]any{}).wantFault(http.StatusConflict, "banned")
}

// TestHowLinksBegin: as the setting says, else as administration was asked, if
// that is where clients come too.
func TestHowLinksBegin(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*admin.Options)
		headers []string
		want    string // before the path; "self": the server's address
	}{
		"by the host":            {func(*admin.Options) {}, nil, "self"},
		"https, says the proxy":  {func(*admin.Options) {}, []string{"X-Forwarded-Proto: https"}, "https self"},
		"https, says the page":   {func(*admin.Options) {}, []string{"Origin: https://x.example.com"}, "https self"},
		"by the setting":         {func(o *admin.Options) { o.PublicURL = func() string { return "https://gw.example.com/x/" } }, nil, "https://gw.example.com/x"},
		"an address of its own":  {func(o *admin.Options) { o.SharesPublic = false }, nil, ""},
		"the setting is not set": {func(o *admin.Options) { o.PublicURL = func() string { return "" }; o.SharesPublic = false }, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, test.change)
			var made newLinkBody
			s.call(account.Operator, "POST", s.linkable(), map[string]any{}, test.headers...).want(http.StatusCreated).into(&made)
			want := test.want
			switch test.want {
			case "self":
				want = s.server.URL
			case "https self":
				want = strings.Replace(s.server.URL, "http:", "https:", 1)
			}
			if want != "" {
				want += made.Path
			}
			if made.URL != want {
				t.Errorf("got %q, want %q", made.URL, want)
			}
		})
	}
	s := newSite(t, func(o *admin.Options) { o.Rebind = nil })
	s.call(account.Operator, "POST", s.linkable(), map[string]any{}).wantFault(http.StatusNotImplemented, "not_implemented")
}
