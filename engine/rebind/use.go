package rebind

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	useTimeout     = 30 * time.Second
	changeAttempts = 8
)

// Offer is what a link would do, for its holder to see before they say so.
type Offer struct {
	Hint      string
	Prefix    netip.Prefix // what the key would be bound to
	ExpiresAt time.Time
}

// Use is what a link has done.
type Use struct {
	Link          Link
	Before, After store.Binding
}

// Look returns what the link of a token would do from a client IP, and changes
// nothing. Returns ErrGone, whatever is wrong with the link.
func (l *Links) Look(ctx context.Context, token string, ip netip.Addr) (Offer, error) {
	k, b, err := l.usable(ctx, token)
	if err != nil {
		return Offer{}, err
	}
	prefix, err := l.opts.Keys.BindingPrefix(ip)
	if err != nil {
		return Offer{}, fmt.Errorf("cut client IP to a prefix: %w", err)
	}
	return Offer{Hint: b.Hint, Prefix: prefix, ExpiresAt: k.ExpiresAt}, nil
}

// usable returns the link of a token and its binding, if it can be used now.
func (l *Links) usable(ctx context.Context, token string) (kept, store.Binding, error) {
	id := documentIDOf(token)
	if id == "" {
		return kept{}, store.Binding{}, ErrGone
	}
	k, err := l.find(ctx, id)
	if err != nil {
		return kept{}, store.Binding{}, err
	}
	l.mu.Lock()
	barred := l.barred[id]
	l.mu.Unlock()
	if barred || k.state(l.now()) != Open {
		return kept{}, store.Binding{}, ErrGone
	}
	b, err := l.bindingOf(ctx, k.record)
	return k, b, err
}

// Use gives the key of a token's link the rule that a first use from ip would.
// Returns ErrGone, whatever is wrong with the link: of any number of calls at once
// for one link, one succeeds.
//
// Threat: a crash in between leaves a link that was used and can be used again,
// by whoever finds it in a mailbox. Answer: that the link is used is durable
// before the key is bound anew. So it fails the other way: a crash between the two
// leaves a used link and the key bound as it was, and its holder needs another
// link. Once Use has returned, both are durable.
func (l *Links) Use(ctx context.Context, token string, ip netip.Addr) (Use, error) {
	// Whoever breaks the connection off does not come between the two writes.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), useTimeout)
	defer cancel()
	k, b, err := l.usable(ctx, token)
	if err != nil {
		return Use{}, err
	}
	prefix, err := l.opts.Keys.BindingPrefix(ip)
	if err != nil {
		return Use{}, fmt.Errorf("cut client IP to a prefix: %w", err)
	}
	k.UsedAt, k.UsedFrom, k.UsedFor = l.now(), ip, prefix
	err = l.put(ctx, k) // of the revision that was read: exactly one gets past
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return Use{}, ErrGone
	}
	if err != nil {
		return Use{}, fmt.Errorf("use re-bind link: %w", err)
	}
	use := Use{Link: k.link(k.document.ID, l.now())}
	use.Before, use.After, err = l.bind(ctx, k.record, b, prefix)
	return use, err
}

// bind gives a binding its new rule, unless it is not the link's any more.
func (l *Links) bind(ctx context.Context, r record, b store.Binding, prefix netip.Prefix) (before, after store.Binding, err error) {
	rule := store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{prefix}}
	for range changeAttempts {
		before, after, err = l.opts.Keys.Edit(ctx, r.Key, engine.BindingEdit{Revision: b.Revision, Rule: &rule})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return before, after, ErrGone
		case !errors.Is(err, store.ErrConflict):
			return before, after, err
		}
		if b, err = l.bindingOf(ctx, r); err != nil { // changed meanwhile: perhaps banned
			return before, after, err
		}
	}
	return before, after, err
}
