package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

// changeAttempts bounds how often a change is tried anew because another node
// changed the binding meanwhile.
const changeAttempts = 8

// BindingEdit changes a binding; nil fields stay.
type BindingEdit struct {
	// Revision is the one that the binding must still have; 0: any.
	Revision uint64
	Status   *store.Status
	Rule     *store.Rule
	Label    *string
	Note     *string
}

// Edit changes a binding, and returns it as it was and as it is. The change is
// in force on the next request, and the exchanges under way that the binding no
// longer lets pass are cut. An edit that changes nothing writes nothing: then
// both are the same. Returns store.ErrNotFound, store.ErrConflict on another
// revision, or an error that wraps store.ErrInvalid and names the field.
func (e *Engine) Edit(ctx context.Context, hash store.KeyHash, edit BindingEdit) (before, after store.Binding, err error) {
	if edit, err = edit.clean(); err != nil {
		return store.Binding{}, store.Binding{}, fmt.Errorf("edit binding: %w", err)
	}
	if before, after, err = e.edit(ctx, hash, edit); err != nil {
		return before, after, err
	}
	if after.Revision != before.Revision {
		e.tellBinding(editAction(before, after), after)
	}
	return before, after, nil
}

// edit is Edit of what has been cleaned, and tells nobody.
func (e *Engine) edit(ctx context.Context, hash store.KeyHash, edit BindingEdit) (before, after store.Binding, err error) {
	if edit.Rule != nil {
		done, err := e.networks.Naming(*edit.Rule)
		if err != nil {
			return before, after, fmt.Errorf("edit binding: %w", err)
		}
		defer done()
	}
	change := func(b *store.Binding) { edit.apply(b) }
	return e.change(ctx, "edit binding", hash, edit.Revision, change)
}

// clean returns the edit as it is stored.
func (edit BindingEdit) clean() (BindingEdit, error) {
	if s := edit.Status; s != nil && *s != store.StatusActive && *s != store.StatusBanned {
		return edit, fmt.Errorf("%w: status %q, want %q or %q", store.ErrInvalid, *s, store.StatusActive, store.StatusBanned)
	}
	if edit.Rule != nil {
		if err := edit.Rule.Validate(); err != nil {
			return edit, err
		}
	}
	var err error
	if edit.Label != nil {
		label := ""
		if label, err = cleanLabel(*edit.Label); err != nil {
			return edit, err
		}
		edit.Label = &label
	}
	if edit.Note != nil {
		note := ""
		if note, err = cleanNote(*edit.Note); err != nil {
			return edit, err
		}
		edit.Note = &note
	}
	return edit, nil
}

func (edit BindingEdit) apply(b *store.Binding) {
	if edit.Status != nil {
		b.Status = *edit.Status
	}
	if edit.Rule != nil {
		b.Rule = edit.Rule.Clone()
	}
	if edit.Label != nil {
		b.Label = *edit.Label
	}
	if edit.Note != nil {
		b.Note = *edit.Note
	}
}

// Ban bars a key, as Edit does.
func (e *Engine) Ban(ctx context.Context, hash store.KeyHash) (store.Binding, error) {
	status := store.StatusBanned
	_, b, err := e.Edit(ctx, hash, BindingEdit{Status: &status})
	return b, err
}

// Unban lets a banned key be used again where its rule lets it, as Edit does.
func (e *Engine) Unban(ctx context.Context, hash store.KeyHash) (store.Binding, error) {
	status := store.StatusActive
	_, b, err := e.Edit(ctx, hash, BindingEdit{Status: &status})
	return b, err
}

// SetRule gives a key another rule, as Edit does.
func (e *Engine) SetRule(ctx context.Context, hash store.KeyHash, rule store.Rule) (store.Binding, error) {
	_, b, err := e.Edit(ctx, hash, BindingEdit{Rule: &rule})
	return b, err
}

// Unbind removes the binding of a key, if its revision is still the one given
// or that one is 0, and returns it: the key's next accepted use binds it anew.
// Exchanges under way go on until that happens. Returns store.ErrNotFound or
// store.ErrConflict.
func (e *Engine) Unbind(ctx context.Context, hash store.KeyHash, revision uint64) (before store.Binding, err error) {
	if before, err = e.unbind(ctx, hash, revision); err == nil {
		e.tellBinding(event.Unbound, before)
	}
	return before, err
}

func (e *Engine) unbind(ctx context.Context, hash store.KeyHash, revision uint64) (before store.Binding, err error) {
	used, _ := e.cache.Get(ctx, hash) // an error comes again below
	err = e.cache.Change(hash, func() error {
		return retryConflict(revision, func() error {
			var err error
			if before, err = e.bindingAt(ctx, hash, revision); err != nil {
				return err
			}
			_, err = e.store.DeleteBinding(ctx, hash, before.Revision)
			return err
		})
	})
	if err != nil {
		return store.Binding{}, fmt.Errorf("unbind key: %w", err)
	}
	if used != nil {
		used.TakeUsage(e.now()) // which went with the binding, and is not the next one's
	}
	if err := e.exceptions.RevokeOf(ctx, hash, ""); err != nil {
		e.storeFailed("end exceptions of an unbound key", err) // they end by themselves
	}
	e.shut(ctx, hash)
	return before, nil
}

// Preset stores a binding ahead of the key's first use. Returns
// store.ErrConflict with the binding that is there if the key has one already,
// or an error that wraps store.ErrInvalid and names the field.
func (e *Engine) Preset(ctx context.Context, b store.Binding) (store.Binding, error) {
	b, err := cleanTexts(b)
	if err != nil {
		return store.Binding{}, fmt.Errorf("preset binding: %w", err)
	}
	done, err := e.networks.Naming(b.Rule)
	if err != nil {
		return store.Binding{}, fmt.Errorf("preset binding: %w", err)
	}
	defer done()
	b.HashedWith = e.credentials.HashedWith()
	b, created, err := e.preset(ctx, b)
	switch {
	case err != nil:
		return store.Binding{}, err
	case !created:
		return b, fmt.Errorf("preset binding: %w", store.ErrConflict)
	}
	e.tellBinding(event.Preset, b)
	return b, nil
}

func (e *Engine) preset(ctx context.Context, b store.Binding) (stored store.Binding, created bool, err error) {
	b.CreatedAt = store.StoredTime(e.now())
	b.UpdatedAt = b.CreatedAt
	err = e.cache.Replace(b.Hash, func() (store.Binding, error) {
		var err error
		stored, created, err = e.store.Bind(ctx, b)
		return stored, err
	})
	if err != nil {
		e.reexamineStored(ctx, b.Hash) // a change that failed may have happened
		return store.Binding{}, false, fmt.Errorf("preset binding: %w", err)
	}
	if created {
		e.reexamine(stored)
	}
	return stored, created, nil
}

// Restore moves the binding of a key back from the archive. It is as new as if
// it had just been made, so that it is not archived again at once. Exchanges
// under way that it does not let pass are cut. Returns store.ErrNotFound if the
// archive has none, or store.ErrConflict if the key was bound anew.
func (e *Engine) Restore(ctx context.Context, hash store.KeyHash) (store.Binding, error) {
	var b store.Binding
	err := e.cache.Replace(hash, func() (store.Binding, error) {
		var err error
		b, err = e.store.RestoreBinding(ctx, hash, store.StoredTime(e.now()))
		return b, err
	})
	if err != nil {
		e.reexamineStored(ctx, hash)
		return store.Binding{}, fmt.Errorf("restore binding: %w", err)
	}
	e.reexamine(b)
	e.tellBinding(event.Restored, b)
	return b, nil
}

// HashKey returns the key hash and the hint of a key that an administrator
// typed or pasted, in any spelling that the downstream accepts. The error wraps
// store.ErrInvalid and the *credential.Error, and holds no part of the key.
func (e *Engine) HashKey(key string) (hash store.KeyHash, hint string, err error) {
	if hash, hint, err = e.credentials.HashKey(key); err != nil {
		return store.KeyHash{}, "", fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	return hash, hint, nil
}

// bindingAt reads the binding of a key, which must have the revision given,
// unless that is 0.
func (e *Engine) bindingAt(ctx context.Context, hash store.KeyHash, revision uint64) (store.Binding, error) {
	b, err := e.store.Binding(ctx, hash)
	if err == nil && revision != 0 && b.Revision != revision {
		return store.Binding{}, store.ErrConflict
	}
	return b, err
}

// change applies a change to a binding, durably, and cuts what the binding no
// longer lets pass.
func (e *Engine) change(
	ctx context.Context, doing string, hash store.KeyHash, revision uint64, apply func(*store.Binding),
) (before, after store.Binding, err error) {
	err = e.cache.Replace(hash, func() (store.Binding, error) {
		err := retryConflict(revision, func() error {
			var err error
			if before, err = e.bindingAt(ctx, hash, revision); err != nil {
				return err
			}
			after = before
			apply(&after)
			if sameBinding(before, after) {
				return nil
			}
			after.UpdatedAt = store.StoredTime(e.now())
			after, err = e.store.ReplaceBinding(ctx, after)
			return err
		})
		return after, err
	})
	if err != nil {
		e.reexamineStored(ctx, hash) // a change that failed may have happened
		return store.Binding{}, store.Binding{}, fmt.Errorf("%s: %w", doing, err)
	}
	e.reexamine(after)
	if after.Status == store.StatusBanned && before.Status != after.Status {
		e.shut(ctx, hash)
	}
	return before, after, nil
}

// sameBinding compares what a change may change.
func sameBinding(a, b store.Binding) bool {
	return a.Status == b.Status && a.Hint == b.Hint && a.Label == b.Label && a.Note == b.Note && a.Rule.Equal(b.Rule)
}

// retryConflict tries again where another node was faster, unless the change
// was to be made to one revision only.
func retryConflict(revision uint64, try func() error) error {
	var err error
	for range changeAttempts {
		if err = try(); !errors.Is(err, store.ErrConflict) || revision != 0 {
			return err
		}
	}
	return err
}

// reexamine cuts the exchanges of a key that its changed binding no longer lets
// pass.
func (e *Engine) reexamine(b store.Binding) {
	entry, err := e.cache.NewEntry(b)
	if err != nil {
		e.storeFailed("read changed binding", err)
		return
	}
	e.cutRefused(entry)
}

// reexamineStored does the same with what is stored, if that can be read.
func (e *Engine) reexamineStored(ctx context.Context, hash store.KeyHash) {
	entry, err := e.cache.Get(context.WithoutCancel(ctx), hash)
	if err != nil {
		e.storeFailed("look up changed key", err)
		return
	}
	if entry != nil {
		e.cutRefused(entry)
	}
}

func (e *Engine) cutRefused(entry *bindcache.Entry) {
	if e.policy.Load().Mode == ModeObserve {
		return
	}
	e.flights.each(entry.Hash, func(f *flight) {
		v := e.judge(entry, f.x.ClientIP)
		if v.refused != "" && f.x.cut.CompareAndSwap(nil, &cut{refuse(v.refused), f.key, entry, v.basis}) {
			f.x.cancel()
		}
	})
}
