package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/store"
)

// changeAttempts bounds how often a change is tried anew because another node
// changed the binding meanwhile.
const changeAttempts = 8

// Ban bars a key. It is in force on the next request, and the exchanges of the
// key that are under way are cut. Returns store.ErrNotFound for a key without a
// binding.
func (e *Engine) Ban(ctx context.Context, hash store.KeyHash) (store.Binding, error) {
	return e.change(ctx, "ban", hash, func(b *store.Binding) { b.Status = store.StatusBanned })
}

// Unban lets a banned key be used again where its rule lets it.
func (e *Engine) Unban(ctx context.Context, hash store.KeyHash) (store.Binding, error) {
	return e.change(ctx, "unban", hash, func(b *store.Binding) { b.Status = store.StatusActive })
}

// SetRule gives a key another rule. It is in force on the next request, and the
// exchanges under way that it does not cover are cut.
func (e *Engine) SetRule(ctx context.Context, hash store.KeyHash, rule store.Rule) (store.Binding, error) {
	if err := rule.Validate(); err != nil {
		return store.Binding{}, fmt.Errorf("set rule: %w", err)
	}
	return e.change(ctx, "set rule", hash, func(b *store.Binding) { b.Rule = rule })
}

// Unbind removes the binding of a key: its next accepted use binds it anew.
// Exchanges under way go on until that happens.
func (e *Engine) Unbind(ctx context.Context, hash store.KeyHash) error {
	used, _ := e.cache.Get(ctx, hash) // an error comes again below
	err := e.cache.Change(hash, func() error {
		return retryConflict(func() error {
			b, err := e.store.Binding(ctx, hash)
			if err != nil {
				return err
			}
			_, err = e.store.DeleteBinding(ctx, hash, b.Revision)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("unbind key: %w", err)
	}
	if used != nil {
		used.TakeUsage(e.now()) // which went with the binding, and is not the next one's
	}
	return nil
}

// Preset stores a binding ahead of the key's first use. Returns
// store.ErrConflict if the key has one already.
func (e *Engine) Preset(ctx context.Context, b store.Binding) (store.Binding, error) {
	b.CreatedAt = e.now().UTC().Truncate(time.Millisecond)
	b.UpdatedAt = b.CreatedAt
	created := false
	err := e.cache.Change(b.Hash, func() error {
		var err error
		b, created, err = e.store.Bind(ctx, b)
		return err
	})
	switch {
	case err != nil:
		return store.Binding{}, fmt.Errorf("preset binding: %w", err)
	case !created:
		return b, fmt.Errorf("preset binding: %w", store.ErrConflict)
	}
	e.reexamine(b)
	return b, nil
}

func (e *Engine) change(ctx context.Context, doing string, hash store.KeyHash, edit func(*store.Binding)) (store.Binding, error) {
	var b store.Binding
	err := e.cache.Change(hash, func() error {
		return retryConflict(func() error {
			var err error
			if b, err = e.store.Binding(ctx, hash); err != nil {
				return err
			}
			edit(&b)
			b.UpdatedAt = e.now().UTC().Truncate(time.Millisecond)
			b, err = e.store.ReplaceBinding(ctx, b)
			return err
		})
	})
	if err != nil {
		e.reexamineStored(ctx, hash) // a change that failed may have happened
		return store.Binding{}, fmt.Errorf("%s: %w", doing, err)
	}
	e.reexamine(b)
	return b, nil
}

func retryConflict(try func() error) error {
	var err error
	for range changeAttempts {
		if err = try(); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return err
}

// reexamine cuts the exchanges of a key that its changed binding no longer lets
// pass.
func (e *Engine) reexamine(b store.Binding) {
	entry, err := bindcache.NewEntry(b)
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
		why := judge(entry, f.x.ClientIP)
		if why != "" && f.x.cut.CompareAndSwap(nil, &cut{refuse(why), f.key}) {
			f.x.cancel()
		}
	})
}
