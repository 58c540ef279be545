package engine_test

import (
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

func TestObserveRefusesNothing(t *testing.T) {
	cases := []struct {
		name   string
		from   string
		target string
		header []string
		want   engine.Reason // what is observed
	}{
		{"bound, from home", atHome, pathChat, []string{bearer(keyA)}, ""},
		{"bound, from elsewhere", elsewhere, pathChat, []string{bearer(keyA)}, engine.IPNotAllowed},
		{"banned", atHome, pathChat, []string{bearer(keyB)}, engine.KeyBanned},
		{"no key", atHome, pathChat, nil, engine.CredentialRequired},
		{"client IP missing", trustedAt, pathChat, []string{bearer(keyC)}, engine.InvalidClientIP},
		{"client IP malformed", trustedAt, pathChat, []string{bearer(keyC), "X-Real-IP: x"}, engine.InvalidClientIP},
		{"no peer address", "@", pathChat, []string{bearer(keyC)}, engine.InvalidClientIP},
		{"repeated credentials", atHome, pathChat, []string{bearer(keyC), bearer(keyC)}, engine.InvalidCredential},
		{"key outside ASCII", atHome, pathChat, []string{bearer(keyC + "é")}, engine.InvalidAPIKey},
		{"too many keys", atHome, pathChat, []string{manyHeader(17)}, engine.InvalidCredential},
		{"playground", atHome, "/pg/chat/completions", []string{bearer(keyC)}, engine.DashboardRefused},
		{"unknown beside a stolen key", elsewhere, pathChat, []string{bearer(keyC), "X-Goog-Api-Key: " + keyA}, engine.IPNotAllowed},
		{"unknown beside a banned key", atHome, pathChat, []string{bearer(keyC), "X-Goog-Api-Key: " + keyB}, engine.KeyBanned},
	}
	for _, bindOn := range []engine.BindOn{engine.BindOnAccepted, engine.BindOnRequest} {
		for _, c := range cases {
			t.Run(c.name+", binding on "+string(bindOn), func(t *testing.T) {
				r := newRig(t, observing, rejecting, dashboards, policy(func(p *engine.Policy) { p.BindOn = bindOn })).bound(keyA, keyB)
				r.ban(keyB)
				f := r.open(c.from, request(t, c.target, c.header...))
				wantReason(t, "observed", f.Observed, c.want)
				if f.Pending() && c.want != "" {
					t.Error("a binding is to come")
				}
				wantReason(t, "answer", f.accept(true).Refused, "")
				f.done()
				if got := r.boundTo(keyC); got != "" {
					t.Errorf("bound to %q by what would be refused", got)
				}
			})
		}
	}
}

func TestObserveRecords(t *testing.T) {
	r := newRig(t, observing).bound(keyA, keyB)
	r.ban(keyB)
	wantReason(t, "from elsewhere", r.use(elsewhere, keyA), "")
	wantReason(t, "banned", r.use(atHome, keyB), "")
	wantReason(t, "first use", r.use(elsewhere, keyC), "")
	if got := r.boundTo(keyC); got != "198.51.100.7/32" {
		t.Errorf("the new key is bound to %q", got)
	}
	r.wantCounts(map[string]uint64{"allowed": 5, "bound": 3, "observed": 2})
	if got := r.reasons(); got != "ip_not_allowed? key_banned?" {
		t.Errorf("recorded %q", got)
	}
}

func TestObserveCutsNothing(t *testing.T) {
	r := newRig(t, observing).bound(keyA)
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	wantReason(t, "answer", f.accept(true).Refused, "")
	r.ban(keyA)
	r.setRule(keyA, single("203.0.113.0/24"))
	if d, cut := f.Cut(); cut || f.wasCancelled() {
		t.Errorf("got %+v", d)
	}
	f.done()
	if got := r.reasons(); got != "" {
		t.Errorf("recorded %q", got)
	}
}

func TestObserveLostRace(t *testing.T) {
	r := newRig(t, observing)
	loser := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
	wantReason(t, "winner", r.use(atHome, keyA), "")
	wantReason(t, "loser", loser.accept(true).Refused, "")
	wantReason(t, "observed", loser.Observed, engine.IPNotAllowed)
	loser.done()
	r.wantCounts(map[string]uint64{"allowed": 2, "bound": 1, "observed": 1})
	recs := r.records()
	if len(recs) != 1 || recs[0].Reason != store.ReasonLostRace || !recs[0].Observed {
		t.Errorf("recorded %+v", recs)
	}
}

func TestObserveWithoutStore(t *testing.T) {
	r := newRig(t, observing)
	r.store.set(func(s *faultyStore) { s.binding = failAlways })
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	wantReason(t, "answer", f.accept(true).Refused, "")
	f.done()
	r.store.set(func(s *faultyStore) { s.binding, s.bind = nil, failAlways })
	wantReason(t, "binding", r.use(atHome, keyA), "")
	if got := r.boundTo(keyA); got != "" {
		t.Errorf("bound to %q", got)
	}
	r.wantCounts(map[string]uint64{"allowed": 2, "failsafe_open": 2})
}

// TestObserveIsNotLimited: what only observes does not refuse for being called
// too often either.
func TestObserveIsNotLimited(t *testing.T) {
	r := newRig(t, observing, limited(1)).bound(keyA)
	f := r.open(atHome, request(t, pathChat, bearer(keyA)))
	wantReason(t, "observed", f.Observed, engine.RateLimited)
	f.done()
}
