package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/seal"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	accountKeyUse = "key-ip-sentinel: second factors of accounts"
	alertKeyUse   = "key-ip-sentinel: secrets of alert channels"
)

// sealKey returns the key that a use is sealed with. It comes of the HMAC secret, which
// stays as long as the data does, and not of that of sessions, which may be replaced to
// end them all.
func sealKey(hmacSecret []byte, use string) ([]byte, error) {
	return hkdf.Key(sha256.New, hmacSecret, nil, use, seal.KeyBytes)
}

// sealKeys returns the key of a use, and those of the secrets from before.
func (n *node) sealKeys(use string) (key []byte, old [][]byte, err error) {
	secrets := n.hmacSecrets()
	if key, err = sealKey(secrets.Current, use); err != nil {
		return nil, nil, err
	}
	for _, previous := range secrets.Previous {
		k, err := sealKey(previous, use)
		if err != nil {
			return nil, nil, err
		}
		old = append(old, k)
	}
	return key, old, nil
}

func (n *node) hmacSecrets() engine.Secrets {
	return engine.Secrets{Current: []byte(n.secrets.HMACSecret.Reveal()), Previous: n.cfg.previousSecrets(), Abandon: n.cfg.HMACLost}
}

// checkSecret refuses a start with another secret than the data was made with.
func (n *node) checkSecret(ctx context.Context) error {
	_, err := engine.CheckSecret(ctx, n.store, n.hmacSecrets())
	if refused := (*engine.OtherSecretError)(nil); errors.As(err, &refused) {
		return fmt.Errorf("SENTINEL_HMAC_SECRET does not fit the data in %s: %w. If it was changed by mistake, change it back. %s",
			n.cfg.DataDir, err, waysOn(refused))
	}
	if err != nil {
		return fmt.Errorf("data in %s: %w", n.cfg.DataDir, err)
	}
	return nil
}

// waysOn says what else a start with another secret can be.
func waysOn(refused *engine.OtherSecretError) string {
	return fmt.Sprintf("If it is to take the place of the one before, give that in SENTINEL_HMAC_SECRET_PREVIOUS; if that is lost, "+
		"SENTINEL_HMAC_SECRET_LOST=%s starts all the same: then every key is unknown, banned ones too, and bound anew by whoever uses it first", refused.Mark)
}

// turnToSecret has everything be of the secret in use that is not found by it.
func (n *node) turnToSecret(ctx context.Context) error {
	secrets := n.hmacSecrets()
	if len(secrets.Previous) > 0 {
		factors, factorErr := n.accounts.Reseal(ctx)
		channels, channelErr := n.alerts.Reseal(ctx)
		switch err := errors.Join(factorErr, channelErr); {
		case errors.Is(err, store.ErrUnavailable) && n.cluster != nil:
			n.logger.Warn("not all is sealed with the new HMAC secret yet: the next start does the rest", "error", err)
		case err != nil:
			return err
		}
		if factors+channels > 0 {
			n.logger.Info("sealed with the new HMAC secret", "second_factors_of_accounts", factors, "alert_channels", channels)
		}
	}
	return engine.NoteSecret(ctx, n.store, secrets)
}
