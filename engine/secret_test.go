package engine_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

var other = []byte("another secret, as long as it takes")

// noted checks secrets and notes them, as a start does.
func noted(t *testing.T, s store.Store, secrets engine.Secrets) (isNew bool, err error) {
	t.Helper()
	if isNew, err = engine.CheckSecret(t.Context(), s, secrets); err == nil {
		must(t, engine.NoteSecret(t.Context(), s, secrets))
	}
	return isNew, err
}

func TestSecretOfAnEmptyStore(t *testing.T) {
	s := newRig(t).store
	if has, err := engine.HasSecret(t.Context(), s); has || err != nil {
		t.Errorf("got %v, %v", has, err)
	}
	var news []bool
	for _, given := range [][]byte{secret, secret, other, other} {
		isNew, err := noted(t, s, engine.Secrets{Current: given})
		must(t, err)
		news = append(news, isNew)
	}
	if !slices.Equal(news, []bool{true, false, true, false}) {
		t.Errorf("new: got %v", news)
	}
	if has, err := engine.HasSecret(t.Context(), s); !has || err != nil {
		t.Errorf("got %v, %v", has, err)
	}
}

func TestAnotherSecretIsRefused(t *testing.T) {
	r := newRig(t)
	_, err := noted(t, r.store, engine.Secrets{Current: secret})
	must(t, err)
	_ = r.bound(keyA)
	_, err = noted(t, r.store, engine.Secrets{Current: other})
	refused := (*engine.OtherSecretError)(nil)
	if !errors.As(err, &refused) || !errors.Is(err, engine.ErrOtherSecret) || refused.Bindings != 1 || len(refused.Mark) != 8 {
		t.Fatalf("got %v", err)
	}
	for _, wrong := range []engine.Secrets{
		{Current: other, Previous: [][]byte{[]byte("a third one, which nobody has had")}},
		{Current: other, Abandon: "00000000"}, {Current: other, Abandon: refused.Mark[:7]}, {Current: other, Abandon: "none"},
	} {
		if _, err := engine.CheckSecret(t.Context(), r.store, wrong); !errors.Is(err, engine.ErrOtherSecret) {
			t.Errorf("%q, abandoning %q: got %v", wrong.Previous, wrong.Abandon, err)
		}
	}
	if isNew, err := noted(t, r.store, engine.Secrets{Current: secret}); isNew || err != nil {
		t.Errorf("after another one: %v, %v", isNew, err)
	}
	if isNew, err := noted(t, r.store, engine.Secrets{Current: other, Abandon: refused.Mark}); !isNew || err != nil {
		t.Errorf("abandoned: %v, %v", isNew, err)
	}
	if _, err := noted(t, r.store, engine.Secrets{Current: secret, Abandon: refused.Mark}); !errors.Is(err, engine.ErrOtherSecret) {
		t.Errorf("abandoned once, and what is left in the settings holds for another secret: %v", err)
	}
}

func TestThePreviousSecretIsGivenUp(t *testing.T) {
	r := newRig(t)
	_, err := noted(t, r.store, engine.Secrets{Current: secret})
	must(t, err)
	_ = r.bound(keyA)
	if isNew, err := noted(t, r.store, engine.Secrets{Current: other, Previous: [][]byte{secret}}); !isNew || err != nil {
		t.Errorf("got %v, %v", isNew, err)
	}
	if isNew, err := noted(t, r.store, engine.Secrets{Current: other}); isNew || err != nil {
		t.Errorf("then the new one alone: %v, %v", isNew, err)
	}
	if _, err := noted(t, r.store, engine.Secrets{Current: secret}); !errors.Is(err, engine.ErrOtherSecret) {
		t.Errorf("and the old one alone: %v", err)
	}
}

func TestSecretOfABrokenStore(t *testing.T) {
	s := newRig(t).store
	s.Fail(errBroken)
	defer s.Fail(nil)
	if _, err := engine.CheckSecret(t.Context(), s, engine.Secrets{Current: secret}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if err := engine.NoteSecret(t.Context(), s, engine.Secrets{Current: secret}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := engine.HasSecret(t.Context(), s); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestSecretOfACluster: there, another secret is refused also while there is no binding.
func TestSecretOfACluster(t *testing.T) {
	s := newRig(t).store
	claim := func(secrets engine.Secrets) (bool, error) { return engine.ClaimSecret(t.Context(), s, secrets) }
	if isNew, err := claim(engine.Secrets{Current: secret}); !isNew || err != nil {
		t.Fatalf("the first one: %v, %v", isNew, err)
	}
	_, err := claim(engine.Secrets{Current: other})
	refused := (*engine.OtherSecretError)(nil)
	if !errors.As(err, &refused) || len(refused.Mark) != 8 {
		t.Fatalf("another one: %v", err)
	}
	both := engine.Secrets{Current: other, Previous: [][]byte{secret}}
	for _, secrets := range []engine.Secrets{both, {Current: other, Abandon: refused.Mark}} {
		if isNew, err := claim(secrets); !isNew || err != nil {
			t.Errorf("with the one before, or given up: %v, %v", isNew, err)
		}
	}
	must(t, engine.NoteSecret(t.Context(), s, both))
	if isNew, err := claim(engine.Secrets{Current: other}); isNew || err != nil {
		t.Errorf("then: %v, %v", isNew, err)
	}
	s.Fail(errBroken) // as if the authority was away
	defer s.Fail(nil)
	if _, err := claim(both); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
