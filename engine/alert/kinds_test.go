package alert

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/engine/event"
)

// A center hears of all that an engine has to tell.
var _ engine.Watcher = (*Center)(nil)

func TestHeldFirstUses(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		proxy, gateway := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:172.17.0.1")
		c.FirstUseHeld(proxy, "sk-te…0001", engine.HeldTrustedProxy)
		c.FirstUseHeld(gateway, "sk-te…0002", engine.HeldContainerGateway)
		pass(time.Second)
		c.FirstUseHeld(proxy, "sk-te…0003", engine.HeldBurst)
		c.FirstUseHeld(netip.Addr{}, "sk-te…0004", engine.HeldBurst) // of nobody
		pass(time.Second)
		wantSaid(t, o, "opened first_use_held 1", "opened first_use_held 1")
		found := c.List(Filter{Text: "10.0.0.1"})
		if found.Total != 1 {
			t.Fatalf("got %+v", found)
		}
		a := found.Alerts[0]
		if a.Subject.Network != netip.MustParsePrefix("10.0.0.1/32") || a.Count != 2 || a.Evidence.Hint != "sk-te…0003" || a.Evidence.Held != engine.HeldBurst {
			t.Errorf("got %+v", a)
		}
		if a := c.List(Filter{Text: "172.17.0.1"}).Alerts; len(a) != 1 || a[0].Subject.Network != netip.MustParsePrefix("172.17.0.1/32") {
			t.Errorf("got %+v", a)
		}
		for _, s := range o.all() {
			text := send.Text(s.m)
			if !strings.Contains(text, "TRUSTED_PROXY_IPS") || !strings.Contains(text, "SENTINEL_REAL_IP_HEADER") {
				t.Errorf("no settings in %s", text)
			}
		}
	})
}

// TestWhatComesNowAndThenIsOneAlert: without an hour of quiet it is not over.
func TestWhatComesNowAndThenIsOneAlert(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		office := netip.MustParseAddr("203.0.113.9")
		for i := range 3 {
			c.ManyBindings(office, 60-i)
			pass(50 * time.Minute)
		}
		pass(2 * time.Hour)
		wantSaid(t, o, "opened many_bindings 1", "reminder many_bindings 2", "reminder many_bindings 3", "closed many_bindings 3")
		a := c.List(Filter{Kind: ManyBindings}).Alerts[0]
		if a.Evidence.Bindings != 60 || a.Subject.Network.Addr() != office || !strings.Contains(body(t, o.all()[0].m).Text, "New bindings: 60 within an hour") {
			t.Errorf("got %+v, %s", a, o.all()[0].m.Body)
		}
	})
}

func TestSharedKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		var networks []netip.Prefix
		for i := range 40 {
			networks = append(networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 32))
		}
		shared := engine.SharedKey{Hash: hashOf(1), Hint: "sk-te…0001", Networks: networks[:2], Minutes: 30, At: time.Now()}
		c.KeyShared(shared)
		pass(time.Minute)
		shared.Networks, shared.Minutes, shared.At = networks, 31, time.Now().Add(24*time.Hour)
		c.KeyShared(shared)
		networks[0] = netip.Prefix{} // which is the caller's
		pass(time.Minute)
		wantSaid(t, o, "opened key_shared 1")
		a := c.List(Filter{Hash: hashOf(1)}).Alerts[0]
		if a.Count != 2 || a.Evidence.Minutes != 31 || len(a.Evidence.Networks) != maxAddresses || !a.Evidence.Networks[0].IsValid() || a.LastAt.After(time.Now()) {
			t.Errorf("got %+v", a)
		}
		if text := body(t, o.all()[0].m).Text; !strings.Contains(text, "Networks: 203.0.113.0, 203.0.113.1\n") || !strings.Contains(text, "For: 30 minutes") {
			t.Errorf("got %s", text)
		}
	})
}

// TestChannelsChooseTheNewKinds has a channel of each kind alone.
func TestChannelsChooseTheNewKinds(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, o *outbox) {
		kinds := []Kind{FirstUseHeld, ManyBindings, KeyShared}
		for _, k := range kinds {
			chat(t, c, string(k), send.Slack, k)
		}
		from := netip.MustParseAddr("203.0.113.9")
		c.FirstUseHeld(from, "sk-te…0001", engine.HeldBurst)
		c.ManyBindings(from, 60)
		c.KeyShared(engine.SharedKey{Hash: hashOf(1), Hint: "sk-te…0001"})
		pass(time.Second)
		got := make(map[string]int)
		for _, s := range o.all() {
			if s.target.Type == send.Slack {
				got[s.target.URL]++
			}
		}
		for _, k := range kinds {
			if got["https://chat.example.com/"+string(k)] != 1 {
				t.Errorf("%s: got %v", k, got)
			}
		}
		if !slices.Equal(Kinds()[7:], kinds) {
			t.Errorf("got %v", Kinds())
		}
	})
}

// TestAlertsAreEvents has somebody listen who does not look at messages.
func TestAlertsAreEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Center, _ *outbox) {
		bus := event.NewBus(time.Now)
		events, cancel := bus.Subscribe(10)
		defer cancel()
		refuse(c, 1) // nobody is told of yet
		pass(time.Second)
		c.PublishTo(bus)
		c.Lockout("alice", netip.MustParseAddr("203.0.113.9"))
		c.ManyBindings(netip.MustParseAddr("2001:db8::7"), 60)
		pass(time.Second)
		if _, err := c.Acknowledge(t.Context(), c.List(Filter{Kind: LoginLockout}).Alerts[0].ID, "alice"); err != nil {
			t.Fatal(err)
		}
		pass(window5 + 2*time.Second)
		if open := c.OpenByKind(); open[ManyBindings] != 1 || open[LoginLockout] != 0 || len(open) != len(Kinds()) {
			t.Errorf("open: got %v", open)
		}
		bus.Close()
		got := make(map[string]int)
		for e := range events {
			a := e.Data.(event.Alert)
			got[strings.Join([]string{a.Change, a.Kind, a.Hint + a.Account, a.Network.String()}, " ")]++
			if e.Type != event.TypeAlert || a.ID == "" || a.Open < 1 || a.Open > 3 {
				t.Errorf("got %+v", e)
			}
		}
		for _, want := range []string{
			"opened login_lockout alice invalid Prefix", "opened many_bindings  2001:db8::/64", "acknowledged login_lockout alice invalid Prefix",
			"closed login_lockout alice invalid Prefix", "closed key_refused sk-te…0001 invalid Prefix",
		} {
			if got[want] != 1 {
				t.Errorf("%s: got %v", want, got)
			}
		}
		if len(got) != 5 {
			t.Errorf("got %v", got)
		}
	})
}
