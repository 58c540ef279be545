package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Networks are the named networks, to be read; they are changed by the engine.
func (e *Engine) Networks() *network.Networks { return e.networks }

// Blocked are the blocked networks, to be read; they are changed by the engine.
func (e *Engine) Blocked() *network.Blocklist { return e.blocked }

// PutNetwork makes or changes a network, as network.Networks.Put does. Rules that
// name it have it from the next request on, and exchanges under way that they no
// longer let pass are cut.
func (e *Engine) PutNetwork(ctx context.Context, n network.Network) (before, after network.Network, err error) {
	if n.Note, err = cleanText("note", n.Note, network.MaxNoteBytes, "\n\t"); err != nil {
		return before, after, fmt.Errorf("put network: %w", err)
	}
	before, after, err = e.networks.Put(ctx, n)
	if err == nil {
		e.reexamineAll(ctx)
		change := event.Changed
		if before.Revision == 0 {
			change = event.Made
		}
		e.events.Publish(event.TypeNetwork, event.Network{Change: change, Name: after.Name})
	}
	return before, after, err
}

// Leave says what becomes of the rules that name a network which is removed.
type Leave string

// What may become of them.
const (
	LeaveRefuse Leave = "refuse" // the network stays as long as a rule names it
	LeaveInline Leave = "inline" // they get its prefixes in place of its name
	LeaveDrop   Leave = "drop"   // they lose it
)

// NetworkInUseError is why a network cannot be removed.
type NetworkInUseError struct {
	Network  string
	Bindings int             // whose rules name it, or that cannot do without it
	Some     []store.Binding // a few of them
	Because  string
}

// Error says how many rules are in the way, and why.
func (e *NetworkInUseError) Error() string {
	whose := "rule of one binding"
	if e.Bindings != 1 {
		whose = fmt.Sprintf("rules of %d bindings", e.Bindings)
	}
	return fmt.Sprintf("network %q is named by the %s%s", e.Network, whose, e.Because)
}

// Unwrap makes it a kind of store.ErrConflict.
func (e *NetworkInUseError) Unwrap() error { return store.ErrConflict }

// someInUse is how many bindings a NetworkInUseError shows.
const someInUse = 10

// RemoveNetwork removes a network whose revision is still the one given, and
// returns it with how many rules were changed for it: all of them or none. Returns
// store.ErrNotFound, store.ErrConflict, a *NetworkInUseError, or store.ErrInvalid.
func (e *Engine) RemoveNetwork(ctx context.Context, name string, revision uint64, leave Leave) (n network.Network, changed int, err error) {
	if leave != LeaveRefuse && leave != LeaveInline && leave != LeaveDrop {
		return n, 0, fmt.Errorf("%w: rules: %q, want %q, %q or %q", store.ErrInvalid, leave, LeaveRefuse, LeaveInline, LeaveDrop)
	}
	n, err = e.networks.Remove(ctx, name, revision, func(n network.Network) error {
		changed, err = e.leaveNetwork(ctx, n, leave)
		return err
	})
	if err != nil {
		return n, 0, err
	}
	e.tellMany(event.Edited, changed)
	e.reexamineAll(ctx)
	e.events.Publish(event.TypeNetwork, event.Network{Change: event.Removed, Name: n.Name})
	return n, changed, nil
}

// leaveNetwork changes the rules that name a network.
func (e *Engine) leaveNetwork(ctx context.Context, n network.Network, leave Leave) (int, error) {
	hashes, err := e.findHashes(ctx, store.BindingFilter{Names: n.Name})
	if err != nil {
		return 0, fmt.Errorf("find rules that name network %q: %w", n.Name, err)
	}
	stuck := &NetworkInUseError{Network: n.Name, Because: ": say what becomes of them"}
	if leave != LeaveRefuse {
		stuck.Because = " that would match nothing, or have too many prefixes, without it"
	}
	for _, hash := range hashes {
		b, err := e.store.Binding(ctx, hash)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("look at rules that name network %q: %w", n.Name, err)
		}
		if leave == LeaveRefuse || withoutNetwork(b.Rule, n, leave).Validate() != nil {
			if stuck.Bindings++; len(stuck.Some) < someInUse {
				stuck.Some = append(stuck.Some, b)
			}
		}
	}
	if stuck.Bindings > 0 {
		return 0, stuck
	}
	err = forEach(ctx, len(hashes), nil, func(ctx context.Context, i int) error {
		_, _, err := e.change(ctx, "edit binding", hashes[i], 0, func(b *store.Binding) {
			b.Rule = withoutNetwork(b.Rule, n, leave)
		})
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	return len(hashes), err
}

// withoutNetwork returns a rule that does not name a network any more.
func withoutNetwork(r store.Rule, n network.Network, leave Leave) store.Rule {
	r = r.Clone()
	r.Networks = slices.DeleteFunc(r.Networks, func(name string) bool { return name == n.Name })
	if leave != LeaveInline {
		return r
	}
	for _, p := range n.Prefixes {
		if !slices.Contains(r.Prefixes, p) {
			r.Prefixes = append(r.Prefixes, p)
		}
	}
	if r.Kind == store.RuleLearn { // what it learned and may yet learn stays as many
		r.Learn.Limit = min(r.Learn.Limit+len(n.Prefixes), store.MaxLearnLimit)
	}
	return r
}

// Block blocks networks, as network.Blocklist.Add does: from the next request on,
// and exchanges under way from there are cut.
func (e *Engine) Block(ctx context.Context, entries []network.Blocked) (added int, err error) {
	for i := range entries {
		if entries[i].Note, err = cleanText("note", entries[i].Note, network.MaxNoteBytes, "\n\t"); err != nil {
			return 0, fmt.Errorf("block network %d: %w", i+1, err)
		}
	}
	if added, err = e.blocked.Add(ctx, entries); err == nil {
		e.reexamineAll(ctx)
		e.events.Publish(event.TypeBlocked, event.Blocked{Change: event.Made, Count: len(entries)})
	}
	return added, err
}

// Unblock ends the blocking of networks, and returns those that were blocked.
func (e *Engine) Unblock(ctx context.Context, prefixes []netip.Prefix) ([]network.Blocked, error) {
	gone, err := e.blocked.Remove(ctx, prefixes)
	if len(gone) > 0 {
		e.events.Publish(event.TypeBlocked, event.Blocked{Change: event.Removed, Count: len(gone)})
	}
	return gone, err
}
