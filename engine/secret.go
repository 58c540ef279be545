package engine

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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
	mark := markOf(secretMark, secret)
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

// SecretKind is the kind of the documents by which the nodes of a cluster find out whether
// they have the same secrets. Of a secret, they hold a digest keyed with it.
const SecretKind = "secretMark"

const (
	hmacMarkID    = "hmac"
	sessionMarkID = "session"

	markWait = 10 * time.Second
	markLook = 10 * time.Millisecond
)

// ClaimSecret is CheckSecret of a node of a cluster: of any number of nodes that are
// started at once with different secrets on an empty store, those of one secret get past.
// There, another secret is refused also while there are no bindings.
func ClaimSecret(ctx context.Context, s store.Store, secret []byte) error {
	mark := markOf(secretMark, secret)
	switch stored, err := s.Setting(ctx, secretMark); {
	case err == nil && bytes.Equal(stored, mark):
		return nil
	case err == nil:
		return ErrOtherSecret
	case !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("check HMAC secret: %w", err)
	}
	// A setting is stored whatever is there; of a new document, one comes first.
	doc, err := secretDocument(hmacMarkID, mark)
	if err != nil {
		return err
	}
	_, err = s.PutDocument(ctx, doc)
	if errors.Is(err, store.ErrConflict) {
		var first store.Document
		if first, err = awaitMark(ctx, s, hmacMarkID); err == nil && !bytes.Equal(first.Body, doc.Body) {
			return ErrOtherSecret
		}
	}
	if err == nil {
		err = s.PutSetting(ctx, secretMark, mark)
	}
	if err != nil {
		return fmt.Errorf("note HMAC secret: %w", err)
	}
	return nil
}

// awaitMark returns a mark that another node has just noted: a copy of the store may be a
// moment behind.
func awaitMark(ctx context.Context, s store.Documents, id string) (store.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, markWait)
	defer cancel()
	for {
		d, err := s.Document(ctx, SecretKind, id)
		if !errors.Is(err, store.ErrNotFound) {
			return d, err
		}
		select {
		case <-time.After(markLook):
		case <-ctx.Done():
			return d, fmt.Errorf("%w: the mark that another node has made is not to be seen", store.ErrUnavailable)
		}
	}
}

// NoteSessionSecret notes which secret sessions are signed with, and reports whether it
// was another one so far: it may be replaced, one node after the other.
func NoteSessionSecret(ctx context.Context, s store.Documents, secret []byte) (isOther bool, err error) {
	mark := markOf(sessionMarkID, secret)
	doc, err := secretDocument(sessionMarkID, mark)
	if err != nil {
		return false, err
	}
	there, err := s.Document(ctx, SecretKind, sessionMarkID)
	switch {
	case err == nil && bytes.Equal(there.Body, doc.Body):
		return false, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return false, fmt.Errorf("look at the secret of sessions: %w", err)
	}
	isOther = err == nil
	doc.Revision = there.Revision
	if _, err = s.PutDocument(ctx, doc); err != nil && !errors.Is(err, store.ErrConflict) {
		return isOther, fmt.Errorf("note the secret of sessions: %w", err)
	}
	if err != nil { // another node was faster
		return IsOtherSessionSecret(ctx, s, secret)
	}
	return isOther, nil
}

// IsOtherSessionSecret reports whether another secret was noted than the one given.
func IsOtherSessionSecret(ctx context.Context, s store.Documents, secret []byte) (bool, error) {
	return isOtherMark(ctx, s, sessionMarkID, markOf(sessionMarkID, secret))
}

func isOtherMark(ctx context.Context, s store.Documents, id string, mark []byte) (bool, error) {
	doc, err := secretDocument(id, mark)
	if err != nil {
		return false, err
	}
	there, err := s.Document(ctx, SecretKind, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the mark of a secret: %w", err)
	}
	return !bytes.Equal(there.Body, doc.Body), nil
}

func secretDocument(id string, mark []byte) (store.Document, error) {
	body, err := json.Marshal(mark)
	return store.Document{Kind: SecretKind, ID: id, Body: body}, err
}

// markOf returns what tells a secret from others, and nothing of it.
func markOf(what string, secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(what))
	return mac.Sum(nil)
}
