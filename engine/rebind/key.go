package rebind

import (
	"context"
	"errors"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Shut revokes the links of a key that was unbound or banned. What the store does
// not take is refused by this process all the same, and by the next one since the
// key is not what it was.
func (l *Links) Shut(ctx context.Context, hash store.KeyHash) {
	l.mu.Lock()
	documents := l.open[hash]
	delete(l.open, hash)
	for _, id := range documents {
		l.barred[id] = true
	}
	l.mu.Unlock()
	for _, id := range documents {
		if err := l.shut(context.WithoutCancel(ctx), hash, id); err != nil {
			l.opts.Logger.Error("re-bind link of a key that was unbound or banned not revoked in the store", "link", id[:idDigits], "error", err)
			continue
		}
		l.mu.Lock()
		delete(l.barred, id)
		l.mu.Unlock()
	}
}

func (l *Links) shut(ctx context.Context, hash store.KeyHash, documentID string) error {
	return l.change(ctx, documentID, func(k *kept) bool {
		if k.state(l.now()) != Open {
			return false
		}
		k.RevokedAt, k.RevokedBy = l.now(), ByUnbind
		if b, err := l.opts.Store.Binding(ctx, hash); err == nil && b.Status == store.StatusBanned {
			k.RevokedBy = ByBan
		}
		return true
	})
}

// Moved has the links of a key, whose binding has got another hash, be for that one. A
// link that is being used at this very moment may be over then.
func (l *Links) Moved(ctx context.Context, from, to store.KeyHash) {
	l.mu.Lock()
	documents := l.open[from]
	delete(l.open, from)
	if len(documents) > 0 {
		l.open[to] = append(l.open[to], documents...)
	}
	l.mu.Unlock()
	for _, id := range documents {
		err := l.change(context.WithoutCancel(ctx), id, func(k *kept) bool { k.Key = to; return true })
		if err != nil {
			l.opts.Logger.Error("re-bind link is over: its key has another hash now, which the store did not note", "link", id[:idDigits], "error", err)
		}
	}
}

// change changes the link of a document, if it is there and do reports that there is
// something to change, anew where somebody else was faster.
func (l *Links) change(ctx context.Context, documentID string, do func(k *kept) bool) error {
	var err error
	for range changeAttempts {
		var k kept
		switch k, err = l.find(ctx, documentID); {
		case errors.Is(err, ErrGone):
			return nil
		case err != nil:
			return err
		case !do(&k):
			return nil
		}
		if err = l.put(ctx, k); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return err
}
