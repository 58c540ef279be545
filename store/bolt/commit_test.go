package bolt

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func openTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), FileName), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// holdCommitter keeps the committer busy until release is called.
func holdCommitter(t *testing.T, s *Store) (release func()) {
	t.Helper()
	held, done, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		err := s.write(context.Background(), func(*writeTx) error {
			close(held)
			<-done
			return nil
		})
		if err != nil {
			t.Errorf("held commit: %v", err)
		}
	}()
	<-held
	return func() {
		close(done)
		<-over
	}
}

// queued waits until n requests are in the queue.
func queued(s *Store, n int) {
	for s.queue.Len() < n {
		runtime.Gosched()
	}
}

func TestContextEndsTheWait(t *testing.T) {
	s := openTest(t)
	release := holdCommitter(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() {
		_, _, err := s.Bind(ctx, storetest.Binding(1))
		answer <- err
	}()
	queued(s, 1)
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	release()
	if err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Binding(t.Context(), storetest.Hash(1)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a request whose caller had left was applied: %v", err)
	}
}

// TestOneCommitForAll queues many requests behind a slow one, some of which
// have to be refused.
func TestOneCommitForAll(t *testing.T) {
	s := openTest(t)
	b, _, err := s.Bind(t.Context(), storetest.Binding(0))
	if err != nil {
		t.Fatal(err)
	}
	before := s.durable.Load()
	release := holdCommitter(t, s)
	var wg sync.WaitGroup
	const each = 20
	for i := range each {
		wg.Go(func() {
			if _, created, err := s.Bind(context.Background(), storetest.Binding(1+i)); err != nil || !created {
				t.Errorf("bind: created %v, %v", created, err)
			}
		})
		wg.Go(func() {
			stale := b
			stale.Revision += 100
			if _, err := s.ReplaceBinding(context.Background(), stale); !errors.Is(err, store.ErrConflict) {
				t.Errorf("replace: got %v, want ErrConflict", err)
			}
		})
		wg.Go(func() {
			if _, err := s.DeleteBinding(context.Background(), storetest.Hash(1_000), 1); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("delete: got %v, want ErrNotFound", err)
			}
		})
	}
	queued(s, 3*each)
	release()
	wg.Wait()
	if got := s.durable.Load() - before; got != 1 {
		t.Errorf("%d commits, want 1", got)
	}
}

func TestRefusalCostsNoCommit(t *testing.T) {
	s := openTest(t)
	if _, _, err := s.Bind(t.Context(), storetest.Binding(0)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, created, err := s.Bind(t.Context(), storetest.Binding(0)); err != nil || created {
		t.Fatalf("created %v, %v", created, err)
	}
	if err := s.DeleteSetting(t.Context(), "unknown"); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(s.path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file was written, or %v", err)
	}
}

// TestReadersWaitForTheSync pretends that a commit is visible and not yet on
// disk.
func TestReadersWaitForTheSync(t *testing.T) {
	s := openTest(t)
	b, _, err := s.Bind(t.Context(), storetest.Binding(1))
	if err != nil {
		t.Fatal(err)
	}
	id := s.durable.Load()
	over := make(chan struct{})
	s.durable.Store(id - 1)
	s.syncing.Store(&over)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if wait, err := s.viewOnce(nil); wait == nil {
		t.Fatalf("a reader does not wait: %v", err)
	}
	if _, err := s.Binding(ctx, b.Hash); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	read := make(chan error)
	go func() {
		_, err := s.Binding(context.Background(), b.Hash)
		read <- err
	}()
	select {
	case err := <-read:
		t.Fatalf("read before the sync: %v", err)
	default:
	}
	s.durable.Store(id)
	s.syncing.Store(nil)
	close(over)
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// TestMediumFailureIsSurvived takes the file away under bbolt, by its
// descriptor: the write fails, and the next one finds the file opened again.
func TestMediumFailureIsSurvived(t *testing.T) {
	s := openTest(t)
	b, _, err := s.Bind(t.Context(), storetest.Binding(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.file.os.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Binding(t.Context(), b.Hash); err != nil {
		t.Errorf("read of a file that cannot be written: %v", err)
	}
	if _, _, err := s.Bind(t.Context(), storetest.Binding(2)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if _, err := s.Binding(t.Context(), storetest.Hash(2)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the failed bind left something: %v", err)
	}
	if _, created, err := s.Bind(t.Context(), storetest.Binding(2)); err != nil || !created {
		t.Errorf("bind after the failure: created %v, %v", created, err)
	}
	if n, err := s.CountBindings(t.Context()); err != nil || n != 2 {
		t.Errorf("count %d, %v", n, err)
	}
}

// TestPanicInACommitIsSurvived stands for a damaged page.
func TestPanicInACommitIsSurvived(t *testing.T) {
	s := openTest(t)
	err := s.write(t.Context(), func(w *writeTx) error {
		if err := w.put(bucketSettings, []byte("half"), []byte("done")); err != nil {
			return err
		}
		panic("page 7 already freed")
	})
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v, want ErrUnavailable and ErrDamaged", err)
	}
	if _, err := s.Setting(t.Context(), "half"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("half a commit is left: %v", err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStuckTransaction closes a file of which bbolt has not let go.
func TestStuckTransaction(t *testing.T) {
	s := openTest(t)
	path := s.path
	if err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	tx, err := s.file.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	s.file.stuck = true
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, Options{})
	if err != nil {
		t.Fatalf("open after a stuck transaction: %v", err)
	}
	if err := errors.Join(again.Probe(t.Context()), again.Close(), tx.Rollback()); err != nil {
		t.Error(err)
	}
}

func TestProbeNoticesAReplacedFile(t *testing.T) {
	s := openTest(t)
	if err := os.Rename(s.path, s.path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := s.Probe(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("file gone: got %v, want ErrUnavailable", err)
	}
	if err := os.WriteFile(s.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Probe(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("file replaced: got %v, want ErrUnavailable", err)
	}
}

// TestDownUntilTheFileIsBack loses the file altogether, for a while.
func TestDownUntilTheFileIsBack(t *testing.T) {
	s := openTest(t)
	b, _, err := s.Bind(t.Context(), storetest.Binding(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(s.path, s.path+".away"), s.file.os.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := s.Bind(t.Context(), storetest.Binding(2)); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("bind: got %v, want ErrUnavailable", err)
		}
		if _, err := s.Binding(t.Context(), b.Hash); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("read: got %v, want ErrUnavailable", err)
		}
	}
	if _, err := os.Stat(s.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new file was made in place of the lost one: %v", err)
	}
	if err := os.Rename(s.path+".away", s.path); err != nil {
		t.Fatal(err)
	}
	if _, created, err := s.Bind(t.Context(), storetest.Binding(2)); err != nil || !created {
		t.Errorf("bind with the file back: created %v, %v", created, err)
	}
	if _, err := s.Binding(t.Context(), b.Hash); err != nil {
		t.Errorf("read with the file back: %v", err)
	}
}

// TestUnfinishedUsage fails a large batch at its second chunk.
func TestUnfinishedUsage(t *testing.T) {
	s := openTest(t)
	if _, _, err := s.Bind(t.Context(), storetest.Binding(1)); err != nil {
		t.Fatal(err)
	}
	batch := store.UsageBatch{Counters: []store.Counter{{Name: "requests", N: 1}}}
	for range 2*store.UsageChunk + 10 {
		batch.Touches = append(batch.Touches, store.Touch{Hash: storetest.Hash(1), Hits: 1})
	}
	ctx := &countdown{Context: t.Context(), left: 3} // checked by write, by the committer, and by the next write
	err := s.AddUsage(ctx, batch)
	unfinished := (*store.UnfinishedError)(nil)
	if !errors.As(err, &unfinished) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want an UnfinishedError of a done context", err)
	}
	stored, err := s.Usage(t.Context(), storetest.Hash(1))
	if err != nil {
		t.Fatal(err)
	}
	if stored.Hits == 0 || int(stored.Hits)+len(unfinished.Rest.Touches) != len(batch.Touches) || len(unfinished.Rest.Counters) != 0 {
		t.Errorf("%d hits stored, %d touches and %d counters left", stored.Hits, len(unfinished.Rest.Touches), len(unfinished.Rest.Counters))
	}
	if err := s.AddUsage(t.Context(), unfinished.Rest); err != nil {
		t.Fatal(err)
	}
	if u, err := s.Usage(t.Context(), storetest.Hash(1)); err != nil || int(u.Hits) != len(batch.Touches) {
		t.Errorf("%d hits, %v, want %d", u.Hits, err, len(batch.Touches))
	}
}

// countdown is a context whose Err is nil so many times.
type countdown struct {
	context.Context
	mu   sync.Mutex
	left int
}

func (c *countdown) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}
