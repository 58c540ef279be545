package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) store.Store { return openIn(tb, tb.TempDir()) })
}

func TestReopen(t *testing.T) {
	storetest.RunReopen(t, func(tb testing.TB, dir string) store.Store { return openIn(tb, dir) })
}

// What is logged first is told all the same.
func TestConformanceOfTheLog(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) store.Store { return openLogging(tb, tb.TempDir()) })
	storetest.RunReopen(t, func(tb testing.TB, dir string) store.Store { return openLogging(tb, dir) })
}

func openLogging(tb testing.TB, dir string) *bolt.Store {
	tb.Helper()
	s := openIn(tb, dir)
	s.LogAll()
	return s
}

// openIn opens the store of a directory. The caller closes it.
func openIn(tb testing.TB, dir string) *bolt.Store {
	tb.Helper()
	return openPath(tb, filepath.Join(dir, bolt.FileName))
}

func openPath(tb testing.TB, path string) *bolt.Store {
	tb.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// mustClose closes a store that has no reason to fail.
func mustClose(tb testing.TB, s *bolt.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}
