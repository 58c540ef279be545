package memory_test

import (
	"errors"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(testing.TB) store.Store { return memory.New() })
}

func TestFail(t *testing.T) {
	s := memory.New()
	cause := errors.New("disk on fire")
	s.Fail(cause)
	if err := s.Probe(t.Context()); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, cause) {
		t.Errorf("probe of a failing store: got %v, want ErrUnavailable and the cause", err)
	}
	s.Fail(nil)
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("probe after the failure: %v", err)
	}
}

func TestCopy(t *testing.T) {
	storetest.RunCopy(t, func(testing.TB) storetest.CopyStore { return memory.New() })
}

func TestDelivery(t *testing.T) {
	storetest.RunDelivery(t, func(testing.TB) storetest.DeliveryStore { return memory.New() })
}
