package postgres_test

import (
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func TestTransfer(t *testing.T) {
	storetest.RunTransfer(t, func(tb testing.TB) store.Transfer { return openEmpty(tb) })
}
