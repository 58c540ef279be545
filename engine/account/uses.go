package account

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// writeUsesEvery is how often the last uses of API tokens are written.
	writeUsesEvery = time.Minute
	// writeUsesFor is how long that may take: tokens cannot be read again
	// meanwhile.
	writeUsesFor = 5 * time.Second
)

// lastUse is the last use of the API token of a hash.
type lastUse struct {
	hash string
	at   time.Time
	from netip.Addr
}

// on returns rec with the use, unless it is of another token of that name, or
// there was a later one.
func (u lastUse) on(rec tokenRecord) tokenRecord {
	if u.hash == rec.Hash && u.at.After(rec.LastUsed) {
		rec.LastUsed, rec.LastIP = u.at, u.from
	}
	return rec
}

// uses gathers the last uses of API tokens by name, so that no request waits for
// a write.
type uses struct {
	write  func(ctx context.Context, name string, use lastUse) error
	logger *slog.Logger

	mu      sync.Mutex
	pending map[string]lastUse

	stop, stopped chan struct{}
	stopOnce      sync.Once
}

// startUses returns uses that are written every minute until close is called.
func startUses(write func(context.Context, string, lastUse) error, logger *slog.Logger) *uses {
	u := &uses{write: write, logger: logger, pending: map[string]lastUse{},
		stop: make(chan struct{}), stopped: make(chan struct{})}
	go u.run()
	return u
}

func (u *uses) run() {
	defer close(u.stopped)
	// A write that hangs must not hold up the end.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-u.stop
		cancel()
	}()
	ticker := time.NewTicker(writeUsesEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			u.tick(ctx)
		case <-u.stop:
			return
		}
	}
}

func (u *uses) tick(ctx context.Context) {
	timed, cancel := context.WithTimeout(ctx, writeUsesFor)
	defer cancel()
	if err := u.flush(timed); err != nil && ctx.Err() == nil {
		u.logger.Warn("last uses of API tokens not written, will try again", "error", err)
	}
}

func (u *uses) close(ctx context.Context) error {
	u.stopOnce.Do(func() { close(u.stop) })
	select {
	case <-u.stopped:
	case <-ctx.Done():
		return ctx.Err()
	}
	return u.flush(ctx)
}

func (u *uses) note(name string, use lastUse) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pending[name] = use
}

// latest returns the use of a name that is not written yet, or the zero one.
func (u *uses) latest(name string) lastUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pending[name]
}

// flush writes what is pending. What could not be written stays pending.
func (u *uses) flush(ctx context.Context) error {
	u.mu.Lock()
	todo := maps.Clone(u.pending)
	u.mu.Unlock()
	var errs []error
	for name, use := range todo {
		if err := u.write(ctx, name, use); err != nil {
			errs = append(errs, err)
			continue
		}
		u.mu.Lock()
		if u.pending[name] == use { // not used again meanwhile
			delete(u.pending, name)
		}
		u.mu.Unlock()
	}
	return errors.Join(errs...)
}

// writeUse writes one last use. There is nothing to write if the token is gone.
func (a *Accounts) writeUse(ctx context.Context, name string, use lastUse) error {
	_, err := a.tokens.change(ctx, name, func(_ *shelved[tokenRecord], rec *tokenRecord) error {
		with := use.on(*rec)
		if with.LastUsed.Equal(rec.LastUsed) {
			return errUnchanged
		}
		*rec = with
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
