package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func init() {
	children["full"] = fillUp
	children["create"] = createInSteps
}

// TestDiskFull runs in a child, as the limit on the length of files, which
// stands for the end of the disk, is one of the process.
func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), bolt.FileName)
	if err := childCommand(t, "full", path).Run(); err != nil {
		t.Fatal(err)
	}
	s := openPath(t, path)
	defer mustClose(t, s)
	n, err := s.CountBindings(t.Context())
	if err != nil || n == 0 {
		t.Fatalf("count %d, %v", n, err)
	}
	for i := range n {
		if _, err := s.Binding(t.Context(), storetest.Hash(i)); err != nil {
			t.Errorf("binding %d: %v", i, err)
		}
	}
}

// TestCreateOnFullDisk runs in a child for the same reason.
func TestCreateOnFullDisk(t *testing.T) {
	if err := childCommand(t, "create", filepath.Join(t.TempDir(), bolt.FileName)).Run(); err != nil {
		t.Fatal(err)
	}
}

// createInSteps is cut short at one point of the creation after the other, and
// each time goes on with what is there.
func createInSteps(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	for _, limit := range []int64{0, 100, page + 100, 2 * page, 4 * page} {
		lift, err := limitFiles(limit)
		if err != nil {
			return err
		}
		_, openErr := bolt.Open(path, bolt.Options{})
		if openErr == nil {
			return fmt.Errorf("created a store with space for %d bytes", limit)
		}
		if err := lift(); err != nil {
			return err
		}
	}
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	next := 0
	return errors.Join(bindNext(s, &next), s.Close())
}

// fillUp writes with limits that fail at different points of a commit.
func fillUp(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	next := 0
	for range 100 {
		if err := bindNext(s, &next); err != nil {
			return err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	limits := map[string]int64{
		"growing the file":        info.Size(),
		"the first page":          0,
		"pages behind the second": 2 * page,
		"a part of a page":        10*page + 100,
	}
	for name, limit := range limits {
		if err := writeBeyond(s, limit, &next); err != nil {
			return fmt.Errorf("limit at %s: %w", name, err)
		}
	}
	return s.Close()
}

// bindNext binds the next of the fixture keys, with a long note.
func bindNext(s *bolt.Store, next *int) error {
	b := storetest.Binding(*next)
	b.Note = string(make([]byte, store.MaxNoteBytes))
	_, created, err := s.Bind(context.Background(), b)
	if err == nil && !created {
		err = fmt.Errorf("key %d was there already", *next)
	}
	if err == nil {
		*next++
	}
	return err
}

// writeBeyond binds until the limit is reached, and again when it is gone.
func writeBeyond(s *bolt.Store, limit int64, next *int) error {
	lift, err := limitFiles(limit)
	if err != nil {
		return err
	}
	for err == nil {
		err = bindNext(s, next)
	}
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, syscall.EFBIG) && limit < page {
		return fmt.Errorf("bind on a full disk: got %w, want ErrUnavailable", err)
	}
	if err := s.Probe(context.Background()); limit < page && !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("probe of a full disk: got %w, want ErrUnavailable", err)
	}
	if err := readAll(s, *next); err != nil {
		return fmt.Errorf("with a full disk: %w", err)
	}
	if err := lift(); err != nil {
		return err
	}
	for range 50 {
		if err := bindNext(s, next); err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
	}
	return readAll(s, *next)
}

// limitFiles lets no file of this process grow beyond a length.
func limitFiles(length int64) (lift func() error, err error) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return nil, err
	}
	limited := before
	limited.Cur = uint64(length) // #nosec G115 -- not negative
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
		return nil, err
	}
	return func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before) }, nil
}

// readAll reads the first n fixture keys, of which the next must be unbound.
func readAll(s *bolt.Store, n int) error {
	for i := range n {
		if _, err := s.Binding(context.Background(), storetest.Hash(i)); err != nil {
			return fmt.Errorf("read of key %d of %d: %w", i, n, err)
		}
	}
	if _, err := s.Binding(context.Background(), storetest.Hash(n)); !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("the bind that failed left something: %w", err)
	}
	if got, err := s.CountBindings(context.Background()); err != nil || got != n {
		return fmt.Errorf("count %d, %w, want %d", got, err, n)
	}
	return nil
}
