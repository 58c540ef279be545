// Package seal encrypts the secrets that must be kept in clear somewhere, so that
// a copy of the records alone does not give them.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// KeyBytes is how long the key of a Sealer has to be.
const KeyBytes = 32

// ErrSealed means that a secret was sealed with another key, for another owner,
// or is damaged.
var ErrSealed = errors.New("sealed with another key")

// Sealer seals secrets of one use with AES-256-GCM. It is safe for concurrent
// use.
type Sealer struct {
	aead  cipher.AEAD
	older []cipher.AEAD
}

// New returns the sealer of a use, whose key comes of key by HKDF (RFC 5869): the
// same key may serve several uses. It opens what older keys have sealed as well.
func New(key []byte, use string, older ...[]byte) (*Sealer, error) {
	aead, err := newAEAD(key, use)
	if err != nil {
		return nil, err
	}
	s := &Sealer{aead: aead}
	for _, key := range older {
		if aead, err = newAEAD(key, use); err != nil {
			return nil, err
		}
		s.older = append(s.older, aead)
	}
	return s, nil
}

func newAEAD(key []byte, use string) (cipher.AEAD, error) {
	if len(key) != KeyBytes {
		return nil, fmt.Errorf("key for %s has %d bytes, want %d", use, len(key), KeyBytes)
	}
	derived, err := hkdf.Key(sha256.New, key, nil, use, KeyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return aead, nil
}

// Seal encrypts a secret. owner is bound to it, so that who can write records
// cannot give a sealed secret to another owner.
func (s *Sealer) Seal(secret, owner []byte) []byte {
	return s.aead.Seal(nil, nil, secret, owner) //nolint:gosec // it makes a nonce of its own, G407
}

// Open returns a secret. Returns ErrSealed.
func (s *Sealer) Open(sealed, owner []byte) ([]byte, error) {
	secret, _, err := s.open(sealed, owner)
	return secret, err
}

// Reseal returns what an older key has sealed, sealed with the key of today; nil if there
// is nothing to do. Returns ErrSealed.
func (s *Sealer) Reseal(sealed, owner []byte) ([]byte, error) {
	secret, isOlder, err := s.open(sealed, owner)
	if err != nil || !isOlder {
		return nil, err
	}
	return s.Seal(secret, owner), nil
}

func (s *Sealer) open(sealed, owner []byte) (secret []byte, isOlder bool, err error) {
	if secret, err = s.aead.Open(nil, nil, sealed, owner); err == nil {
		return secret, false, nil
	}
	for _, aead := range s.older {
		if secret, err = aead.Open(nil, nil, sealed, owner); err == nil {
			return secret, true, nil
		}
	}
	return nil, false, ErrSealed
}
