package store_test

import (
	"runtime"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

// TestGiveWayLetsOthersRun has one processor, which a loop keeps busy.
func TestGiveWayLetsOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	request := make(chan struct{})
	go close(request)
	for row := range 100 {
		store.GiveWay(row)
		select {
		case <-request:
			return
		default:
		}
	}
	t.Error("a request waited for the whole loop")
}
