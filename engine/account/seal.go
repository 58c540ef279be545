package account

import "github.com/key-ip-sentinel/sentinel/engine/seal"

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

func newSealer(key []byte) (*sealer, error) {
	s, err := seal.New(key, sealUse)
	return &sealer{s}, err
}
