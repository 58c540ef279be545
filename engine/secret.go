package engine

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/store"
)

// secretMark is the setting that tells which HMAC secret the key hashes of a
// store were made with.
const secretMark = "internal.hmac_secret_mark"

// ErrOtherSecret means that the bindings of a store were made with another HMAC
// secret: with this one, no key would be found, and each would be bound anew by
// whoever came first.
var ErrOtherSecret = errors.New("the bindings were made with another HMAC secret")

// CheckSecret returns ErrOtherSecret if the store holds bindings made with
// another secret, and otherwise notes this one.
func CheckSecret(ctx context.Context, s store.Store, secret []byte) error {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(secretMark))
	mark := mac.Sum(nil)
	stored, err := s.Setting(ctx, secretMark)
	switch {
	case err == nil && bytes.Equal(stored, mark):
		return nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("check HMAC secret: %w", err)
	}
	n, err := s.CountBindings(ctx)
	if err != nil {
		return fmt.Errorf("check HMAC secret: %w", err)
	}
	if n > 0 {
		return fmt.Errorf("%w (bindings: %d)", ErrOtherSecret, n)
	}
	if err := s.PutSetting(ctx, secretMark, mark); err != nil {
		return fmt.Errorf("note HMAC secret: %w", err)
	}
	return nil
}

// HasSecret reports whether a store belongs to some HMAC secret already: whether
// CheckSecret has noted one, or there are bindings.
func HasSecret(ctx context.Context, s store.Store) (bool, error) {
	switch _, err := s.Setting(ctx, secretMark); {
	case err == nil:
		return true, nil
	case !errors.Is(err, store.ErrNotFound):
		return false, fmt.Errorf("look for HMAC secret: %w", err)
	}
	n, err := s.CountBindings(ctx)
	if err != nil {
		return false, fmt.Errorf("look for HMAC secret: %w", err)
	}
	return n > 0, nil
}
