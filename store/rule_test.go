package store_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

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
