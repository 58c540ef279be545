package postgres_test

import (
	"testing"

	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func TestDelivery(t *testing.T) {
	storetest.RunDelivery(t, func(tb testing.TB) storetest.DeliveryStore {
		return open(tb, postgres.Options{DSN: server.DSN(emptyDatabase(tb))})
	})
}
