package admin_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

// TestKeysOfThePreviousSecret: a whole key that somebody pastes finds its binding, which
// is counted until it is moved.
func TestKeysOfThePreviousSecret(t *testing.T) {
	before := []byte("the secret before, for tests only")
	old, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: before})
	must(t, err)
	hash, hint, err := old.HashKey(testKey)
	must(t, err)
	bound := store.Binding{Hash: hash, Hint: hint, Status: store.StatusBanned, HashedWith: old.HashedWith(), Rule: store.Rule{
		Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")},
	}}
	s := newSite(t, func(o *admin.Options) {
		_, _, err := o.Store.Bind(t.Context(), bound)
		must(t, err)
		keys, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte("the secret of today, for tests only"), Previous: [][]byte{before}})
		must(t, err)
		resolver, err := clientip.New(clientip.Options{})
		must(t, err)
		o.Engine, err = engine.New(engine.Options{
			Store: o.Store, Resolver: resolver, Credentials: keys, Policy: engine.DefaultPolicy(), Logger: slog.New(slog.DiscardHandler), CacheEntries: 100,
		})
		must(t, err)
		t.Cleanup(func() { _ = o.Engine.Close(context.Background()) })
	})
	var found struct {
		Items []struct{ Hash, Status string }
		Key   struct{ Hash string }
	}
	s.call(account.Viewer, "POST", "/bindings/search", map[string]string{"key": testKey}).want(http.StatusOK).into(&found)
	if len(found.Items) != 1 || found.Items[0].Hash != hash.String() || found.Key.Hash != hash.String() {
		t.Errorf("search: got %+v, want %s", found, hash)
	}
	rule := map[string]any{"kind": "all"}
	s.call(account.Operator, "POST", "/bindings", map[string]any{"key": testKey, "rule": rule}).wantFault(http.StatusConflict, "already_bound")
	var why struct{ Reason string }
	s.call(account.Viewer, "POST", "/explain", map[string]string{"key": testKey, "ip": "192.0.2.1"}).want(http.StatusOK).into(&why)
	if why.Reason != "key_banned" {
		t.Errorf("explain: got %+v", why)
	}
	s.call(account.Operator, "POST", "/bindings/search", map[string]string{"key": "kéy"}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.key")

	var about struct {
		Hashes *struct{ Previous, AsSent, Unknown, Archived int }
	}
	for about.Hashes == nil { // counted in the background
		s.call(account.Viewer, "GET", "/about", nil).want(http.StatusOK).into(&about)
	}
	if about.Hashes.Previous != 1 || about.Hashes.Unknown != 0 {
		t.Errorf("about: got %+v", about.Hashes)
	}
	text, sample := scrape(t, s.api.Metrics())
	if got := sample("sentinel_bindings_of_other_hashes", "under", "previous"); got != 1 || strings.Contains(text, hash.String()) {
		t.Errorf("got %v left", got)
	}
}
