package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// bindRange binds the fixture keys of a range.
func bindRange(t testing.TB, s *bolt.Store, from, to int) {
	t.Helper()
	n, err := s.ImportBindings(context.Background(), func(yield func(store.Binding) bool) {
		for i := from; i < to && yield(storetest.Binding(i)); i++ {
		}
	})
	if err != nil || n != to-from {
		t.Fatalf("import: %d, %v", n, err)
	}
}

// onlyFile makes sure that nothing is left beside the file.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("beside the file: %v, %v", entries, err)
	}
}

func listAll(t *testing.T, s *bolt.Store) []store.Binding {
	t.Helper()
	list, err := s.ListBindings(t.Context(), store.KeyHash{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestSnapshotAmongChanges takes snapshots while others write: each opens, and has
// what was acknowledged before it.
func TestSnapshotAmongChanges(t *testing.T) {
	s := openIn(t, t.TempDir())
	defer mustClose(t, s)
	bindRange(t, s, 0, 2_000)
	var next atomic.Int64
	next.Store(2_000)
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !over.Load() {
			if _, _, err := s.Bind(context.Background(), storetest.Binding(int(next.Load()))); err != nil {
				t.Errorf("bind: %v", err)
				return
			}
			next.Add(1)
		}
	})
	for range 5 {
		acknowledged := int(next.Load())
		var copied bytes.Buffer
		size, err := s.Snapshot(t.Context(), &copied)
		if err != nil || size != int64(copied.Len()) {
			t.Fatalf("size %d of %d, %v", size, copied.Len(), err)
		}
		checkSnapshot(t, copied.Bytes(), acknowledged)
	}
	over.Store(true)
	wg.Wait()
}

// checkSnapshot opens a copy, and looks for the keys that it has to have.
func checkSnapshot(t *testing.T, content []byte, bindings int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), bolt.FileName)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openPath(t, path)
	defer mustClose(t, s)
	for n := range bindings {
		if _, err := s.Binding(t.Context(), storetest.Hash(n)); err != nil {
			t.Fatalf("binding %d of %d: %v", n, bindings, err)
		}
	}
	if n, err := s.CountBindings(t.Context()); err != nil || n != len(listAll(t, s)) {
		t.Errorf("count %d, %v, of %d bindings", n, err, len(listAll(t, s)))
	}
	storeWorks(t, s)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestSnapshotThatFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), bolt.FileName)
	s := openPath(t, path)
	defer mustClose(t, s)
	cause := errors.New("pipe is closed")
	if _, err := s.Snapshot(t.Context(), failingWriter{cause}); !errors.Is(err, cause) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want the cause, which is none of the store", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Snapshot(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	onlyFile(t, path)
	storeWorks(t, s)
}

func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), bolt.FileName)
	s := openPath(t, path)
	defer func() { mustClose(t, s) }()
	bindRange(t, s, 0, 30_000)
	if err := s.AddUsage(t.Context(), touches(0, 30_000)); err != nil {
		t.Fatal(err)
	}
	for n := range 29_000 {
		b, err := s.Binding(t.Context(), storetest.Hash(n))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = s.DeleteBinding(context.Background(), b.Hash, b.Revision) }() // counted below
	}
	for n := 30_000; n != 1_000; {
		var err error
		if n, err = s.CountBindings(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutIntercepts(t.Context(), []store.Intercept{storetest.Intercept(1)}); err != nil {
		t.Fatal(err)
	}
	list := listAll(t, s)
	page, err := s.FindBindings(t.Context(), store.BindingQuery{})
	if err != nil {
		t.Fatal(err)
	}
	size, err := s.Size(t.Context())
	if err != nil || size.Free < size.Total/2 {
		t.Errorf("%d bytes of %d free, %v", size.Free, size.Total, err)
	}
	before, after, err := s.Compact(t.Context())
	if err != nil || before != size.Total || after > before/4 {
		t.Errorf("from %d to %d bytes, %v", before, after, err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != after {
		t.Errorf("the file has another size than %d: %v", after, err)
	}
	onlyFile(t, path)
	checkCompacted(t, s, path, list, page)
	mustClose(t, s)
	s = openPath(t, path)
	if len(listAll(t, s)) != len(list)+1 {
		t.Errorf("%d bindings after it was opened again, want %d", len(listAll(t, s)), len(list)+1)
	}
}

// checkCompacted makes sure that all is as it was, and goes on as it would have.
func checkCompacted(t *testing.T, s *bolt.Store, path string, list []store.Binding, page store.BindingPage) {
	t.Helper()
	if got := listAll(t, s); !reflect.DeepEqual(got, list) {
		t.Errorf("%d bindings, want %d, or others", len(got), len(list))
	}
	if got, err := s.FindBindings(t.Context(), store.BindingQuery{}); err != nil || !reflect.DeepEqual(got, page) {
		t.Errorf("another page is found: %v", err)
	}
	last := uint64(0)
	for _, b := range list {
		last = max(last, b.Revision)
	}
	b, _, err := s.Bind(t.Context(), storetest.Binding(1_000_000))
	if err != nil || b.Revision <= last {
		t.Errorf("revision %d after %d, %v", b.Revision, last, err)
	}
	recs := []store.Intercept{storetest.Intercept(1)}
	if err := s.PutIntercepts(t.Context(), recs); err != nil || recs[0].ID != 2 {
		t.Errorf("ID %d, %v, want 2", recs[0].ID, err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("probe: %v", err)
	}
	if _, err := bolt.Open(path, bolt.Options{Timeout: time.Millisecond}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("open by another: got %v, want ErrLocked", err)
	}
}

// TestCompactAmongCalls compacts again and again while others read and write.
func TestCompactAmongCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), bolt.FileName)
	s := openPath(t, path)
	bindRange(t, s, 0, 1_000)
	const writers, rounds = 4, 12
	var over atomic.Bool
	var wg sync.WaitGroup
	bound := make([]int, writers)
	for w := range writers {
		wg.Go(func() {
			for ; !over.Load(); bound[w]++ {
				b, _, err := s.Bind(context.Background(), storetest.Binding(1_000+w+writers*bound[w]))
				if err != nil {
					t.Errorf("bind: %v", err)
					return
				}
				if got, err := s.Binding(context.Background(), b.Hash); err != nil || got.Revision != b.Revision {
					t.Errorf("what was bound is not there: revision %d, %v", got.Revision, err)
					return
				}
				if err := s.Probe(context.Background()); err != nil {
					t.Errorf("probe: %v", err)
					return
				}
			}
		})
		wg.Go(func() {
			for !over.Load() {
				if page, err := s.FindBindings(context.Background(), store.BindingQuery{Limit: store.MaxPage}); err != nil || page.Total < 1_000 {
					t.Errorf("find: %d, %v", page.Total, err)
					return
				}
			}
		})
	}
	for range rounds {
		if _, _, err := s.Compact(t.Context()); err != nil {
			t.Errorf("compact: %v", err)
		}
	}
	over.Store(true)
	wg.Wait()
	mustClose(t, s)
	onlyFile(t, path)
	s = openPath(t, path)
	defer mustClose(t, s)
	total := 1_000
	for w, n := range bound {
		total += n
		for i := range n {
			if _, err := s.Binding(t.Context(), storetest.Hash(1_000+w+writers*i)); err != nil {
				t.Errorf("binding %d of writer %d: %v", i, w, err)
			}
		}
	}
	if n, err := s.CountBindings(t.Context()); err != nil || n != total {
		t.Errorf("count %d, %v, want %d", n, err, total)
	}
}

// stopAfter is a context that is done once it was asked so many times.
type stopAfter struct {
	context.Context
	left atomic.Int64
}

func (c *stopAfter) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func TestCompactThatIsGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), bolt.FileName)
	s := openPath(t, path)
	defer mustClose(t, s)
	bindRange(t, s, 0, 1_000)
	list := listAll(t, s)
	for left := range int64(12) {
		ctx := &stopAfter{Context: t.Context()}
		ctx.left.Store(left)
		if _, _, err := s.Compact(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled or none", err)
		}
		onlyFile(t, path)
		if got := listAll(t, s); !reflect.DeepEqual(got, list) {
			t.Fatalf("%d bindings, want %d", len(got), len(list))
		}
	}
	storeWorks(t, s)
}

func TestMaintainClosedStore(t *testing.T) {
	s := openIn(t, t.TempDir())
	mustClose(t, s)
	_, snapshotErr := s.Snapshot(t.Context(), &bytes.Buffer{})
	_, _, compactErr := s.Compact(t.Context())
	_, sizeErr := s.Size(t.Context())
	for _, err := range []error{snapshotErr, compactErr, sizeErr} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	dir := t.TempDir()
	mustClose(t, openIn(t, dir))
	for _, name := range []string{".compact-123", ".snapshot-123", ".v1.bak", ".compacted"} {
		if err := os.WriteFile(filepath.Join(dir, bolt.FileName+name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, openIn(t, dir))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimPrefix(e.Name(), bolt.FileName))
	}
	if want := []string{"", ".compacted", ".v1.bak"}; !reflect.DeepEqual(names, want) {
		t.Errorf("left are %q, want %q", names, want)
	}
}

// compactForever binds keys and compacts, both at once, and prints the hash of
// each key that was acknowledged, until it is killed.
func compactForever(path string) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	first, err := s.CountBindings(context.Background())
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := first; ; n++ {
			if err := bindAndPrint(s, n); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
		}
	})
	wg.Go(func() {
		for {
			if _, _, err := s.Compact(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
		}
	})
	wg.Wait()
	return nil
}

// TestKillWhileCompacting is TestKill with a file that is replaced all the time.
func TestKillWhileCompacting(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4)) // #nosec G404 -- repeatable on purpose
	path := filepath.Join(t.TempDir(), bolt.FileName)
	acknowledged := map[string]bool{}
	for range *killRounds {
		killWhileBinding(t, "compact", path, 1+rnd.IntN(60), acknowledged)
		s := openPath(t, path)
		checkAcknowledged(t, s, acknowledged)
		mustClose(t, s)
		onlyFile(t, path)
	}
	if len(acknowledged) < *killRounds {
		t.Errorf("only %d keys were bound", len(acknowledged))
	}
}
