package bolt

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// fileRows reads all bindings as the file has them.
func fileRows(t *testing.T, s *Store) (rows []store.BindingRow) {
	t.Helper()
	list, err := s.ListBindings(t.Context(), store.KeyHash{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		u, err := s.Usage(t.Context(), b.Hash)
		if err != nil {
			t.Fatal(err)
		}
		u.Days, u.Addresses = nil, nil
		rows = append(rows, store.BindingRow{Binding: b, Usage: u})
	}
	return rows
}

// checkFound compares what is found, in all orders, with the file.
func checkFound(t *testing.T, s *Store) {
	t.Helper()
	rows := fileRows(t, s)
	for _, sort := range store.BindingSorts {
		slices.SortFunc(rows, sort.Compare)
		var found []store.BindingRow
		q := store.BindingQuery{Sort: sort, Limit: 100}
		for more := true; more; {
			page, err := s.FindBindings(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if page.Total != len(rows) {
				t.Fatalf("total %d, want %d", page.Total, len(rows))
			}
			found = append(found, page.Rows...)
			q.After, more = page.Next, page.Next != ""
		}
		for i := range found {
			if !reflect.DeepEqual(found[i], rows[i]) {
				t.Fatalf("by %s, row %d:\n got %+v\nwant %+v", sort, i, found[i], rows[i])
			}
		}
	}
}

// churn makes random changes to a few hundred keys.
func churn(t *testing.T, s *Store, seed uint64, changes int) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	ctx := context.Background()
	at := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	for range changes {
		n := rnd.IntN(300)
		hash := storetest.Hash(n)
		b, err := s.Binding(ctx, hash)
		isBound := err == nil
		switch kind := rnd.IntN(7); {
		case !isBound && kind < 4:
			_, _, err = s.Bind(ctx, storetest.Binding(n))
		case !isBound:
			_, err = s.RestoreBinding(ctx, hash, at.Add(time.Duration(rnd.IntN(1_000))*time.Minute))
		case kind == 0:
			_, err = s.DeleteBinding(ctx, hash, b.Revision)
		case kind == 1:
			_, err = s.ArchiveBindings(ctx, []store.KeyHash{hash}, time.Time{}, at)
		case kind < 4:
			b.Label = strconv.Itoa(rnd.IntN(50))
			_, err = s.ReplaceBinding(ctx, b)
		default:
			touch := store.Touch{Hash: hash, LastUsed: at.Add(time.Duration(rnd.IntN(1_000)) * time.Minute), LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 1}
			err = s.AddUsage(ctx, store.UsageBatch{Touches: []store.Touch{touch}})
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
			t.Errorf("change: %v", err)
			return
		}
	}
}

// TestFoundIsWhatTheFileSays has many writers while catalogs are built, in small
// chunks, asked, dropped and built again; each page has to be of one moment.
func TestFoundIsWhatTheFileSays(t *testing.T) {
	s := openTest(t)
	s.live.chunk, s.live.limit = 7, 50
	const writers, changes = 6, 250
	var over atomic.Bool
	var finders, wg sync.WaitGroup
	for i := range 2 {
		finders.Go(func() {
			for n := i; !over.Load(); n++ {
				checkMoment(t, s, store.BindingSorts[n%len(store.BindingSorts)])
				if n%20 == 0 {
					s.live.forget() // as a failure of the medium does
				}
			}
		})
	}
	for w := range writers {
		wg.Go(func() { churn(t, s, uint64(w), changes) })
	}
	wg.Wait()
	over.Store(true)
	finders.Wait()
	checkFound(t, s)
	churn(t, s, 99, 100)
	checkFound(t, s)
}

// checkMoment looks at all bindings in one page.
func checkMoment(t *testing.T, s *Store, sort store.BindingSort) {
	page, err := s.FindBindings(context.Background(), store.BindingQuery{Sort: sort, Limit: store.MaxPage})
	if err != nil {
		t.Errorf("find: %v", err)
		return
	}
	if page.Total != len(page.Rows) || page.Next != "" || !slices.IsSortedFunc(page.Rows, sort.Compare) {
		t.Errorf("%d rows of %d by %s, next %q, or not in order", len(page.Rows), page.Total, sort, page.Next)
	}
}

func TestIdleCatalogIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(filepath.Join(t.TempDir(), FileName), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		hasCatalog := func() bool {
			s.live.turn <- struct{}{}
			defer func() { <-s.live.turn }()
			return s.live.catalog != nil && s.live.isRecording()
		}
		storetestBind(t, s, 0)
		checkFound(t, s)
		for range 5 { // each query puts it off
			time.Sleep(catalogIdle - time.Second)
			synctest.Wait()
			if !hasCatalog() {
				t.Fatal("dropped though it was asked")
			}
			checkFound(t, s)
		}
		time.Sleep(catalogIdle + time.Second)
		synctest.Wait()
		if hasCatalog() {
			t.Error("kept though nobody asks")
		}
		storetestBind(t, s, 1)
		checkFound(t, s)
		if !hasCatalog() {
			t.Error("not built again")
		}
	})
}

func storetestBind(t *testing.T, s *Store, n int) {
	t.Helper()
	if _, created, err := s.Bind(t.Context(), storetest.Binding(n)); err != nil || !created {
		t.Fatalf("bind: created %v, %v", created, err)
	}
}

// TestChangesDoNotPileUp makes many changes and asks nothing.
func TestChangesDoNotPileUp(t *testing.T) {
	s := openTest(t)
	s.live.limit = 20
	checkFound(t, s)
	for n := range 100 {
		storetestBind(t, s, n)
	}
	for { // until what was begun is done
		s.live.mu.Lock()
		waiting, catchingUp := s.live.waiting, s.live.catchingUp
		s.live.mu.Unlock()
		if !catchingUp && waiting >= s.live.limit {
			t.Fatalf("%d changes wait", waiting)
		}
		if !catchingUp {
			break
		}
		runtime.Gosched()
	}
	checkFound(t, s)
}

func TestNothingIsNotedWithoutACatalog(t *testing.T) {
	s := openTest(t)
	storetestBind(t, s, 1)
	if s.live.isRecording() || s.live.pending != nil {
		t.Error("changes are noted though nobody has asked")
	}
}

func TestCatalogAfterAFailureOfTheMedium(t *testing.T) {
	s := openTest(t)
	storetestBind(t, s, 1)
	checkFound(t, s)
	if err := s.file.os.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Bind(t.Context(), storetest.Binding(2)); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	checkFound(t, s)
	storetestBind(t, s, 2)
	checkFound(t, s)
}

// TestQueryThatGivesUp leaves while the catalog is being built: the next one gets
// it.
func TestQueryThatGivesUp(t *testing.T) {
	s := openTest(t)
	storetestBind(t, s, 1)
	release := holdCommitter(t, s) // a build begins with the committer
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() {
		_, err := s.FindBindings(ctx, store.BindingQuery{})
		answer <- err
	}()
	queued(s, 1)
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	release()
	checkFound(t, s)
}

func TestDamagedBindingIsNamed(t *testing.T) {
	s := openTest(t)
	storetestBind(t, s, 1)
	hash := storetest.Hash(2)
	if err := s.write(t.Context(), func(w *writeTx) error { return w.put(bucketBindings, hash[:], []byte("no binding")) }); err != nil {
		t.Fatal(err)
	}
	_, err := s.FindBindings(t.Context(), store.BindingQuery{})
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v, want ErrUnavailable and ErrDamaged", err)
	}
}
