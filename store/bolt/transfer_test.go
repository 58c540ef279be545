package bolt

import (
	"path/filepath"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func TestTransfer(t *testing.T) {
	storetest.RunTransfer(t, func(tb testing.TB) store.Transfer {
		s, err := Open(filepath.Join(tb.TempDir(), FileName), Options{})
		if err != nil {
			tb.Fatal(err)
		}
		return s
	})
}
