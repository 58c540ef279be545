package engine

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// secretMark is the setting that tells which HMAC secret the key hashes of a
	// store are made with.
	secretMark = "internal.hmac_secret_mark"
	// unmarkedSetting is the setting with the HashedWith of those bindings that are
	// from before there was one.
	unmarkedSetting = "internal.hmac_unmarked"
	// olderSetting is there while the store may have hashes of other secrets.
	olderSetting = "internal.hmac_older"
	// asSentSetting is there while the store may have hashes of keys as they were
	// sent.
	asSentSetting = "internal.hashes_as_sent"

	shownMarkBytes = 4
)

// ErrOtherSecret means that the bindings of a store were made with another HMAC
// secret: with this one, no key would be found, and each would be bound anew by
// whoever came first.
var ErrOtherSecret = errors.New("the bindings were made with another HMAC secret")

// OtherSecretError is an ErrOtherSecret.
type OtherSecretError struct {
	Bindings int
	// Mark names the secret that they were made with, to Secrets.Abandon. It tells
	// nothing of it.
	Mark string
}

// Error says how many bindings there are.
func (e *OtherSecretError) Error() string {
	return fmt.Sprintf("%v (bindings: %d)", ErrOtherSecret, e.Bindings)
}

// Unwrap makes it an ErrOtherSecret.
func (e *OtherSecretError) Unwrap() error { return ErrOtherSecret }

// Secrets are the HMAC secret in use, and what is known of those before it.
type Secrets struct {
	Current  []byte
	Previous [][]byte // the last one first
	// Abandon is the Mark of a secret that is lost: that all keys which were bound with
	// it become unknown is accepted.
	Abandon string
}

// CheckSecret compares the secrets with what a store was made with, and changes
// nothing. isNew says that the store knows of another one that may be given up, or of
// none: then NoteSecret is to follow, once what was sealed with the one before is sealed
// anew. Returns an *OtherSecretError.
func CheckSecret(ctx context.Context, s store.Store, secrets Secrets) (isNew bool, err error) {
	stored, err := s.Setting(ctx, secretMark)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("check HMAC secret: %w", err)
	}
	if err == nil && bytes.Equal(stored, markOf(secrets.Current)) {
		return false, nil
	}
	if secrets.previous(stored) != nil {
		return true, nil
	}
	n, err := s.CountBindings(ctx)
	if err != nil {
		return false, fmt.Errorf("check HMAC secret: %w", err)
	}
	if mark := shownMark(stored); n > 0 && secrets.Abandon != mark {
		return false, &OtherSecretError{Bindings: n, Mark: mark}
	}
	return true, nil
}

// NoteSecret notes the secret in use, after CheckSecret. It writes what is not noted
// yet, and what says which secret it is comes last: whoever was killed in between does
// it again.
func NoteSecret(ctx context.Context, s store.Settings, secrets Secrets) error {
	stored, err := s.Setting(ctx, secretMark)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("note HMAC secret: %w", err)
	}
	current := markOf(secrets.Current)
	isChanged := err == nil && !bytes.Equal(stored, current)
	unmarked := credential.HashedWith(secrets.Current, credential.SpellingCanonical)
	if isChanged {
		unmarked = 0 // of a secret that nobody has any more
		if previous := secrets.previous(stored); previous != nil {
			unmarked = credential.HashedWith(previous, credential.SpellingCanonical)
		}
	}
	err = putOnce(ctx, s, unmarkedSetting, binary.BigEndian.AppendUint32(nil, unmarked))
	if isChanged {
		err = errors.Join(err, s.PutSetting(ctx, olderSetting, []byte{1}))
	}
	if err == nil && !bytes.Equal(stored, current) {
		err = s.PutSetting(ctx, secretMark, current)
	}
	if err != nil {
		return fmt.Errorf("note HMAC secret: %w", err)
	}
	return nil
}

func putOnce(ctx context.Context, s store.Settings, name string, value []byte) error {
	_, err := s.Setting(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		err = s.PutSetting(ctx, name, value)
	}
	return err
}

// NoteHashesAsSent notes that a store has, or is about to get, hashes of keys as they
// were sent.
func NoteHashesAsSent(ctx context.Context, s store.Settings) error {
	if err := s.PutSetting(ctx, asSentSetting, []byte{1}); err != nil {
		return fmt.Errorf("note hashes of keys as they were sent: %w", err)
	}
	return nil
}

// previous returns the secret that has a mark; nil if it is none of those before.
func (s Secrets) previous(mark []byte) []byte {
	for _, secret := range s.Previous {
		if len(mark) > 0 && bytes.Equal(mark, markOf(secret)) {
			return secret
		}
	}
	return nil
}

func markOf(secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(secretMark))
	return mac.Sum(nil)
}

// shownMark returns what names a secret; "none" if it was never noted.
func shownMark(mark []byte) string {
	if len(mark) < shownMarkBytes {
		return "none"
	}
	return hex.EncodeToString(mark[:shownMarkBytes])
}

// HasSecret reports whether a store belongs to some HMAC secret already: whether
// NoteSecret has noted one, or there are bindings.
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
