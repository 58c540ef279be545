package alert

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// keyBytes is how long Options.Key has to be.
const keyBytes = 32

// secrets are what of a channel is never shown again.
type secrets struct {
	URL      string `json:"url,omitempty"`
	Secret   string `json:"secret,omitempty"`
	Password string `json:"password,omitempty"`
}

// sealer encrypts the secrets of channels.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	if len(key) != keyBytes {
		return nil, fmt.Errorf("key for the secrets of channels has %d bytes, want %d", len(key), keyBytes)
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "sentinel alert channel v1", 32)
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

// binding is what secrets are sealed for. Threat: who can write documents could
// copy the sealed secrets of a channel to one that sends its password to a mail
// server of his own. Bound to the server, they cannot be opened there.
func binding(id string, r *channelRecord) []byte {
	return fmt.Appendf(nil, "%s\n%s\n%s:%d", id, r.Type, r.Mail.Host, r.Mail.Port)
}

func (s *sealer) seal(id string, r *channelRecord, open secrets) ([]byte, error) {
	text, err := json.Marshal(open) // #nosec G117 -- to be sealed
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return s.aead.Seal(nil, nil, text, binding(id, r)), nil //nolint:gosec // it makes a nonce of its own, G407
}

// open returns the secrets of a channel. Returns ErrSealed.
func (s *sealer) open(id string, r *channelRecord) (secrets, error) {
	var open secrets
	text, err := s.aead.Open(nil, nil, r.Sealed, binding(id, r))
	if err != nil || json.Unmarshal(text, &open) != nil {
		return secrets{}, ErrSealed
	}
	return open, nil
}
