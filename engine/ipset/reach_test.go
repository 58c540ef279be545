package ipset_test

import (
	"net/netip"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
)

func TestReach(t *testing.T) {
	cases := []struct {
		name string
		set  []string
		of   string
		want ipset.Reach
	}{
		{"nothing", nil, "192.0.2.1/32", ipset.ReachesNone},
		{"the same", []string{"192.0.2.1/32"}, "192.0.2.1/32", ipset.ReachesWhole},
		{"more", []string{"192.0.2.0/24"}, "192.0.2.1/32", ipset.ReachesWhole},
		{"beside", []string{"192.0.2.0/24"}, "192.0.3.1/32", ipset.ReachesNone},
		{"a part", []string{"2001:db8::1/128"}, "2001:db8::/64", ipset.ReachesPart},
		{"of the other family", []string{"::/0"}, "192.0.2.1/32", ipset.ReachesNone},
		{"one of several", []string{"192.0.2.0/24", "2001:db8::/48"}, "2001:db8::/64", ipset.ReachesWhole},
		{"all of several", []string{"0.0.0.0/0", "::/0"}, "192.0.2.1/32", ipset.ReachesWhole},
		{"none of several", []string{"192.0.2.0/24", "2001:db8::/48"}, "2001:db9::/64", ipset.ReachesNone},
		{"a part of one of several", []string{"192.0.2.0/24", "2001:db8::/72"}, "2001:db8::/64", ipset.ReachesPart},
		{"both halves", []string{"2001:db8::/65", "2001:db8:0:0:8000::/65"}, "2001:db8::/64", ipset.ReachesPart},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var list []netip.Prefix
			for _, p := range c.set {
				list = append(list, netip.MustParsePrefix(p))
			}
			set, err := ipset.New(list)
			if err != nil {
				t.Fatal(err)
			}
			if got := set.Reach(netip.MustParsePrefix(c.of)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := (*ipset.Set)(nil).Reach(netip.MustParsePrefix("192.0.2.1/32")); got != ipset.ReachesNone {
		t.Errorf("no set: got %v", got)
	}
}
