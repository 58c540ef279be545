package bolt_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// TestWhoWaitsGetsTheFileOfThatName has another wait for the lock while the file is
// replaced: it must not get the old one, which has lost its name.
func TestWhoWaitsGetsTheFileOfThatName(t *testing.T) {
	path := filepath.Join(t.TempDir(), bolt.FileName)
	s := openPath(t, path)
	opened := make(chan *bolt.Store)
	go func() {
		other, err := bolt.Open(path, bolt.Options{Timeout: time.Minute})
		if err != nil {
			t.Errorf("open: %v", err)
		}
		opened <- other
	}()
	for openDescriptors(t, path) < 2 {
		runtime.Gosched()
	}
	if _, _, err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Bind(t.Context(), storetest.Binding(1)); err != nil {
		t.Fatal(err)
	}
	// The old file is gone once the other one has let go of it.
	for openDescriptors(t, path+" (deleted)") > 0 {
		select {
		case <-opened:
			t.Fatal("opened while it was locked")
		default:
			runtime.Gosched()
		}
	}
	mustClose(t, s)
	other := <-opened
	if other == nil {
		t.FailNow()
	}
	defer mustClose(t, other)
	if _, err := other.Binding(t.Context(), storetest.Hash(1)); err != nil {
		t.Errorf("what was bound after the compaction: %v", err)
	}
}

// openDescriptors counts the descriptors of this process for a path.
func openDescriptors(t *testing.T, path string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(name, path) && len(name) == len(path) {
			n++
		}
	}
	return n
}
