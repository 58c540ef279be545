package engine_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// TestCut changes a binding while exchanges are under way.
func TestCut(t *testing.T) {
	ban := func(r *rig) { r.ban(keyA) }
	move := func(r *rig) { r.setRule(keyA, single("203.0.113.0/24")) }
	widen := func(r *rig) { r.setRule(keyA, single("192.0.2.0/24")) }
	all := func(r *rig) { r.setRule(keyA, store.Rule{Kind: store.RuleAll}) }
	unbind := func(r *rig) {
		if _, err := r.Unbind(context.Background(), r.hash(keyA), 0); err != nil {
			r.t.Fatal(err)
		}
	}
	unban := func(r *rig) {
		if _, err := r.Unban(context.Background(), r.hash(keyA)); err != nil {
			r.t.Fatal(err)
		}
	}
	unbindAndTake := func(r *rig) {
		unbind(r)
		wantReason(r.t, "first use by somebody else", r.use(elsewhere, keyA), "")
	}
	cases := []struct {
		name   string
		change func(*rig)
		header []string
		want   engine.Reason // empty: not cut
		before string        // what is recorded of an exchange that is not answered
		after  string        // and of one that is
	}{
		{"ban", ban, []string{bearer(keyA)}, engine.KeyBanned, "key_banned", "stream_cut"},
		{"ban of the second key", ban, []string{bearer(keyB), "X-Goog-Api-Key: " + keyA}, engine.KeyBanned, "key_banned", "stream_cut"},
		{"ban of another key", ban, []string{bearer(keyB)}, "", "", ""},
		{"ban without keys", ban, nil, "", "", ""},
		{"a rule that does not cover it", move, []string{bearer(keyA)}, engine.IPNotAllowed, "ip_not_allowed", "stream_cut"},
		{"a wider rule", widen, []string{bearer(keyA)}, "", "", ""},
		{"the rule all", all, []string{bearer(keyA)}, "", "", ""},
		{"unbind", unbind, []string{bearer(keyA)}, "", "", ""},
		{"unban", unban, []string{bearer(keyA)}, "", "", ""},
		{"unbind, and the first use of somebody else", unbindAndTake, []string{bearer(keyA)}, engine.IPNotAllowed, "ip_not_allowed", "stream_cut"},
		{"the first of two changes", func(r *rig) { ban(r); move(r) }, []string{bearer(keyA)}, engine.KeyBanned, "key_banned", "stream_cut"},
	}
	for _, c := range cases {
		for _, answered := range []bool{false, true} {
			name := c.name + " before the answer"
			if answered {
				name = c.name + " after the answer"
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t).bound(keyA, keyB)
				f := r.open(atHome, request(t, pathChat, c.header...))
				if answered {
					wantReason(t, "answer", f.accept(true).Refused, "")
				}
				c.change(r)
				d, cut := f.Cut()
				wantReason(t, "cut", d.Refused, c.want)
				if cut != (c.want != "") || cut != f.wasCancelled() {
					t.Errorf("cut %v, cancelled %v", cut, f.wasCancelled())
				}
				if !answered {
					wantReason(t, "answer", f.accept(true).Refused, c.want)
				}
				f.done()
				want := c.before
				if answered {
					want = c.after
				}
				if got := r.reasons(); got != want {
					t.Errorf("recorded %q, want %q", got, want)
				}
			})
		}
	}
}

func TestCutIsCountedOnce(t *testing.T) {
	r := newRig(t).bound(keyA)
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	wantReason(t, "answer", f.accept(true).Refused, "")
	r.ban(keyA)
	r.ban(keyA)
	f.done()
	counts := r.Counts()
	if counts["cut"] != 1 || counts["allowed"] != 2 {
		t.Errorf("got counts %v", counts)
	}
	if got := r.reasons(); got != "stream_cut" {
		t.Errorf("recorded %q", got)
	}
}

func TestDoneIsNotCut(t *testing.T) {
	r := newRig(t).bound(keyA)
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	f.done()
	r.ban(keyA)
	if _, cut := f.Cut(); cut || f.wasCancelled() {
		t.Error("an exchange that has ended was cut")
	}
}

// TestPendingIsCut changes the binding of a key that is not bound yet.
func TestPendingIsCut(t *testing.T) {
	preset := func(r *rig, status store.Status) {
		t.Helper()
		_, err := r.Preset(t.Context(), store.Binding{Hash: r.hash(keyA), Status: status, Rule: single("203.0.113.0/24"), Label: "lab"})
		if err != nil {
			t.Fatal(err)
		}
	}
	for status, want := range map[store.Status]struct {
		reason   engine.Reason
		recorded string
	}{
		store.StatusActive: {engine.IPNotAllowed, "lost_race"},
		store.StatusBanned: {engine.KeyBanned, "key_banned"},
	} {
		t.Run("preset "+string(status), func(t *testing.T) {
			r := newRig(t)
			f := r.open(atHome, request(t, pathChat, bearer(keyA)))
			preset(r, status)
			if !f.wasCancelled() {
				t.Error("not cancelled")
			}
			wantReason(t, "answer", f.accept(true).Refused, want.reason)
			f.done()
			if got := r.boundTo(keyA); got != "203.0.113.0/24" {
				t.Errorf("bound to %q", got)
			}
			if got := r.reasons(); got != want.recorded {
				t.Errorf("recorded %q, want %q", got, want.recorded)
			}
		})
	}
	t.Run("another key of the request", func(t *testing.T) {
		r := newRig(t).bound(keyB)
		f := r.open(atHome, request(t, pathChat, bearer(keyA), "X-Goog-Api-Key: "+keyB))
		r.ban(keyB)
		wantReason(t, "answer", f.accept(true).Refused, engine.KeyBanned)
		f.done()
		if got := r.boundTo(keyA); got != "" {
			t.Errorf("bound to %q by a request that was cut", got)
		}
	})
}

// TestRefusedIsRecordedOnce: a refusal that a change of the binding overtakes is
// still one refusal.
func TestRefusedIsRecordedOnce(t *testing.T) {
	t.Run("refused at once", func(t *testing.T) {
		r := newRig(t).bound(keyA)
		f, d := r.send(elsewhere, request(t, pathChat, bearer(keyA)))
		wantReason(t, "from elsewhere", d.Refused, engine.IPNotAllowed)
		r.ban(keyA)
		f.done()
		if got := r.reasons(); got != "ip_not_allowed" {
			t.Errorf("recorded %q", got)
		}
		r.wantCounts(map[string]uint64{"allowed": 1, "bound": 1, "intercepted": 1})
	})
	t.Run("lost the race", func(t *testing.T) {
		r := newRig(t)
		f := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
		bindElsewhere(t, r, keyA)
		wantReason(t, "loser", f.accept(true).Refused, engine.IPNotAllowed)
		// As the winner's own look at the exchanges under way.
		r.setRule(keyA, single("192.0.2.0/24"))
		f.done()
		if got := r.reasons(); got != "lost_race" {
			t.Errorf("recorded %q", got)
		}
	})
}

// TestFailsafeRefusalIsCountedOnce has a refusal for want of the store overtaken
// by a ban, once the store is back.
func TestFailsafeRefusalIsCountedOnce(t *testing.T) {
	r := newRig(t)
	bindElsewhere(t, r, keyA)
	r.store.set(func(s *faultyStore) { s.binding = failAlways })
	f, d := r.send(atHome, request(t, pathChat, bearer(keyA)))
	wantReason(t, "without store", d.Refused, engine.StoreUnavailable)
	r.store.set(func(s *faultyStore) { s.binding = nil })
	r.ban(keyA)
	f.done()
	r.wantCounts(map[string]uint64{"failsafe_closed": 1})
	if got := r.reasons(); got != "" {
		t.Errorf("recorded %q", got)
	}
}

// TestObservedIsCutLater: what was passed and only noted is cut like all others
// once decisions are carried out.
func TestObservedIsCutLater(t *testing.T) {
	r := newRig(t, observing).bound(keyA)
	f := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
	wantReason(t, "answer", f.accept(true).Refused, "")
	if err := r.SetPolicy(engine.DefaultPolicy()); err != nil {
		t.Fatal(err)
	}
	r.ban(keyA)
	if !f.wasCancelled() {
		t.Error("not cut")
	}
	f.done()
	r.wantCounts(map[string]uint64{"allowed": 2, "bound": 1, "observed": 1, "cut": 1})
	if got := r.reasons(); got != "ip_not_allowed? stream_cut" {
		t.Errorf("recorded %q", got)
	}
}

// TestBanCutsWithoutStore: the ban is stored, and then the store fails.
func TestBanCutsWithoutStore(t *testing.T) {
	r := newRig(t).bound(keyA)
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	wantReason(t, "answer", f.accept(true).Refused, "")
	r.store.set(func(s *faultyStore) {
		s.replace = func() error {
			r.store.set(func(s *faultyStore) { s.binding = failAlways })
			return nil
		}
	})
	r.ban(keyA)
	if d, cut := f.Cut(); !cut || d.Refused != engine.KeyBanned {
		t.Errorf("got %+v, cut %v: a ban that was acknowledged left its stream open", d, cut)
	}
	f.done()
}

func TestChanges(t *testing.T) {
	ctx := t.Context()
	t.Run("of nothing", func(t *testing.T) {
		r := newRig(t)
		hash := r.hash(keyA)
		_, ban := r.Ban(ctx, hash)
		_, unban := r.Unban(ctx, hash)
		_, rule := r.SetRule(ctx, hash, store.Rule{Kind: store.RuleAll})
		_, unbind := r.Unbind(ctx, hash, 0)
		for name, err := range map[string]error{"ban": ban, "unban": unban, "set rule": rule, "unbind": unbind} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
	t.Run("each in force on the next request", func(t *testing.T) {
		r := newRig(t).bound(keyA)
		hash := r.hash(keyA)
		r.ban(keyA)
		wantReason(t, "banned", r.use(atHome, keyA), engine.KeyBanned)
		if b, err := r.Unban(ctx, hash); err != nil || b.Status != store.StatusActive {
			t.Errorf("unban: %+v, %v", b, err)
		}
		wantReason(t, "unbanned", r.use(atHome, keyA), "")
		rule := store.Rule{Kind: store.RuleMultiple, Prefixes: []netip.Prefix{
			netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32"),
		}}
		r.setRule(keyA, rule)
		wantReason(t, "outside of the rule", r.use(atHome, keyA), engine.IPNotAllowed)
		wantReason(t, "inside", r.use(elsewhere, keyA), "")
		wantReason(t, "inside, v6", r.use("[2001:db8::1]:1", keyA), "")
		if _, err := r.Unbind(ctx, hash, 0); err != nil {
			t.Error(err)
		}
		wantReason(t, "first use again", r.use(atHome, keyA), "")
		if got := r.boundTo(keyA); got != "192.0.2.1/32" {
			t.Errorf("bound to %q", got)
		}
	})
	t.Run("to what is no rule", func(t *testing.T) {
		r := newRig(t).bound(keyA)
		if _, err := r.SetRule(ctx, r.hash(keyA), store.Rule{Kind: store.RuleMultiple}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("got %v", err)
		}
		wantReason(t, "afterwards", r.use(atHome, keyA), "")
	})
	t.Run("preset of a bound key", func(t *testing.T) {
		r := newRig(t).bound(keyA)
		b, err := r.Preset(ctx, store.Binding{Hash: r.hash(keyA), Status: store.StatusActive, Rule: store.Rule{Kind: store.RuleAll}})
		if !errors.Is(err, store.ErrConflict) || b.Rule.Kind != store.RuleSingle {
			t.Errorf("got %+v, %v, want a conflict with what is there", b, err)
		}
	})
	t.Run("preset", func(t *testing.T) {
		r := newRig(t)
		b, err := r.Preset(ctx, store.Binding{Hash: r.hash(keyA), Status: store.StatusActive, Rule: single("198.51.100.0/24"), Label: "lab"})
		if err != nil || b.Revision == 0 || b.Label != "lab" || b.CreatedAt.IsZero() {
			t.Errorf("got %+v, %v", b, err)
		}
		wantReason(t, "from outside", r.use(atHome, keyA), engine.IPNotAllowed)
		wantReason(t, "from inside", r.use(elsewhere, keyA), "")
	})
	t.Run("while another node changes it too", func(t *testing.T) {
		r := newRig(t).bound(keyA)
		conflicts := 3
		r.store.set(func(s *faultyStore) {
			s.replace = func() error {
				if conflicts--; conflicts >= 0 {
					return store.ErrConflict
				}
				return nil
			}
		})
		r.ban(keyA)
		wantReason(t, "banned", r.use(atHome, keyA), engine.KeyBanned)
		r.store.set(func(s *faultyStore) { s.replace = func() error { return store.ErrConflict } })
		if _, err := r.Unban(ctx, r.hash(keyA)); !errors.Is(err, store.ErrConflict) {
			t.Errorf("got %v, want it to give up", err)
		}
		r.store.set(func(s *faultyStore) { s.replace = nil })
	})
	t.Run("that may have happened", func(t *testing.T) {
		r := newRig(t).bound(keyA)
		f := r.open(atHome, request(t, pathChat, bearer(keyA)))
		r.store.set(func(s *faultyStore) {
			s.replace = func() error {
				b, err := r.store.Store.Binding(ctx, r.hash(keyA))
				b.Status = store.StatusBanned
				_, replaced := r.store.Store.ReplaceBinding(ctx, b)
				return errors.Join(store.ErrUnavailable, err, replaced)
			}
		})
		if _, err := r.Ban(ctx, r.hash(keyA)); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if d, cut := f.Cut(); !cut || d.Refused != engine.KeyBanned {
			t.Errorf("got %+v, %v", d, cut)
		}
		f.done()
		wantReason(t, "afterwards", r.use(atHome, keyA), engine.KeyBanned)
	})
}
