package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/store"
)

// A key may be bound under another hash than that of today: of an HMAC secret from
// before, or of the key as it was sent (credential.SpellingAsSent). Such hashes are
// tried when today's is not bound, and only where there may be any.
//
// Threat: between the change of the secret and the next use of each key, a stolen or
// banned key is unknown, and bound anew by whoever comes first. Answer: a binding under
// another hash decides at once, as it is. After a use that it lets pass, it is moved to
// the hash of today, with all that belongs to it, in one step of the store (move.go).
// Refused uses move nothing: they prove nothing of where the key belongs.
//
// What becomes of everything that knows a key by its hash:
//
//   - Flights: an exchange is registered under both hashes, so that a change of either
//     binding finds it, before and after the move.
//   - Usage and its history move with the binding; what was gathered in memory under the
//     other hash is written under the new one (writeUsage). So do exceptions, in the same
//     step, and the entry of the archive, also where there is no binding any more: a
//     first use finds it (moveArchived).
//     Another node of a cluster has the binding under its new hash a moment before it has
//     read the exceptions again: what rests on one alone may be refused in between.
//   - Re-bind links and suspicions follow right after it. A crash in between ends the
//     link, which fails closed, and leaves a suspicion that can be dismissed.
//   - Intercepts, alerts, rankings and the audit trail tell what has happened, and keep
//     the hash that it happened to; the log says which hash took the place of which.
//     A replay of a key therefore finds its refusals from before the move by the other
//     hash only. Strikes that are not a suspicion yet begin anew.
//   - A key that somebody typed or pasted is looked for under all of its hashes
//     (FindKey); `sentinel hash`, which works without a server, prints that of today.
//   - Of a key that is bound under several hashes, today's counts; of others, one that is
//     banned, and else the first one in the order of credential.Set.AppendOlder.

// olderKey is a key of an exchange whose binding has another hash than today's.
type olderKey struct {
	key  int
	hash store.KeyHash
}

// hash returns the hash that key i is bound under, as far as is known.
func (x *Exchange) hash(i int) store.KeyHash {
	if at := x.older(i); at >= 0 {
		return x.olderKeys[at].hash
	}
	return x.keys.Hash(i)
}

// older returns the index of key i among the older keys, or -1.
func (x *Exchange) older(i int) int {
	return slices.IndexFunc(x.olderKeys, func(o olderKey) bool { return o.key == i })
}

// forgetOlder has key i known by its hash of today. Its flight under the other one
// stays until Done.
func (x *Exchange) forgetOlder(i int) {
	x.olderKeys = slices.DeleteFunc(x.olderKeys, func(o olderKey) bool { return o.key == i })
}

// registerOlder has a change of the binding of an older hash find the exchange too.
func (e *Engine) registerOlder(x *Exchange, i int, hash store.KeyHash) {
	x.olderKeys = append(x.olderKeys, olderKey{i, hash})
	f := &flight{hash: hash, x: x, key: i}
	x.olderFlights = append(x.olderFlights, f)
	e.flights.add(f)
}

// triesOlder reports whether keys may be bound under other hashes than today's.
func (e *Engine) triesOlder() bool { return e.older.tries.Load() }

// findOlder returns the entry of key i, which has no binding under its hash of today, as
// far as it was looked up; nil if there is no other either.
func (e *Engine) findOlder(ctx context.Context, x *Exchange, i int) (*bindcache.Entry, error) {
	hash, err := e.boundOf(ctx, x.keys.AppendOlder(nil, i, e.older.asSent.Load()))
	if err != nil {
		return nil, err
	}
	if hash.IsZero() {
		return e.lookUp(ctx, x.keys.Hash(i)) // it may have been moved in between
	}
	e.registerOlder(x, i, hash)
	return e.entryOf(ctx, x, i)
}

// entryOf looks up key i under the hash that it was found by, and if there is nothing
// any more under that of today: it was moved.
func (e *Engine) entryOf(ctx context.Context, x *Exchange, i int) (*bindcache.Entry, error) {
	entry, err := e.lookUp(ctx, x.hash(i))
	if err != nil || entry != nil || x.older(i) < 0 {
		return entry, err
	}
	x.forgetOlder(i)
	return e.lookUp(ctx, x.keys.Hash(i))
}

// boundOf returns which of several hashes of one key is bound: one that is banned, or
// else the first; the zero hash if none is.
func (e *Engine) boundOf(ctx context.Context, hashes []store.KeyHash) (found store.KeyHash, err error) {
	for _, hash := range hashes {
		entry, err := e.lookUp(ctx, hash)
		switch {
		case err != nil:
			return store.KeyHash{}, err
		case entry != nil && entry.Banned:
			return hash, nil
		case entry != nil && found.IsZero():
			found = hash
		}
	}
	return found, nil
}

// FindKey returns the hash that a key is bound under, which an administrator typed or
// pasted, or else its hash of today, and its hint. Errors are those of HashKey, and the
// store's.
func (e *Engine) FindKey(ctx context.Context, key string) (hash store.KeyHash, hint string, err error) {
	if hash, hint, err = e.HashKey(key); err != nil || !e.triesOlder() {
		return hash, hint, err
	}
	hashes := e.credentials.AppendOlder([]store.KeyHash{hash}, key, e.older.asSent.Load())
	for range 2 { // it may be moved in between
		bound := store.KeyHash{}
		if entry, err := e.lookUp(ctx, hash); err != nil || entry != nil {
			return hash, hint, errors.Join(err)
		}
		if bound, err = e.boundOf(ctx, hashes[1:]); err != nil {
			return store.KeyHash{}, "", fmt.Errorf("look for key: %w", err)
		}
		if !bound.IsZero() {
			return bound, hint, nil
		}
	}
	return hash, hint, nil
}
