package engine_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/exception"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

// putNetwork makes a network, or changes the one of that name.
func (r *rig) putNetwork(name string, prefixes ...string) {
	r.t.Helper()
	n := network.Network{Name: name, Prefixes: prefixList(prefixes...)}
	if there, err := r.Networks().Get(name); err == nil {
		n.Revision = there.Revision
	}
	if _, _, err := r.PutNetwork(context.Background(), n); err != nil {
		r.t.Fatal(err)
	}
}

func prefixList(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

func naming(networks ...string) store.Rule {
	return store.Rule{Kind: store.RuleMultiple, Networks: networks}
}

func (r *rig) block(prefixes ...string) {
	r.t.Helper()
	var entries []network.Blocked
	for _, p := range prefixList(prefixes...) {
		entries = append(entries, network.Blocked{Prefix: p})
	}
	if _, err := r.Block(context.Background(), entries); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) except(key, prefix string, until time.Time) exception.Exception {
	r.t.Helper()
	x, err := r.Except(context.Background(), exception.Exception{Hash: r.hash(key), Prefix: netip.MustParsePrefix(prefix), Until: until})
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func TestChangedNetworkCountsOnTheNextRequest(t *testing.T) {
	r := newRig(t).bound(keyA)
	r.putNetwork("office", "203.0.113.0/24")
	r.setRule(keyA, naming("office"))
	wantReason(t, "from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
	r.putNetwork("office", "198.51.100.0/24")
	wantReason(t, "after the office moved", r.use(elsewhere, keyA), "")
	f := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
	r.putNetwork("office", "198.51.100.0/24", "192.0.2.0/24")
	if f.wasCancelled() {
		t.Error("an exchange was cut that still passes")
	}
	r.putNetwork("office", "192.0.2.0/24")
	if !f.wasCancelled() {
		t.Error("an exchange from a network that was taken away was not cut")
	}
	f.done()
	wantReason(t, "from where the office is now", r.use(atHome, keyA), "")
}

func TestRuleMustNameNetworksThatExist(t *testing.T) {
	r := newRig(t).bound(keyA)
	r.putNetwork("vpn", "203.0.113.0/24")
	_, err := r.SetRule(t.Context(), r.hash(keyA), naming("office"))
	if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), `"office"`) || !strings.Contains(err.Error(), "vpn") {
		t.Errorf("a rule that names a network that does not exist: got %v, want an error that names it and those that do", err)
	}
	_, err = r.Preset(t.Context(), store.Binding{Hash: r.hash(keyB), Status: store.StatusActive, Rule: naming("office")})
	if !errors.Is(err, store.ErrInvalid) {
		t.Errorf("preset: got %v, want ErrInvalid", err)
	}
	rows := []engine.ImportRow{{Row: 1, Binding: store.Binding{Hash: r.hash(keyB), Status: store.StatusActive, Rule: naming("office")}}}
	if _, err = r.Import(t.Context(), rows, engine.ImportRefuse, false, nil); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("import: got %v, want ErrInvalid", err)
	}
}

func TestRemoveNetwork(t *testing.T) {
	for _, c := range []struct {
		leave   engine.Leave
		rule    store.Rule
		refused bool
		from    string // an address that must pass afterwards
		not     string // and one that must not
	}{
		{engine.LeaveRefuse, naming("office"), true, elsewhere, atHome},
		{engine.LeaveInline, naming("office"), false, elsewhere, atHome},
		{engine.LeaveDrop, naming("office"), true, elsewhere, atHome},
		{engine.LeaveDrop, naming("office", "vpn"), false, atHome, elsewhere},
		{engine.LeaveDrop, store.Rule{Kind: store.RuleMultiple, Networks: []string{"office"}, Prefixes: prefixList("192.0.2.1/32")}, false, atHome, elsewhere},
	} {
		r := newRig(t).bound(keyA)
		r.putNetwork("office", "198.51.100.0/24")
		r.putNetwork("vpn", "192.0.2.0/24")
		r.setRule(keyA, c.rule)
		n, _ := r.Networks().Get("office")
		_, changed, err := r.RemoveNetwork(t.Context(), "office", n.Revision, c.leave)
		var inUse *engine.NetworkInUseError
		if errors.As(err, &inUse) != c.refused || err != nil && !c.refused {
			t.Errorf("%s of %+v: got %v, want refusal %v", c.leave, c.rule, err, c.refused)
		}
		if c.refused && (inUse == nil || inUse.Bindings != 1 || len(inUse.Some) != 1) || !c.refused && changed != 1 {
			t.Errorf("%s of %+v: got %+v and %d changed", c.leave, c.rule, inUse, changed)
		}
		wantReason(t, string(c.leave)+" from "+c.from, r.use(c.from, keyA), "")
		wantReason(t, string(c.leave)+" from "+c.not, r.use(c.not, keyA), engine.IPNotAllowed)
	}
}

func TestRemoveNetworkOfAnotherRevision(t *testing.T) {
	r := newRig(t)
	r.putNetwork("office", "198.51.100.0/24")
	n, _ := r.Networks().Get("office")
	r.putNetwork("office", "192.0.2.0/24")
	if _, _, err := r.RemoveNetwork(t.Context(), "office", n.Revision, engine.LeaveRefuse); !errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if _, _, err := r.RemoveNetwork(t.Context(), "attic", 1, engine.LeaveRefuse); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if _, _, err := r.RemoveNetwork(t.Context(), "office", n.Revision, "burn"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestBlockedNetwork(t *testing.T) {
	r := newRig(t).bound(keyA)
	r.setRule(keyA, store.Rule{Kind: store.RuleAll})
	f := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
	r.block("198.51.100.0/24")
	if !f.wasCancelled() {
		t.Error("an exchange from a blocked network was not cut")
	}
	f.done()
	wantReason(t, "bound key", r.use(elsewhere, keyA), engine.NetworkBlocked)
	wantReason(t, "unknown key", r.use(elsewhere, keyB), engine.NetworkBlocked)
	wantReason(t, "no key", r.serve(elsewhere, request(t, pathChat), true), engine.NetworkBlocked)
	wantReason(t, "from elsewhere", r.use(atHome, keyA), "")
	if bound := r.boundTo(keyB); bound != "" {
		t.Errorf("a key was bound to %s from a blocked network", bound)
	}
	gone, err := r.Unblock(t.Context(), prefixList("198.51.100.0/24", "203.0.113.0/24"))
	if err != nil || len(gone) != 1 {
		t.Errorf("unblock: got %v, %v", gone, err)
	}
	wantReason(t, "unblocked", r.use(elsewhere, keyA), "")
	recs := r.records()
	if len(recs) != 1 || recs[0].Count != 2 || recs[0].Reason != store.ReasonBlocked ||
		recs[0].Basis != (store.Basis{Kind: store.BasisBlocked, Name: "198.51.100.0/24"}) {
		t.Errorf("recorded %+v, want one record of the cut and of the refusal of the bound key", recs)
	}
}

func TestObservedBlockedNetwork(t *testing.T) {
	r := newRig(t, observing).bound(keyA)
	r.block("198.51.100.0/24", "192.0.2.0/24")
	wantReason(t, "bound key", r.use(atHome, keyA), "")
	wantReason(t, "unknown key", r.use(elsewhere, keyB), "")
	wantReason(t, "no key", r.serve(elsewhere, request(t, pathChat), true), "")
	if got := r.reasons(); got != "network_blocked?" {
		t.Errorf("recorded %q, want what would have been refused of the bound key", got)
	}
}

// TestOrderOfDecision: ban, exception, blocked network, rule.
func TestOrderOfDecision(t *testing.T) {
	r := newRig(t).bound(keyA)
	wantReason(t, "rule", r.use(elsewhere, keyA), engine.IPNotAllowed)
	r.block("198.51.100.0/24", "192.0.2.0/24")
	wantReason(t, "blocked beats rule", r.use(atHome, keyA), engine.NetworkBlocked)
	x := r.except(keyA, "198.51.100.7/32", time.Now().Add(time.Hour))
	wantReason(t, "exception beats blocked", r.use(elsewhere, keyA), "")
	wantReason(t, "exception of another address", r.use("198.51.100.8:1", keyA), engine.NetworkBlocked)
	r.ban(keyA)
	wantReason(t, "ban beats exception", r.use(elsewhere, keyA), engine.KeyBanned)
	if _, err := r.Unban(t.Context(), r.hash(keyA)); err != nil {
		t.Fatal(err)
	}
	f := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
	if _, err := r.EndException(t.Context(), x.ID, "anna"); err != nil {
		t.Fatal(err)
	}
	if !f.wasCancelled() {
		t.Error("an exchange was not cut when the exception that it rested on was ended")
	}
	f.done()
	wantReason(t, "ended exception", r.use(elsewhere, keyA), engine.NetworkBlocked)
	if _, err := r.EndException(t.Context(), x.ID, "anna"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("end an exception twice: got %v, want ErrConflict", err)
	}
}

func TestExceptionEndsByItself(t *testing.T) {
	r := newRig(t).bound(keyA)
	r.except(keyA, "198.51.100.7/32", time.Now().Add(300*time.Millisecond))
	f := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
	wantReason(t, "answer", f.accept(true).Refused, "")
	select {
	case <-f.cancelled:
	case <-time.After(10 * time.Second):
		t.Fatal("the exchange goes on after the exception has ended")
	}
	f.done()
	wantReason(t, "after its end", r.use(elsewhere, keyA), engine.IPNotAllowed)
	if got := r.reasons(); got != "stream_cut ip_not_allowed" {
		t.Errorf("recorded %q", got)
	}
}

func TestExceptionGoesWithItsBinding(t *testing.T) {
	r := newRig(t).bound(keyA)
	x := r.except(keyA, "198.51.100.7/32", time.Now().Add(time.Hour))
	if _, err := r.Unbind(t.Context(), r.hash(keyA), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Exceptions().Get(x.ID); err != nil || got.StateAt(time.Now()) != exception.Revoked {
		t.Errorf("got %+v, %v, want it revoked", got, err)
	}
	_ = r.bound(keyA)
	wantReason(t, "from where the exception was", r.use(elsewhere, keyA), engine.IPNotAllowed)
	_, err := r.Except(t.Context(), exception.Exception{Hash: r.hash(keyB), Prefix: netip.MustParsePrefix("192.0.2.1/32"), Until: time.Now().Add(time.Hour)})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("exception of a key without a binding: got %v, want ErrNotFound", err)
	}
}

// TestNetworksSurviveARestart reads all of it again from the store.
func TestNetworksSurviveARestart(t *testing.T) {
	r := newRig(t).bound(keyA, keyB)
	r.putNetwork("office", "198.51.100.0/24")
	r.setRule(keyA, naming("office"))
	r.except(keyB, "203.0.113.7/32", time.Now().Add(time.Hour))
	r.block("192.0.2.0/24")
	r.close()
	again := newRig(t, func(s *setup) { s.reuse = r.store.Store })
	wantReason(t, "network", again.use(elsewhere, keyA), "")
	wantReason(t, "exception", again.use("203.0.113.7:1", keyB), "")
	wantReason(t, "blocked", again.use(atHome, keyB), engine.NetworkBlocked)
}

func TestJudgingAllocatesNothing(t *testing.T) {
	r := newRig(t, func(s *setup) { s.keys.Previous = [][]byte{other} }).bound(keyA)
	r.putNetwork("office", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
	r.setRule(keyA, naming("office"))
	r.block("10.9.0.0/16", "10.11.0.0/16")
	r.except(keyA, "192.0.2.77/32", time.Now().Add(time.Hour))
	req := request(t, pathChat, bearer(keyA))
	var x engine.Exchange
	peer := r.Peer(elsewhere)
	once := func() {
		if d := r.Arrive(&x, req, peer, func() {}); !d.Passes() {
			t.Fatal(d)
		}
		if d := r.Admit(context.Background(), &x, pathChat); !d.Passes() {
			t.Fatal(d)
		}
		r.Accept(context.Background(), &x, true)
		r.Done(&x)
	}
	// The cache takes the key when its own goroutine comes to it.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		n := testing.AllocsPerRun(1000, once)
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a request of a bound key allocates %v times", n)
		}
	}
}
