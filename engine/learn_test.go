package engine_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

func learning(limit int, within time.Duration, prefixes ...string) store.Rule {
	return store.Rule{Kind: store.RuleLearn, Prefixes: prefixList(prefixes...), Learn: store.Learn{Limit: limit, Within: within}}
}

func newRules(t *testing.T, text string) func(*setup) {
	t.Helper()
	rules, err := engine.ParseNewRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return policy(func(p *engine.Policy) { p.NewRules = rules })
}

func TestRuleLearnsUntilItIsFull(t *testing.T) {
	r := newRig(t, newRules(t, "learn:3/24h")).bound(keyA)
	wantReason(t, "second address", r.use(elsewhere, keyA), "")
	if got := r.boundTo(keyA); got != "192.0.2.1/32 198.51.100.7/32" {
		t.Errorf("after two addresses: bound to %q", got)
	}
	wantReason(t, "the same again", r.use(elsewhere, keyA), "")
	wantReason(t, "third address", r.use("[2001:db8::7]:1", keyA), "")
	wantReason(t, "fourth address", r.use("203.0.113.9:1", keyA), engine.IPNotAllowed)
	wantReason(t, "the first again", r.use(atHome, keyA), "")
	if got := r.boundTo(keyA); got != "192.0.2.1/32 198.51.100.7/32 2001:db8::/64" {
		t.Errorf("bound to %q", got)
	}
	r.wantCounts(map[string]uint64{"allowed": 5, "bound": 1, "learned": 2, "intercepted": 1})
}

func TestRuleLearnsUntilItsTimeIsOver(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	r := newRig(t, newRules(t, "learn:3/1h"), func(s *setup) { s.Now = func() time.Time { return clock() } }).bound(keyA)
	now = now.Add(59 * time.Minute)
	wantReason(t, "within the hour", r.use(elsewhere, keyA), "")
	now = now.Add(2 * time.Minute)
	wantReason(t, "after the hour", r.use("203.0.113.9:1", keyA), engine.IPNotAllowed)
	wantReason(t, "learned before", r.use(elsewhere, keyA), "")
}

func TestPresetRuleLearnsFromItsFirstUseOn(t *testing.T) {
	now := time.Now()
	r := newRig(t, func(s *setup) { s.Now = func() time.Time { return now } })
	b := store.Binding{Hash: r.hash(keyA), Status: store.StatusActive, Rule: learning(2, time.Hour)}
	if _, err := r.Preset(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	now = now.Add(100 * time.Hour)
	wantReason(t, "first use, long after", r.use(atHome, keyA), "")
	now = now.Add(59 * time.Minute)
	wantReason(t, "within the hour", r.use(elsewhere, keyA), "")
	wantReason(t, "one more", r.use("203.0.113.9:1", keyA), engine.IPNotAllowed)
}

// TestOnlyAcceptedUsesAreLearned: whoever has a stolen key that is revoked
// downstream, or calls where keys are not checked, teaches the rule nothing.
func TestOnlyAcceptedUsesAreLearned(t *testing.T) {
	r := newRig(t, newRules(t, "learn:3/24h")).bound(keyA)
	wantReason(t, "refused by the downstream", r.serve(elsewhere, request(t, pathChat, bearer(keyA)), false), "")
	wantReason(t, "where keys are not checked", r.serve(elsewhere, request(t, pathPublic, bearer(keyA)), true), "")
	if got := r.boundTo(keyA); got != "192.0.2.1/32" {
		t.Errorf("bound to %q", got)
	}
}

func TestRuleLearnsBeforeForwarding(t *testing.T) {
	r := newRig(t, newRules(t, "learn:2/24h"), onRequest).bound(keyA)
	wantReason(t, "second address", r.serve(elsewhere, request(t, pathChat, bearer(keyA)), false), "")
	if got := r.boundTo(keyA); got != "192.0.2.1/32 198.51.100.7/32" {
		t.Errorf("bound to %q", got)
	}
}

func TestBannedKeyLearnsNothing(t *testing.T) {
	r := newRig(t, newRules(t, "learn:3/24h")).bound(keyA)
	f := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
	r.ban(keyA)
	wantReason(t, "banned before the answer", f.accept(true).Refused, engine.KeyBanned)
	f.done()
	if got := r.boundTo(keyA); got != "192.0.2.1/32" {
		t.Errorf("bound to %q", got)
	}
}

// TestRacersLearnNoMoreThanTheLimit has 40 addresses use a key at once.
func TestRacersLearnNoMoreThanTheLimit(t *testing.T) {
	const limit, racers = 5, 40
	r := newRig(t, newRules(t, fmt.Sprintf("learn:%d/24h", limit)))
	var wait sync.WaitGroup
	passed := make(chan string, racers)
	start := make(chan struct{})
	for i := range racers {
		from := fmt.Sprintf("203.0.113.%d:1", i+1)
		wait.Go(func() {
			<-start
			if r.use(from, keyA) == "" {
				passed <- from
			}
		})
	}
	close(start)
	wait.Wait()
	close(passed)
	if n := len(passed); n != limit {
		t.Errorf("%d of %d addresses passed, want %d", n, racers, limit)
	}
	for from := range passed {
		wantReason(t, "again from "+from, r.use(from, keyA), "")
	}
	b, err := r.store.Store.Binding(t.Context(), r.hash(keyA))
	if err != nil || len(b.Rule.Prefixes) != limit {
		t.Errorf("learned %v, %v", b.Rule.Prefixes, err)
	}
}

func TestNewRules(t *testing.T) {
	r := newRig(t, newRules(t, "sk-c3*=all, sk-e5*=@office+@gone, learn:2/1h"))
	r.putNetwork("office", "198.51.100.0/24")
	_ = r.bound(keyA, keyB, keyC)
	for key, want := range map[string]store.RuleKind{keyA: store.RuleLearn, keyB: store.RuleAll, keyC: store.RuleMultiple} {
		if b, err := r.store.Store.Binding(t.Context(), r.hash(key)); err != nil || b.Rule.Kind != want {
			t.Errorf("key %s…: got %+v, %v, want %s", key[:4], b.Rule, err, want)
		}
	}
	wantReason(t, "network of the rule", r.use(elsewhere, keyC), "")
	wantReason(t, "any source", r.use("203.0.113.9:1", keyB), "")
	wantReason(t, "elsewhere", r.use("203.0.113.9:1", keyC), engine.IPNotAllowed)
}

func TestParseNewRulesRefuses(t *testing.T) {
	for _, text := range []string{
		"everything", "multiple", "learn", "learn:3", "learn:0/24h", "learn:3/0s", "learn:3/-1h", "learn:3/soon", "learn:65/1h", "learn:3/9999999999999d",
		"@", "@Office", "@office+vpn", "all+@office", "=all", "[=all", "all,single", "sk-*=",
	} {
		if rules, err := engine.ParseNewRules(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, rules)
		}
	}
	for _, text := range []string{"", "single", "all", "@office", "single+@office", "learn:3/7d+@office+@办公室", "sk-ci*=all,\tsk-??x=single\nlearn:1/1s"} {
		if _, err := engine.ParseNewRules(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
