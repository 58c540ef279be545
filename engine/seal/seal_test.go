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

func TestReseal(t *testing.T) {
	key := func(fill byte) []byte { return bytes.Repeat([]byte{fill}, seal.KeyBytes) }
	secret, owner := []byte("secret for tests only"), []byte("alice")
	old := sealer(t, 1, "use").Seal(secret, owner)
	s, err := seal.New(key(2), "use", key(3), key(1))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Open(old, owner); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("got %q, %v", got, err)
	}
	anew, err := s.Reseal(old, owner)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sealer(t, 2, "use").Open(anew, owner); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("sealed anew: got %q, %v", got, err)
	}
	if again, err := s.Reseal(anew, owner); again != nil || err != nil {
		t.Errorf("once more: got %q, %v", again, err)
	}
	if _, err := s.Reseal(old, []byte("bob")); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("of another owner: %v", err)
	}
	if _, err := seal.New(key(2), "use", make([]byte, 31)); err == nil {
		t.Error("took an old key of 31 bytes")
	}
}

func TestKeysOfAnotherLengthAreRefused(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := seal.New(make([]byte, n), "use"); err == nil {
			t.Errorf("took a key of %d bytes", n)
		}
	}
}
