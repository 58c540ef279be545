package account

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// sealer encrypts the secrets of second factors, which are needed in clear.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	if len(key) != keyBytes {
		return nil, fmt.Errorf("key for the secrets of second factors has %d bytes, want %d", len(key), keyBytes)
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "sentinel account second factor v1", 32)
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
	return &sealer{aead: aead}, nil
}

// seal encrypts the secret of an account. The name is bound to it, so that who
// can write documents cannot give an account the secret of his own.
func (s *sealer) seal(name, secret string) []byte {
	return s.aead.Seal(nil, nil, []byte(secret), []byte(name)) //nolint:gosec // it makes a nonce of its own, G407
}

// open returns the secret of an account. Returns ErrSealed.
func (s *sealer) open(name string, sealed []byte) (string, error) {
	secret, err := s.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return "", ErrSealed
	}
	return string(secret), nil
}
