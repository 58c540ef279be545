package engine

import (
	"context"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/engine/exception"
	"github.com/key-ip-sentinel/sentinel/engine/follow"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/engine/sharing"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Follow has changes of bindings in force that others have made, and that the store has:
// on the next request, and for the exchanges under way that they no longer let pass. It
// does not wait for changes that this engine is making, one of which may wait for it.
func (e *Engine) Follow(changes []store.Change) {
	for _, c := range changes {
		e.cache.Drop(c.Hash)
		// An exchange is registered before its look-up: from here on it either sees the
		// change, or is found.
		if c.Kind == store.ChangeBindingPut {
			e.reexamine(c.Binding)
		}
	}
	e.tellFollowed(changes)
}

// tellFollowed tells of changes that others have made, of several as of one act.
func (e *Engine) tellFollowed(changes []store.Change) {
	if len(changes) > 1 {
		e.tellMany(event.Edited, len(changes))
		return
	}
	for _, c := range changes {
		switch {
		case c.Kind == store.ChangeBindingRemoved:
			e.tellBinding(event.Unbound, store.Binding{Hash: c.Hash, Revision: c.Revision})
		case c.Binding.Status == store.StatusBanned:
			e.tellBinding(event.Banned, c.Binding)
		default:
			e.tellBinding(event.Edited, c.Binding)
		}
	}
}

// FollowAll has every binding looked up anew. It does not wait, as Follow.
func (e *Engine) FollowAll() { e.cache.DropAll() }

// FollowStreams cuts the exchanges under way that are not let pass any more, whatever has
// changed.
func (e *Engine) FollowStreams(ctx context.Context) error {
	e.reexamineAll(ctx)
	return nil
}

// FollowedDocuments returns what has documents in force that others have changed, by their
// kind.
func (e *Engine) FollowedDocuments() map[string]follow.Reload {
	return map[string]follow.Reload{
		network.NetworkKind: func(ctx context.Context) error {
			err := e.networks.Reload(ctx)
			e.reexamineAll(ctx)
			e.events.Publish(event.TypeNetwork, event.Network{Change: event.Changed})
			return err
		},
		network.BlockedKind: func(ctx context.Context) error {
			err := e.blocked.Reload(ctx)
			e.reexamineAll(ctx)
			e.events.Publish(event.TypeBlocked, event.Blocked{Change: event.Changed})
			return err
		},
		exception.Kind: func(ctx context.Context) error {
			err := e.exceptions.Reload(ctx)
			e.reexamineAll(ctx)
			e.events.Publish(event.TypeException, event.Exception{Change: event.Changed})
			return err
		},
		sharing.Kind: e.sharing.Reload,
		// What others have counted is read when it is asked for.
		minutesKind: follow.Nothing,
		rankingKind: follow.Nothing,
	}
}

// FollowedSettings returns what has settings in force that others have changed, by name.
func (e *Engine) FollowedSettings() map[string]follow.Reload {
	return map[string]follow.Reload{
		// It is looked at before the engine is there, and another one stops the start.
		secretMark:      follow.Nothing,
		unmarkedSetting: follow.Nothing,
		olderSetting:    follow.Nothing,
		asSentSetting:   e.lookForOlder,
		// They stop a start, and come into no store that is in use.
		store.MoveMark:   follow.Nothing,
		store.LegacyMark: follow.Nothing,
		// It is of each node.
		ClockMark: follow.Nothing,
	}
}
