package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/seal"
)

func sealer(t *testing.T, key byte, use string) *seal.Sealer {
	t.Helper()
	s, err := seal.New(bytes.Repeat([]byte{key}, seal.KeyBytes), use)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSecretsOpenOnlyAsTheyWereSealed(t *testing.T) {
	secret, owner := []byte("secret for tests only"), []byte("alice")
	sealed := sealer(t, 1, "use").Seal(secret, owner)
	if bytes.Contains(sealed, secret) || bytes.Equal(sealed, sealer(t, 1, "use").Seal(secret, owner)) {
		t.Error("the secret is in clear, or sealed to the same bytes twice")
	}
	if got, err := sealer(t, 1, "use").Open(sealed, owner); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("got %q, %v", got, err)
	}
	damaged := bytes.Clone(sealed)
	damaged[len(damaged)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another key":   func() ([]byte, error) { return sealer(t, 2, "use").Open(sealed, owner) },
		"another use":   func() ([]byte, error) { return sealer(t, 1, "other").Open(sealed, owner) },
		"another owner": func() ([]byte, error) { return sealer(t, 1, "use").Open(sealed, []byte("bob")) },
		"damaged":       func() ([]byte, error) { return sealer(t, 1, "use").Open(damaged, owner) },
		"empty":         func() ([]byte, error) { return sealer(t, 1, "use").Open(nil, owner) },
	} {
		if got, err := open(); !errors.Is(err, seal.ErrSealed) || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestKeysOfAnotherLengthAreRefused(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := seal.New(make([]byte, n), "use"); err == nil {
			t.Errorf("took a key of %d bytes", n)
		}
	}
}
