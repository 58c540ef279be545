package network_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(t *time.Time) func() time.Time { return func() time.Time { return *t } }

func openNetworks(t *testing.T, s store.Documents) *network.Networks {
	t.Helper()
	now := start
	ns, err := network.OpenNetworks(t.Context(), s, at(&now))
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func list(texts ...string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, text := range texts {
		prefixes = append(prefixes, netip.MustParsePrefix(text))
	}
	return prefixes
}

func TestPut(t *testing.T) {
	s := memory.New()
	ns := openNetworks(t, s)
	set := ns.Set("office") // before there is any
	home := netip.MustParseAddr("192.0.2.1")
	if set.Contains(home) {
		t.Error("a name that stands for nothing contains something")
	}
	before, after, err := ns.Put(t.Context(), network.Network{Name: "office", Note: "second floor", Prefixes: list("192.0.2.0/24")})
	if err != nil || before.Name != "" || after.Revision == 0 || !after.CreatedAt.Equal(start) {
		t.Fatalf("got %+v, %+v, %v", before, after, err)
	}
	if !set.Contains(home) {
		t.Error("who had the name before does not see the network")
	}
	after.Prefixes = list("198.51.100.0/24")
	if _, _, err := ns.Put(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	if set.Contains(home) || !set.Contains(netip.MustParseAddr("198.51.100.1")) {
		t.Error("the change is not in force")
	}
	if _, _, err := ns.Put(t.Context(), after); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an older revision: got %v, want ErrConflict", err)
	}
	if _, _, err := ns.Put(t.Context(), network.Network{Name: "attic", Prefixes: list("192.0.2.0/24"), Revision: 3}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that is not there: got %v, want ErrNotFound", err)
	}
	again := openNetworks(t, s)
	if n, err := again.Get("office"); err != nil || n.Note != "second floor" || !again.Set("office").Contains(netip.MustParseAddr("198.51.100.1")) {
		t.Errorf("after opening again: %+v, %v", n, err)
	}
	if got := again.Reaching(netip.MustParsePrefix("198.51.0.0/16")); !slices.Equal(got, []string{"office"}) {
		t.Errorf("networks with an address of 198.51.0.0/16: %q", got)
	}
}

func TestPutRefuses(t *testing.T) {
	ns := openNetworks(t, memory.New())
	many := make([]netip.Prefix, network.MaxPrefixes+1)
	for i := range many {
		many[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 32)
	}
	for _, c := range []struct {
		n    network.Network
		says string
	}{
		{network.Network{Prefixes: list("192.0.2.0/24")}, "office"},
		{network.Network{Name: "Office", Prefixes: list("192.0.2.0/24")}, "small"},
		{network.Network{Name: "the office", Prefixes: list("192.0.2.0/24")}, "letters and digits"},
		{network.Network{Name: "-office", Prefixes: list("192.0.2.0/24")}, "letters and digits"},
		{network.Network{Name: "office.", Prefixes: list("192.0.2.0/24")}, "ends in"},
		{network.Network{Name: strings.Repeat("x", 65), Prefixes: list("192.0.2.0/24")}, "65 bytes"},
		{network.Network{Name: "office"}, "match nothing"},
		{network.Network{Name: "office", Prefixes: many}, "10001"},
		{network.Network{Name: "office", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}}, "meant is 192.0.2.0/24"},
		{network.Network{Name: "office", Note: strings.Repeat("x", 2000), Prefixes: list("192.0.2.0/24")}, "note"},
	} {
		if _, _, err := ns.Put(t.Context(), c.n); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.80q: got %v, want ErrInvalid that says %q", c.n.Name, err, c.says)
		}
	}
	if all := ns.List(); len(all) != 0 {
		t.Errorf("there are %+v", all)
	}
	if _, _, err := ns.Put(t.Context(), network.Network{Name: "办公室.2", Prefixes: list("192.0.2.0/24")}); err != nil {
		t.Errorf("a Chinese name: %v", err)
	}
}

// TestNameOfBefore has a network of a name that no new one gets.
func TestNameOfBefore(t *testing.T) {
	s := memory.New()
	if _, err := s.PutDocument(t.Context(), store.Document{Kind: network.NetworkKind, ID: "office.", Body: []byte(`{"name":"office.","prefixes":["192.0.2.0/24"]}`)}); err != nil {
		t.Fatal(err)
	}
	ns := openNetworks(t, s)
	n, err := ns.Get("office.")
	if err != nil || !ns.Set("office.").Contains(netip.MustParseAddr("192.0.2.1")) {
		t.Fatalf("read: %+v, %v", n, err)
	}
	n.Note = "second floor"
	_, n, err = ns.Put(t.Context(), n)
	if err != nil {
		t.Errorf("changed: %v", err)
	}
	if done, err := ns.Naming(store.Rule{Kind: store.RuleMultiple, Networks: []string{"office."}}); err != nil {
		t.Errorf("named by a rule: %v", err)
	} else {
		done()
	}
	if _, err := ns.Remove(t.Context(), "office.", n.Revision, func(network.Network) error { return nil }); err != nil {
		t.Errorf("removed: %v", err)
	}
}

func TestRemoveWaitsForRulesThatAreStored(t *testing.T) {
	ns := openNetworks(t, memory.New())
	_, n, err := ns.Put(t.Context(), network.Network{Name: "office", Prefixes: list("192.0.2.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	rule := store.Rule{Kind: store.RuleMultiple, Networks: []string{"office"}}
	done, err := ns.Naming(rule)
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		_, err := ns.Remove(context.Background(), "office", n.Revision, func(network.Network) error {
			close(left)
			if _, err := ns.Naming(rule); !errors.Is(err, store.ErrInvalid) {
				t.Errorf("a rule may name a network that is being removed: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	select {
	case <-left:
		t.Error("the network is removed while a rule that names it is being stored")
	case <-time.After(20 * time.Millisecond): // if it were, it would be at once
	}
	done()
	wait.Wait()
	if _, err := ns.Get("office"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestSharedNetworks(t *testing.T) {
	ns := openNetworks(t, memory.New())
	for name, shared := range map[string]bool{"office": true, "vpn": false} {
		prefix := map[bool]string{true: "192.0.2.0/24", false: "198.51.100.0/24"}[shared]
		if _, _, err := ns.Put(t.Context(), network.Network{Name: name, Prefixes: list(prefix), Shared: shared}); err != nil {
			t.Fatal(err)
		}
	}
	if !ns.IsShared(netip.MustParseAddr("192.0.2.9")) || ns.IsShared(netip.MustParseAddr("198.51.100.9")) {
		t.Error("wrong networks are taken for shared")
	}
}

func openBlocklist(t *testing.T, s store.Documents, now *time.Time) *network.Blocklist {
	t.Helper()
	l, err := network.OpenBlocklist(t.Context(), s, at(now))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestBlocklist(t *testing.T) {
	s, now := memory.New(), start
	l := openBlocklist(t, s, &now)
	add := func(texts ...string) int {
		t.Helper()
		var entries []network.Blocked
		for _, p := range list(texts...) {
			entries = append(entries, network.Blocked{Prefix: p, By: "anna"})
		}
		added, err := l.Add(t.Context(), entries)
		if err != nil {
			t.Fatal(err)
		}
		return added
	}
	if n := add("192.0.2.0/24", "192.0.2.0/24", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"); n != 4 {
		t.Errorf("added %d, want 4", n)
	}
	if n := add("10.1.0.0/16", "203.0.113.7/32"); n != 1 {
		t.Errorf("added %d more, want 1", n)
	}
	if p, ok := l.Find(netip.MustParseAddr("10.1.2.3")); !ok || p.String() != "10.0.0.0/8" {
		t.Errorf("10.1.2.3 is blocked by %v, %v", p, ok)
	}
	gone, err := l.Remove(t.Context(), list("10.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12"))
	if err != nil || len(gone) != 1 {
		t.Errorf("removed %v, %v", gone, err)
	}
	if !l.Blocks(netip.MustParseAddr("10.1.2.3")) || l.Blocks(netip.MustParseAddr("10.2.2.3")) {
		t.Error("of the two that were within each other the inner one must be left")
	}
	again := openBlocklist(t, s, &now)
	if again.Len() != 4 || !again.Blocks(netip.MustParseAddr("2001:db8::1")) {
		t.Errorf("after opening again: %d", again.Len())
	}
	first := l.Page(network.BlockedFilter{Limit: 3})
	rest := l.Page(network.BlockedFilter{Limit: 3, After: first.Next})
	if first.Total != 4 || len(first.Entries) != 3 || len(rest.Entries) != 1 || rest.Next.IsValid() || rest.Entries[0].Prefix.String() != "2001:db8::/32" {
		t.Errorf("pages: %+v and %+v", first, rest)
	}
	if page := l.Page(network.BlockedFilter{Text: "203.0"}); page.Total != 1 {
		t.Errorf("by text: %+v", page)
	}
	if page := l.Page(network.BlockedFilter{Network: netip.MustParsePrefix("10.1.4.0/24")}); page.Total != 1 {
		t.Errorf("by network: %+v", page)
	}
}

func TestBlocklistRefuses(t *testing.T) {
	now := start
	l := openBlocklist(t, memory.New(), &now)
	for _, b := range []network.Blocked{
		{},
		{Prefix: netip.MustParsePrefix("192.0.2.7/24")},
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Until: start},
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Note: strings.Repeat("x", 2000)},
	} {
		good := network.Blocked{Prefix: netip.MustParsePrefix("198.51.100.0/24")}
		_, err := l.Add(t.Context(), []network.Blocked{good, b})
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "network 2") {
			t.Errorf("%+v: got %v, want ErrInvalid that names the second", b, err)
		}
	}
	if l.Len() != 0 || l.Blocks(netip.MustParseAddr("198.51.100.1")) {
		t.Error("a part was blocked of what was refused")
	}
}

func TestBlockingEnds(t *testing.T) {
	s, now := memory.New(), start
	l := openBlocklist(t, s, &now)
	entries := []network.Blocked{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Until: start.Add(time.Hour)},
		{Prefix: netip.MustParsePrefix("198.51.100.0/24")},
	}
	if _, err := l.Add(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	now = start.Add(59 * time.Minute)
	if over, err := l.End(t.Context(), always); err != nil || len(over) != 0 {
		t.Errorf("before the end: %v, %v", over, err)
	}
	now = start.Add(time.Hour)
	if over, err := l.End(t.Context(), always); err != nil || len(over) != 1 {
		t.Errorf("at the end: %v, %v", over, err)
	}
	if l.Blocks(netip.MustParseAddr("192.0.2.1")) || !l.Blocks(netip.MustParseAddr("198.51.100.1")) || openBlocklist(t, s, &now).Len() != 1 {
		t.Error("what is over must be gone, and nothing else")
	}
}

func TestBlocklistIsFull(t *testing.T) {
	now := start
	l := openBlocklist(t, memory.New(), &now)
	entries := make([]network.Blocked, network.MaxBlocked)
	for i := range entries {
		entries[i].Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	if n, err := l.Add(t.Context(), entries); err != nil || n != network.MaxBlocked {
		t.Fatalf("added %d, %v", n, err)
	}
	_, err := l.Add(t.Context(), []network.Blocked{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}})
	if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), fmt.Sprint(network.MaxBlocked+1)) {
		t.Errorf("one more: got %v", err)
	}
	if _, err := l.Add(t.Context(), entries[:1]); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}

func always(context.Context) bool { return true }

// TestOverWhereAnotherRemoves: what is over is out of force, and stays where it is kept.
func TestOverWhereAnotherRemoves(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	documents := memory.New()
	l, err := network.OpenBlocklist(t.Context(), documents, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	p := netip.MustParsePrefix("203.0.113.0/24")
	if _, err := l.Add(t.Context(), []network.Blocked{{Prefix: p, Until: now.Add(time.Minute)}}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	over, err := l.End(t.Context(), func(context.Context) bool { return false })
	if err != nil || len(over) != 0 || l.Blocks(p.Addr()) || l.Len() != 1 {
		t.Errorf("ended %v, %v; blocks %t, has %d", over, err, l.Blocks(p.Addr()), l.Len())
	}
	if over, err := l.End(t.Context(), always); err != nil || len(over) != 1 || l.Len() != 0 {
		t.Errorf("ended %v, %v; has %d", over, err, l.Len())
	}
}
