package engine_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/replay"
	"github.com/key-ip-sentinel/sentinel/store"
)

// use is one request of the traffic of a replay.
type use struct{ from, key string }

// traffic is random, of some keys and addresses, more of them from home.
func traffic(seed uint64, keys ...string) (uses []use) {
	rnd := rand.New(rand.NewPCG(seed, 1)) // repeatable on purpose
	from := []string{atHome, atHome, atHome, "192.0.2.2:1", elsewhere, "203.0.113.5:1", "[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8:0:1::1]:1"}
	for range 400 {
		uses = append(uses, use{from[rnd.IntN(len(from))], keys[rnd.IntN(len(keys))]})
	}
	return uses
}

// refusals sends the traffic, and returns how many requests of how many keys were
// refused.
func (r *rig) refusals(uses []use) (n uint64, keys int) {
	r.t.Helper()
	var refused []string
	for _, u := range uses {
		switch reason := r.use(u.from, u.key); reason {
		case "":
		case engine.IPNotAllowed, engine.KeyBanned, engine.NetworkBlocked:
			n++
			refused = append(refused, u.key)
		default:
			r.t.Fatalf("refused with %v", reason)
		}
	}
	slices.Sort(refused)
	return n, len(slices.Compact(refused))
}

func (r *rig) replay(q replay.Query) replay.Result {
	r.t.Helper()
	if q.Since.IsZero() {
		q.Since = time.Now().Add(-time.Hour)
	}
	result, err := r.Replay(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// given binds keys ahead of their first use, so that no use is needed for it, and has
// a network, blocked networks and an exception in force.
func (r *rig) given(ofA store.Rule) *rig {
	r.t.Helper()
	r.putNetwork("office", "203.0.113.0/24")
	r.block("198.51.100.0/24", "2001:db8:0:1::/64")
	for key, rule := range map[string]store.Rule{keyA: ofA, keyB: single("192.0.2.1/32"), keyC: single("192.0.2.1/32")} {
		b := store.Binding{Hash: r.hash(key), Hint: "sk-…" + key[:2], Status: store.StatusActive, Rule: rule}
		if _, err := r.Preset(r.t.Context(), b); err != nil {
			r.t.Fatal(err)
		}
	}
	r.ban(keyC)
	r.except(keyA, "198.51.100.7/32", time.Now().Add(time.Hour))
	return r
}

func multiple(prefixes ...string) *store.Rule {
	rule := store.Rule{Kind: store.RuleMultiple}
	for _, p := range prefixes {
		rule.Prefixes = append(rule.Prefixes, netip.MustParsePrefix(p))
	}
	return &rule
}

// TestReplayIsWhatEnforcementDoes: what is observed and then replayed is what the
// same traffic gets once it is enforced, for the rules as they are and for others.
func TestReplayIsWhatEnforcementDoes(t *testing.T) {
	all := store.Rule{Kind: store.RuleAll}
	one := single("192.0.2.1/32")
	office := *multiple("192.0.2.0/24")
	office.Networks = []string{"office"}
	cases := []struct {
		name string
		mode func(*setup) // while the traffic is recorded
		now  store.Rule   // of key A then
		rule *store.Rule  // that is replayed
	}{
		{"as they are", observing, one, nil},
		{"as they are, of a key that may be anywhere", observing, all, nil},
		{"edited, observed", observing, one, multiple("192.0.2.0/24", "2001:db8::/64")},
		{"edited, enforced", enforcing, one, multiple("192.0.2.0/24", "2001:db8::/64")},
		{"to less", enforcing, all, multiple("198.51.100.7/32", "2001:db8::/32")},
		{"to nothing that is used", enforcing, all, multiple("10.9.9.9/32", "10.9.9.8/32")},
		{"to everything", enforcing, one, &all},
		{"with a named network", observing, office, nil},
		{"to a named network", enforcing, all, &office},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			uses := traffic(uint64(i), keyA, keyB, keyC) // #nosec G115 -- small
			r := newRig(t, c.mode).given(c.now)
			before, _ := r.refusals(uses)
			q := replay.Query{Rule: c.rule}
			if c.rule != nil {
				q.Hashes = []store.KeyHash{r.hash(keyA)}
				uses = slices.DeleteFunc(uses, func(u use) bool { return u.key != keyA })
			}
			got := r.replay(q)
			r.close()

			ofA := c.now
			if c.rule != nil {
				ofA = *c.rule
			}
			then := newRig(t, enforcing).given(ofA)
			want, keys := then.refusals(uses)
			if got.Refused != want || got.Keys != keys || got.Uncertain.Requests() != 0 {
				t.Errorf("got %d requests of %d keys, %+v; enforcement refused %d of %d", got.Refused, got.Keys, got.Uncertain, want, keys)
			}
			var listed uint64
			for _, row := range got.Rows {
				listed += row.Count
			}
			if listed != got.Refused+got.Passed || got.Omitted != 0 {
				t.Errorf("rows tell of %d requests, %d are omitted, want %d and none", listed, got.Omitted, got.Refused+got.Passed)
			}
			if before == 0 && got.RefusedThen+got.Passed > 0 {
				t.Errorf("%d were refused then and %d would pass now, but nothing was refused", got.RefusedThen, got.Passed)
			}
		})
	}
}

func enforcing(*setup) {}

// TestReplayOfWhatWouldPass tells those apart that were refused.
func TestReplayOfWhatWouldPass(t *testing.T) {
	r := newRig(t).bound(keyA)
	wantReason(t, "elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
	wantReason(t, "elsewhere", r.use("203.0.113.5:1", keyA), engine.IPNotAllowed)
	got := r.replay(replay.Query{Rule: multiple("198.51.100.0/24", "10.0.0.1/32"), Hashes: []store.KeyHash{r.hash(keyA)}})
	// The first use, which bound it, and the one that is refused still.
	if got.Passed != 1 || got.PassedKeys != 1 || got.Refused != 2 || got.RefusedThen != 1 || got.Keys != 1 || got.Checked != 1 {
		t.Errorf("got %+v", got)
	}
}
