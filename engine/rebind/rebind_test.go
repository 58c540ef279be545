package rebind_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

var (
	key   = store.KeyHash{1}
	home  = netip.MustParseAddr("203.0.113.9")
	roams = netip.MustParseAddr("198.51.100.7")
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is links over an engine with one bound key.
type rig struct {
	t      testing.TB
	store  *faultyStore
	engine *engine.Engine
	links  *rebind.Links
	offset atomic.Int64 // of the clock
}

// faultyStore fails to take documents of links when told.
type faultyStore struct {
	*memory.Store
	failing     atomic.Bool
	conflicting atomic.Bool
}

func (s *faultyStore) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	if s.failing.Load() {
		return store.Document{}, store.ErrUnavailable
	}
	if s.conflicting.Load() {
		return store.Document{}, store.ErrConflict
	}
	return s.Store.PutDocument(ctx, d)
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.offset.Load())) }

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, store: &faultyStore{Store: memory.New()}}
	resolver, err := clientip.New(clientip.Options{})
	must(t, err)
	keys, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte(strings.Repeat("secret for tests only ", 2))})
	must(t, err)
	r.engine, err = engine.New(engine.Options{
		Store: r.store, Resolver: resolver, Credentials: keys, Policy: engine.DefaultPolicy(), Logger: slog.New(slog.DiscardHandler),
		CacheEntries: 100, OnShut: func(ctx context.Context, hash store.KeyHash) { r.links.Shut(ctx, hash) },
	})
	must(t, err)
	t.Cleanup(func() { must(t, r.engine.Close(context.Background())) })
	r.open()
	r.bindKey()
	return r
}

// open reads the links as a start does.
func (r *rig) open() {
	r.t.Helper()
	var err error
	r.links, err = rebind.New(r.t.Context(), rebind.Options{Store: r.store, Keys: r.engine, Logger: slog.New(slog.DiscardHandler), Now: r.now})
	must(r.t, err)
}

func (r *rig) bindKey() {
	r.t.Helper()
	_, err := r.engine.Preset(r.t.Context(), store.Binding{
		Hash: key, Hint: "sk-ab…9fQ2", Status: store.StatusActive,
		Rule: store.Rule{Kind: store.RuleMultiple, Prefixes: []netip.Prefix{netip.PrefixFrom(home, 32), netip.MustParsePrefix("10.0.0.0/8")}},
	})
	must(r.t, err)
}

func (r *rig) create() (rebind.Link, string) {
	r.t.Helper()
	link, token, err := r.links.Create(r.t.Context(), key, time.Hour, "account:ada")
	must(r.t, err)
	return link, token
}

// wantGone says that neither looking nor using tells or does anything.
func (r *rig) wantGone(what, token string) {
	r.t.Helper()
	if o, err := r.links.Look(r.t.Context(), token, roams); !errors.Is(err, rebind.ErrGone) || o != (rebind.Offer{}) {
		r.t.Errorf("%s: looking got %+v, %v, want it gone", what, o, err)
	}
	if _, err := r.links.Use(r.t.Context(), token, roams); !errors.Is(err, rebind.ErrGone) {
		r.t.Errorf("%s: using got %v, want it gone", what, err)
	}
}

// boundTo returns the rule of the key.
func (r *rig) boundTo() string {
	r.t.Helper()
	b, err := r.store.Binding(r.t.Context(), key)
	must(r.t, err)
	raw, err := json.Marshal(b.Rule)
	must(r.t, err)
	return string(raw)
}

func (r *rig) state(id string) rebind.Link {
	r.t.Helper()
	list, err := r.links.List(r.t.Context(), key)
	must(r.t, err)
	for _, link := range list {
		if link.ID == id {
			return link
		}
	}
	r.t.Fatalf("no link %s in %+v", id, list)
	return rebind.Link{}
}

func TestALinkBindsOnce(t *testing.T) {
	r := newRig(t)
	link, token := r.create()
	before := r.boundTo()
	for range 3 {
		o, err := r.links.Look(t.Context(), token, roams)
		if err != nil || o.Hint != "sk-ab…9fQ2" || o.Prefix.String() != "198.51.100.7/32" || !o.ExpiresAt.Equal(link.ExpiresAt) {
			t.Fatalf("got %+v, %v", o, err)
		}
	}
	if r.boundTo() != before || r.state(link.ID).State != rebind.Open {
		t.Error("looking has changed something")
	}
	use, err := r.links.Use(t.Context(), token, roams)
	must(t, err)
	b, err := r.store.Binding(t.Context(), key)
	must(t, err)
	if b.Rule.Kind != store.RuleSingle || len(b.Rule.Prefixes) != 1 || b.Rule.Prefixes[0] != netip.PrefixFrom(roams, 32) ||
		use.After.Revision != b.Revision || use.Before.Rule.Kind != store.RuleMultiple {
		t.Errorf("got %+v, %+v", b.Rule, use)
	}
	if s := r.state(link.ID); s.State != rebind.Used || s.UsedFrom != roams || s.UsedAt.IsZero() || s.UsedFor != b.Rule.Prefixes[0] {
		t.Errorf("got %+v", s)
	}
	r.wantGone("used", token)
	r.open()
	r.wantGone("used, after a restart", token)
	docs, err := r.store.ListDocuments(t.Context(), "rebind-link")
	must(t, err)
	if strings.Contains(docs[0].ID+string(docs[0].Body), token) {
		t.Error("the token is stored")
	}
}

func TestIPv6BindsAsAFirstUseWould(t *testing.T) {
	r := newRig(t)
	_, token := r.create()
	_, err := r.links.Use(t.Context(), token, netip.MustParseAddr("2001:db8:1:2:3::4"))
	must(t, err)
	if got := r.boundTo(); !strings.Contains(got, `"2001:db8:1:2::/64"`) {
		t.Errorf("got %s", got)
	}
}

func TestOfManyAtOnceOneWins(t *testing.T) {
	r := newRig(t)
	for range 20 {
		_, token := r.create()
		var won atomic.Int64
		var racers sync.WaitGroup
		for i := range 16 {
			racers.Go(func() {
				ip := netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
				use, err := r.links.Use(t.Context(), token, ip)
				if err == nil {
					won.Add(1)
					if use.After.Rule.Prefixes[0].Addr() != ip {
						t.Errorf("%s bound it to %s", ip, use.After.Rule.Prefixes[0])
					}
				} else if !errors.Is(err, rebind.ErrGone) {
					t.Error(err)
				}
			})
		}
		if racers.Wait(); won.Load() != 1 {
			t.Fatalf("%d have won", won.Load())
		}
	}
}

func TestWhatIsNoLink(t *testing.T) {
	r := newRig(t)
	_, token := r.create()
	last := map[bool]byte{true: 'A', false: 'B'}[token[len(token)-1] == 'B']
	for name, other := range map[string]string{
		"empty": "", "short": token[:42], "long": token + "A", "of another end": token[:42] + string(last), "another case": strings.ToLower(token),
		"huge": strings.Repeat("A", 1<<20), "padded": token + "=", "a path": "../" + token[3:],
	} {
		r.wantGone(name, other)
	}
	if _, err := r.links.Look(t.Context(), token, roams); err != nil {
		t.Errorf("the link itself: %v", err)
	}
}

func TestLinksEnd(t *testing.T) {
	for name, test := range map[string]struct {
		end   func(r *rig, id string) error
		state rebind.State
		by    string
	}{
		"late":    {func(r *rig, _ string) error { r.offset.Store(int64(time.Hour)); return nil }, rebind.Ended, ""},
		"revoked": {func(r *rig, id string) error { _, err := r.links.Revoke(r.t.Context(), key, id, "local"); return err }, rebind.Revoked, "local"},
		"banned, and unbanned": {func(r *rig, _ string) error {
			_, err := r.engine.Ban(r.t.Context(), key)
			_, err2 := r.engine.Unban(r.t.Context(), key)
			return errors.Join(err, err2)
		}, rebind.Revoked, rebind.ByBan},
		"unbound, and bound again": {func(r *rig, _ string) error {
			_, err := r.engine.Unbind(r.t.Context(), key, 0)
			r.bindKey()
			return err
		}, rebind.Revoked, rebind.ByUnbind},
		"banned with many": {func(r *rig, _ string) error {
			status := store.StatusBanned
			_, err := r.engine.Bulk(r.t.Context(), engine.BulkTarget{Hashes: []store.KeyHash{key}}, engine.BulkAct{Edit: &engine.BindingEdit{Status: &status}}, false, nil)
			return err
		}, rebind.Revoked, rebind.ByBan},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			link, token := r.create()
			must(t, test.end(r, link.ID))
			before := r.boundTo()
			r.wantGone(name, token)
			if r.boundTo() != before {
				t.Error("the binding has changed")
			}
			if s := r.state(link.ID); s.State != test.state || s.RevokedBy != test.by {
				t.Errorf("got %+v, want %s by %q", s, test.state, test.by)
			}
			if _, err := r.links.Revoke(t.Context(), key, link.ID, "local"); test.state == rebind.Ended && !errors.Is(err, rebind.ErrGone) {
				t.Errorf("revoked then: %v", err)
			}
		})
	}
}

// TestABanThatTheStoreDidNotNote: the process that banned the key refuses the
// link, and so does the next.
func TestABanThatTheStoreDidNotNote(t *testing.T) {
	r := newRig(t)
	link, token := r.create()
	r.store.failing.Store(true)
	_, err := r.engine.Ban(t.Context(), key)
	must(t, err)
	r.wantGone("while the store fails", token)
	r.store.failing.Store(false)
	_, err = r.engine.Unban(t.Context(), key)
	must(t, err)
	r.wantGone("unbanned", token)

	_, err = r.engine.Ban(t.Context(), key) // as if the program was killed right after it
	must(t, err)
	r.open()
	_, err = r.engine.Unban(t.Context(), key)
	must(t, err)
	r.wantGone("after a restart", token)
	if s := r.state(link.ID); s.State != rebind.Revoked {
		t.Errorf("got %+v", s)
	}
}

// TestACopyThatDoesNotFollow: the store knows another revision of a link for as long as
// it is tried. Then it is let be, and the key's links are refused all the same.
func TestACopyThatDoesNotFollow(t *testing.T) {
	r := newRig(t)
	_, token := r.create()
	r.store.conflicting.Store(true)
	_, err := r.engine.Ban(t.Context(), key)
	must(t, err)
	r.links.Moved(t.Context(), key, store.KeyHash{2})
	r.store.conflicting.Store(false)
	_, err = r.engine.Unban(t.Context(), key)
	must(t, err)
	r.wantGone("unbanned", token)
}

// TestACrashLeavesNoUsableUsedLink: what is done first is what must not be lost.
func TestACrashLeavesNoUsableUsedLink(t *testing.T) {
	r := newRig(t)
	_, token := r.create()
	before := r.boundTo()
	crashing, err := rebind.New(t.Context(), rebind.Options{Store: r.store, Keys: crashes{r.engine}, Logger: slog.New(slog.DiscardHandler), Now: r.now})
	must(t, err)
	if _, err := crashing.Use(t.Context(), token, roams); !errors.Is(err, errCrash) {
		t.Fatalf("got %v", err)
	}
	r.open()
	r.wantGone("after the crash", token)
	if r.boundTo() != before {
		t.Error("the key is bound anew")
	}

	_, token = r.create()
	r.store.failing.Store(true)
	if _, err := r.links.Use(t.Context(), token, roams); !errors.Is(err, store.ErrUnavailable) || r.boundTo() != before {
		t.Errorf("a link that cannot be marked: got %v, %s, want nothing done", err, r.boundTo())
	}
	r.store.failing.Store(false)
	if _, err := r.links.Use(t.Context(), token, roams); err != nil {
		t.Errorf("and then: %v", err)
	}
}

var errCrash = errors.New("crash")

// crashes is an engine whose process ends before it binds a key.
type crashes struct{ *engine.Engine }

func (crashes) Edit(context.Context, store.KeyHash, engine.BindingEdit) (before, after store.Binding, err error) {
	return store.Binding{}, store.Binding{}, errCrash
}

// TestLinksOfAMovedKey: they are for the key's new hash, and end with it.
func TestLinksOfAMovedKey(t *testing.T) {
	r := newRig(t)
	_, token := r.create()
	_, other := r.create()
	b, err := r.store.Binding(t.Context(), key)
	must(t, err)
	to := store.KeyHash{2}
	_, err = r.store.Rekey(t.Context(), store.Rekeying{From: key, To: to, Revision: b.Revision})
	must(t, err)
	r.links.Moved(t.Context(), key, to)
	use, err := r.links.Use(t.Context(), token, roams)
	if err != nil || use.After.Hash != to || use.Link.Key != to {
		t.Errorf("got %+v, %v", use, err)
	}
	if list, err := r.links.List(t.Context(), to); err != nil || len(list) != 2 {
		t.Errorf("got %+v, %v", list, err)
	}
	r.open() // as the next start reads them
	if _, err := r.links.Look(t.Context(), other, roams); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	_, err = r.engine.Ban(t.Context(), to)
	must(t, err)
	r.wantGone("of a banned key", other)
}

func TestCreateRefuses(t *testing.T) {
	r := newRig(t)
	for _, lasts := range []time.Duration{0, -time.Hour, rebind.MaxFor + 1} {
		if _, _, err := r.links.Create(t.Context(), key, lasts, "local"); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("for %s: got %v", lasts, err)
		}
	}
	if _, _, err := r.links.Create(t.Context(), store.KeyHash{2}, time.Hour, "local"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown key: got %v", err)
	}
	for range rebind.MaxOpen {
		r.create()
	}
	if _, _, err := r.links.Create(t.Context(), key, time.Hour, "local"); !errors.Is(err, rebind.ErrTooMany) {
		t.Errorf("one too many: got %v", err)
	}
	r.offset.Store(int64(2 * time.Hour)) // they are over
	r.create()
	r.offset.Store(int64(40 * 24 * time.Hour)) // and nobody wants to see them any more
	r.create()
	if list, err := r.links.List(t.Context(), key); err != nil || len(list) != 1 {
		t.Errorf("got %d links, %v, want the old ones removed", len(list), err)
	}
	_, err := r.engine.Ban(t.Context(), key)
	must(t, err)
	if _, _, err := r.links.Create(t.Context(), key, time.Hour, "local"); !errors.Is(err, rebind.ErrBanned) {
		t.Errorf("a banned key: got %v", err)
	}
}
