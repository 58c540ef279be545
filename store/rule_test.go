package store_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

func TestRuleValidate(t *testing.T) {
	many := make([]netip.Prefix, store.MaxRulePrefixes+1)
	for i := range many {
		many[i] = netip.MustParsePrefix("192.0.2.0/24")
	}
	list := func(texts ...string) (prefixes []netip.Prefix) {
		for _, text := range texts {
			prefixes = append(prefixes, netip.MustParsePrefix(text))
		}
		return prefixes
	}
	names := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("network-%d", i))
		}
		return list
	}
	day := func(limit int) store.Learn { return store.Learn{Limit: limit, Within: 24 * time.Hour} }
	mapped := netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.1"), 128)
	cases := []struct {
		name string
		rule store.Rule
		want string // a part of the error; empty: none
	}{
		{"zero", store.Rule{}, "rule kind"},
		{"unknown kind", store.Rule{Kind: "some", Prefixes: list("192.0.2.0/24")}, `"some"`},
		{"all", store.Rule{Kind: store.RuleAll}, ""},
		{"all with a prefix", store.Rule{Kind: store.RuleAll, Prefixes: list("0.0.0.0/0")}, "takes no prefixes"},
		{"single", store.Rule{Kind: store.RuleSingle, Prefixes: list("192.0.2.1/32")}, ""},
		{"single of nothing", store.Rule{Kind: store.RuleSingle}, "takes one prefix, has 0"},
		{"single of two", store.Rule{Kind: store.RuleSingle, Prefixes: list("192.0.2.1/32", "192.0.2.2/32")}, "has 2"},
		{"multiple of one", store.Rule{Kind: store.RuleMultiple, Prefixes: list("2001:db8::/64")}, ""},
		{"multiple of nothing", store.Rule{Kind: store.RuleMultiple}, "neither prefixes nor networks"},
		{"multiple at the limit", store.Rule{Kind: store.RuleMultiple, Prefixes: many[1:]}, ""},
		{"multiple beyond the limit", store.Rule{Kind: store.RuleMultiple, Prefixes: many}, "10001 prefixes"},
		{"everything", store.Rule{Kind: store.RuleMultiple, Prefixes: list("0.0.0.0/0", "::/0")}, ""},
		{"zero prefix", store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{{}}}, "invalid prefix"},
		{"host bits", store.Rule{Kind: store.RuleSingle, Prefixes: list("10.0.0.1/8")}, "meant is 10.0.0.0/8"},
		{"host bits behind a good one", store.Rule{Kind: store.RuleMultiple, Prefixes: list("10.0.0.0/8", "2001:db8::1/64")}, "2001:db8::/64"},
		{"multiple of networks", store.Rule{Kind: store.RuleMultiple, Networks: []string{"office", "vpn"}}, ""},
		{"multiple of both", store.Rule{Kind: store.RuleMultiple, Prefixes: list("10.0.0.0/8"), Networks: []string{"office"}}, ""},
		{"most networks", store.Rule{Kind: store.RuleMultiple, Networks: names(store.MaxRuleNetworks)}, ""},
		{"too many networks", store.Rule{Kind: store.RuleMultiple, Networks: names(store.MaxRuleNetworks + 1)}, "65 networks"},
		{"a network twice", store.Rule{Kind: store.RuleMultiple, Networks: []string{"office", "vpn", "office"}}, `"office" twice`},
		{"no name", store.Rule{Kind: store.RuleMultiple, Networks: []string{"office", ""}}, "want 1 to 64"},
		{"single with a network", store.Rule{Kind: store.RuleSingle, Prefixes: list("10.0.0.1/32"), Networks: []string{"office"}}, "takes no networks"},
		{"all with a network", store.Rule{Kind: store.RuleAll, Networks: []string{"office"}}, "takes no networks"},
		{"multiple that learns", store.Rule{Kind: store.RuleMultiple, Prefixes: list("10.0.0.0/8"), Learn: day(3)}, "does not learn"},
		{"learn", store.Rule{Kind: store.RuleLearn, Learn: day(3)}, ""},
		{"learn with some", store.Rule{Kind: store.RuleLearn, Prefixes: list("10.0.0.0/8"), Networks: []string{"office"}, Learn: day(1)}, ""},
		{"learn with too many", store.Rule{Kind: store.RuleLearn, Prefixes: list("10.0.0.0/8", "10.1.0.0/16"), Learn: day(1)}, "learns up to 1"},
		{"learn nothing", store.Rule{Kind: store.RuleLearn, Learn: day(0)}, "learns 0 prefixes"},
		{"learn too much", store.Rule{Kind: store.RuleLearn, Learn: day(store.MaxLearnLimit + 1)}, "want 1 to 64"},
		{"learn without a time", store.Rule{Kind: store.RuleLearn, Learn: store.Learn{Limit: 3}}, "within 0s"},
		{"learn for too long", store.Rule{Kind: store.RuleLearn, Learn: store.Learn{Limit: 3, Within: store.MaxLearnWithin + time.Second}}, "at most"},
		{"learn within parts of a second", store.Rule{Kind: store.RuleLearn, Learn: store.Learn{Limit: 3, Within: 1500 * time.Millisecond}}, "whole seconds"},
		{"mapped", store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{mapped}}, "IPv4-mapped"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.rule.Validate()
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
			}
		})
	}
}

func TestLearns(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	full := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32")}
	for _, c := range []struct {
		name string
		rule store.Rule
		want bool
	}{
		{"before the first use", store.Rule{Kind: store.RuleLearn, Learn: store.Learn{Limit: 2}}, true},
		{"in time", store.Rule{Kind: store.RuleLearn, Prefixes: full[:1], Learn: store.Learn{Limit: 2, Until: now.Add(1)}}, true},
		{"at the end", store.Rule{Kind: store.RuleLearn, Prefixes: full[:1], Learn: store.Learn{Limit: 2, Until: now}}, false},
		{"full", store.Rule{Kind: store.RuleLearn, Prefixes: full, Learn: store.Learn{Limit: 2, Until: now.Add(time.Hour)}}, false},
		{"of another kind", store.Rule{Kind: store.RuleMultiple, Prefixes: full[:1], Learn: store.Learn{Limit: 2}}, false},
	} {
		if got := c.rule.Learns(now); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestLearnString(t *testing.T) {
	for want, l := range map[string]store.Learn{
		"3/24h": {Limit: 3, Within: 24 * time.Hour}, "1/7d": {Limit: 1, Within: 7 * 24 * time.Hour}, "64/36h": {Limit: 64, Within: 36 * time.Hour},
		"2/90m": {Limit: 2, Within: 90 * time.Minute}, "2/61s": {Limit: 2, Within: 61 * time.Second}, "5/366d": {Limit: 5, Within: store.MaxLearnWithin},
	} {
		if got := l.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestRuleEqualAndClone changes each part of a rule.
func TestRuleEqualAndClone(t *testing.T) {
	rule := func() store.Rule {
		return store.Rule{
			Kind: store.RuleLearn, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Networks: []string{"office"},
			Learn: store.Learn{Limit: 3, Within: time.Hour, Until: time.Unix(1, 0).UTC()},
		}
	}
	a := rule()
	b := a.Clone()
	if b.Learn.Until = a.Learn.Until.In(time.FixedZone("", 3_600)); !a.Equal(b) {
		t.Errorf("%+v is not equal to its clone %+v", a, b)
	}
	for i, change := range []func(*store.Rule){
		func(r *store.Rule) { r.Kind = store.RuleMultiple },
		func(r *store.Rule) { r.Prefixes[0] = netip.MustParsePrefix("10.0.0.0/9") },
		func(r *store.Rule) { r.Prefixes = nil },
		func(r *store.Rule) { r.Networks[0] = "vpn" },
		func(r *store.Rule) { r.Networks = append(r.Networks, "vpn") },
		func(r *store.Rule) { r.Learn.Limit++ },
		func(r *store.Rule) { r.Learn.Within++ },
		func(r *store.Rule) { r.Learn.Until = time.Time{} },
	} {
		c := a.Clone()
		if change(&c); a.Equal(c) || c.Equal(a) {
			t.Errorf("change %d: %+v equals %+v", i, a, c)
		}
		if !a.Equal(rule()) {
			t.Fatalf("change %d of the clone changed the rule: %+v", i, a)
		}
	}
}

func TestValidateNewNetworkName(t *testing.T) {
	for _, name := range []string{"office", "a", "办公室", "vpn-2.eu_west", "5g"} {
		if err := store.ValidateNewNetworkName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"office.": `ends in '.'`, "office-": `ends in '-'`, "a_": `ends in '_'`, "办公室..": `ends in '.'`, "Office.": "capital", "": "want 1 to 64",
	} {
		if err := store.ValidateNewNetworkName(name); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want ErrInvalid with %q", name, err, want)
		}
	}
	// A network of such a name that is there already can be named, and read.
	if err := (store.Rule{Kind: store.RuleMultiple, Networks: []string{"office."}}).Validate(); err != nil {
		t.Errorf("a rule that names it: %v", err)
	}
}

func TestValidateNetworkName(t *testing.T) {
	for _, name := range []string{"office", "a", "办公室", "vpn-2.eu_west", "5g", "büro", strings.Repeat("n", store.MaxNetworkNameBytes)} {
		if err := store.ValidateNetworkName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"": "want 1 to 64", strings.Repeat("n", store.MaxNetworkNameBytes+1): "65 bytes", "\xff": "want 1 to 64",
		"Office": "capital", "of fice": `' '`, "-office": `'-'`, ".": `'.'`, "@office": `'@'`, "a/b": `'/'`, "a,b": `','`, "a\nb": `'\n'`, "a\u202eb": "in it",
	} {
		if err := store.ValidateNetworkName(name); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want ErrInvalid with %q", name, err, want)
		}
	}
}
