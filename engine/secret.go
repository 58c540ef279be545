package engine

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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
// anew. Returns an *OtherSecretError, or store.ErrUnfinished.
func CheckSecret(ctx context.Context, s store.Store, secrets Secrets) (isNew bool, err error) {
	if err := store.CheckWhole(ctx, s); err != nil {
		return false, fmt.Errorf("check data: %w", err)
	}
	stored, err := s.Setting(ctx, secretMark)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("check HMAC secret: %w", err)
	}
	if err == nil && bytes.Equal(stored, markOf(secretMark, secrets.Current)) {
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
	current := markOf(secretMark, secrets.Current)
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
	if errors.Is(err, store.ErrUnavailable) && bytes.Equal(stored, current) {
		return nil // what the nodes of a cluster share is away: another start notes it
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
		if len(mark) > 0 && bytes.Equal(mark, markOf(secretMark, secret)) {
			return secret
		}
	}
	return nil
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
func ClaimSecret(ctx context.Context, s store.Store, secrets Secrets) (isNew bool, err error) {
	if err := store.CheckWhole(ctx, s); err != nil {
		return false, fmt.Errorf("check data: %w", err)
	}
	mark := markOf(secretMark, secrets.Current)
	switch stored, err := s.Setting(ctx, secretMark); {
	case err == nil && bytes.Equal(stored, mark):
		return false, nil
	case err == nil && (secrets.previous(stored) != nil || secrets.Abandon == shownMark(stored)):
		return true, nil
	case err == nil:
		n, err := s.CountBindings(ctx)
		return false, errors.Join(&OtherSecretError{Bindings: n, Mark: shownMark(stored)}, err)
	case !errors.Is(err, store.ErrNotFound):
		return false, fmt.Errorf("check HMAC secret: %w", err)
	}
	return true, claimMark(ctx, s, mark)
}

// claimMark notes the mark of the first node's secret.
func claimMark(ctx context.Context, s store.Store, mark []byte) error {
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
