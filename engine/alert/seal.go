package alert

import (
	"encoding/json"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/engine/seal"
)

const sealUse = "sentinel alert channel v1"

// secrets are what of a channel is never shown again.
type secrets struct {
	URL      string `json:"url,omitempty"`
	Secret   string `json:"secret,omitempty"`
	Password string `json:"password,omitempty"`
}

// sealer encrypts the secrets of channels.
type sealer struct{ *seal.Sealer }

func newSealer(key []byte) (*sealer, error) {
	s, err := seal.New(key, sealUse)
	return &sealer{s}, err
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
	return s.Seal(text, binding(id, r)), nil
}

// open returns the secrets of a channel. Returns ErrSealed.
func (s *sealer) open(id string, r *channelRecord) (secrets, error) {
	var open secrets
	text, err := s.Open(r.Sealed, binding(id, r))
	if err != nil || json.Unmarshal(text, &open) != nil {
		return secrets{}, ErrSealed
	}
	return open, nil
}
