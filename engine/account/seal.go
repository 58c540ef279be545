package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/key-ip-sentinel/sentinel/engine/seal"
	"github.com/key-ip-sentinel/sentinel/store"
)

const sealUse = "sentinel account second factor v1"

// sealer encrypts the secrets of second factors, which are needed in clear.
type sealer struct{ *seal.Sealer }

// seal encrypts the secret of an account, for no other account.
func (s *sealer) seal(name, secret string) []byte { return s.Seal([]byte(secret), []byte(name)) }

// open returns the secret of an account. Returns ErrSealed.
func (s *sealer) open(name string, sealed []byte) (string, error) {
	secret, err := s.Open(sealed, []byte(name))
	if err != nil {
		return "", ErrSealed
	}
	return string(secret), nil
}

func newSealer(key []byte, older [][]byte) (*sealer, error) {
	s, err := seal.New(key, sealUse, older...)
	return &sealer{s}, err
}

// Reseal seals the second factors anew that Options.OldKeys have sealed, and returns of
// how many accounts. Those that no key opens stay as they are.
func (a *Accounts) Reseal(ctx context.Context) (n int, err error) {
	all, err := a.accounts.read(ctx)
	if err != nil {
		return 0, err
	}
	for name := range all.byID {
		_, err := a.accounts.change(ctx, name, func(_ *shelved[accountRecord], rec *accountRecord) error {
			isChanged := false
			for _, factor := range []*totpRecord{rec.TOTP, rec.Pending} {
				if factor == nil {
					continue
				}
				if sealed, _ := a.sealer.Reseal(factor.Secret, []byte(name)); sealed != nil {
					factor.Secret, isChanged = sealed, true
				}
			}
			if !isChanged {
				return errUnchanged
			}
			n++
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return n, fmt.Errorf("seal second factor of %q anew: %w", name, err)
		}
	}
	return n, nil
}
