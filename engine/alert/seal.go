package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/engine/seal"
	"github.com/key-ip-sentinel/sentinel/store"
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

func newSealer(key []byte, older [][]byte) (*sealer, error) {
	s, err := seal.New(key, sealUse, older...)
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

// Reseal seals the secrets of channels anew that Options.OldKeys have sealed, and returns
// of how many. Those that no key opens stay as they are.
func (c *Center) Reseal(ctx context.Context) (n int, err error) {
	for _, channel := range c.Channels() {
		if channel.ReadOnly {
			continue
		}
		_, err := c.editChannel(ctx, channel.ID, func(old *receiver) (*receiver, error) {
			if old == nil {
				return nil, store.ErrNotFound
			}
			sealed, err := c.sealer.Reseal(old.Sealed, binding(old.id, &old.channelRecord))
			if err != nil || sealed == nil {
				return nil, errUnchanged
			}
			changed := *old
			changed.Sealed = sealed
			return &changed, nil
		})
		switch {
		case err == nil:
			n++
		case !errors.Is(err, errUnchanged) && !errors.Is(err, store.ErrNotFound):
			return n, fmt.Errorf("seal secrets of channel %s anew: %w", channel.ID, err)
		}
	}
	return n, nil
}

var errUnchanged = errors.New("sealed with the key of today already")
