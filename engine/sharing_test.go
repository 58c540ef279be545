package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

// shares uses a key from addresses in the middle of each of so many minutes.
func (r *rig) shares(key string, minutes int, from ...string) {
	r.t.Helper()
	time.Sleep(32 * time.Second)
	for range minutes {
		for _, address := range from {
			wantReason(r.t, "use from "+address, r.use(address, key), "")
		}
		time.Sleep(time.Minute)
	}
	synctest.Wait()
}

func (l *listener) sharedKeys() []engine.SharedKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.shared)
}

// TestSharedKeysAreTold: of a key that two people use at a time, and not of one that
// may be used from one network only, or that moves.
func TestSharedKeysAreTold(t *testing.T) {
	all := store.Rule{Kind: store.RuleAll}
	cases := []struct {
		name string
		rule store.Rule
		from []string // in each minute
		want int      // how often it is told in 7 minutes
	}{
		{"two networks", all, []string{atHome, elsewhere}, 3},
		{"two networks of a rule", *multiple("192.0.2.0/24", "198.51.100.0/24"), []string{atHome, elsewhere, atHome}, 3},
		{"one network", all, []string{atHome, atHome}, 0},
		{"two addresses of a v6 network", all, []string{"[2001:db8::1]:1", "[2001:db8::2]:1"}, 0},
		{"a rule of one prefix", single("192.0.2.0/24"), []string{atHome, "192.0.2.2:1"}, 0},
		{"a shared network and one more", naming("office", "house"), []string{"203.0.113.1:1", "203.0.113.2:1", atHome}, 0},
		{"a shared network that the rule does not name", all, []string{"203.0.113.1:1", "203.0.113.2:1"}, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := new(listener)
				r := newRig(t, listening(l)).bound(keyA)
				office := network.Network{Name: "office", Prefixes: prefixList("203.0.113.0/24"), Shared: true}
				if _, _, err := r.PutNetwork(t.Context(), office); err != nil {
					t.Fatal(err)
				}
				r.putNetwork("house", "192.0.2.0/24")
				r.setRule(keyA, c.rule)
				r.shares(keyA, 7, c.from...)
				told := l.sharedKeys()
				if len(told) != c.want {
					t.Fatalf("told %+v, want %d", told, c.want)
				}
				list, _ := r.Suspicions().List()
				if len(list) != min(1, c.want) {
					t.Errorf("suspects %+v", list)
				}
				if c.want > 0 && (told[0].Hash != r.hash(keyA) || told[0].Minutes != 5 || len(told[0].Networks) != 2 || told[0].Hint == "") {
					t.Errorf("told %+v", told[0])
				}
				r.close()
			})
		})
	}
}

func TestNobodyIsToldWithoutSharingMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(listener)
		r := newRig(t, listening(l), policy(func(p *engine.Policy) { p.SharingMinutes = 0 })).bound(keyA)
		r.setRule(keyA, store.Rule{Kind: store.RuleAll})
		r.shares(keyA, 10, atHome, elsewhere)
		if told := l.sharedKeys(); len(told) > 0 {
			t.Errorf("told %+v", told)
		}
		r.close()
	})
}
