package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

var logStart = time.Date(2026, 3, 4, 23, 59, 0, 0, time.UTC)

// openBound returns a store with some bindings, which logs all usage.
func openBound(t *testing.T, path string, bindings int) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.LogAll()
	for n := range bindings {
		if _, _, err := s.Bind(t.Context(), storetest.Binding(n)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func randomTouch(r *rand.Rand, keys int) store.Touch {
	t := store.Touch{
		Hash: storetest.Hash(r.IntN(keys)), LastUsed: logStart.Add(time.Duration(r.IntN(180_000)) * time.Millisecond),
		LastIP: netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(4))}), Hits: uint64(r.IntN(3)), Refused: uint64(r.IntN(2)),
	}
	if t.Hits > 1 && r.IntN(2) == 0 {
		t.Addresses = []store.AddressHits{{IP: netip.MustParseAddr("2001:db8::1"), Hits: 1}}
		t.Elsewhere = t.Hits - 2
	}
	return t
}

func addAll(t *testing.T, s *Store, touches []store.Touch) {
	t.Helper()
	if err := s.AddUsage(t.Context(), store.UsageBatch{Touches: touches}); err != nil {
		t.Fatal(err)
	}
}

// snapshot opens what a kill would leave at this moment.
func snapshot(t *testing.T, s *Store) *Store {
	t.Helper()
	var copied bytes.Buffer
	if _, err := s.Snapshot(t.Context(), &copied); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	left, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = left.Close() })
	return left
}

// All that was acknowledged is there after a kill, whatever had been settled by then, and
// each touch counts once.
func TestLogSurvivesAKill(t *testing.T) {
	const keys = 40
	r := rand.New(rand.NewPCG(1, 2))
	s := openBound(t, filepath.Join(t.TempDir(), FileName), keys)
	want := map[store.KeyHash]store.Usage{}
	check := func(name string, s *Store) {
		t.Helper()
		for n := range keys {
			u, err := s.Usage(t.Context(), storetest.Hash(n))
			if err != nil {
				t.Fatal(err)
			}
			if w := want[storetest.Hash(n)]; !reflect.DeepEqual(u, w) {
				t.Fatalf("%s: usage of key %d\n got %+v\nwant %+v", name, n, u, w)
			}
		}
	}
	for round := range 20 {
		touches := make([]store.Touch, 1+r.IntN(60))
		for i := range touches {
			touches[i] = randomTouch(r, keys)
		}
		addAll(t, s, touches)
		for _, touch := range touches {
			want[touch.Hash] = want[touch.Hash].Add(touch)
		}
		if s.log.total.Load() == 0 {
			t.Fatal("nothing is logged")
		}
		switch left := snapshot(t, s); {
		case left.log.total.Load() != s.log.total.Load():
			t.Fatalf("%d touches wait after a kill, want %d", left.log.total.Load(), s.log.total.Load())
		case round%2 == 0:
			check("after a kill", left)
		}
		if round%5 == 4 {
			check("before", s)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.log.total.Load() != 0 {
		t.Errorf("%d touches wait after Close", s.log.total.Load())
	}
}

// A binding that is gone, and one made anew, have no part in what was logged before.
func TestLogKnowsBindingsApart(t *testing.T) {
	s := openBound(t, filepath.Join(t.TempDir(), FileName), 2)
	touch := store.Touch{Hash: storetest.Hash(0), LastUsed: logStart, LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 3}
	addAll(t, s, []store.Touch{touch})
	b, err := s.Binding(t.Context(), touch.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteBinding(t.Context(), b.Hash, b.Revision); err != nil {
		t.Fatal(err)
	}
	addAll(t, s, []store.Touch{touch})
	if _, _, err := s.Bind(t.Context(), storetest.Binding(0)); err != nil {
		t.Fatal(err)
	}
	touch.Hits = 1
	addAll(t, s, []store.Touch{touch})
	u, err := s.Usage(t.Context(), touch.Hash)
	if err != nil || u.Hits != 1 {
		t.Errorf("%d hits, error %v; want 1", u.Hits, err)
	}
}

// Few keys are not worth the detour, unless others wait.
func TestFewTouchesAreNotLogged(t *testing.T) {
	s := openBound(t, filepath.Join(t.TempDir(), FileName), logFrom)
	s.log.from = logFrom
	touches := make([]store.Touch, logFrom)
	for n := range touches {
		touches[n] = store.Touch{Hash: storetest.Hash(n), LastUsed: logStart, LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 1}
	}
	for _, c := range []struct{ touches, logged int }{{logFrom - 1, 0}, {logFrom, logFrom}, {1, logFrom + 1}} {
		addAll(t, s, touches[:c.touches])
		if got := s.log.total.Load(); got != int64(c.logged) {
			t.Errorf("%d touches wait after %d more, want %d", got, c.touches, c.logged)
		}
	}
}

// The log does not grow without an end, and nothing waits in it for ever.
func TestLogIsSettledInTime(t *testing.T) {
	const keys, limit = 600, 500
	s := openBound(t, filepath.Join(t.TempDir(), FileName), keys)
	s.log.limit = limit
	r := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		touches := make([]store.Touch, 300)
		for i := range touches {
			touches[i] = randomTouch(r, keys)
		}
		addAll(t, s, touches)
		if got := s.log.total.Load(); got > limit || got == 0 {
			t.Errorf("%d touches wait, want some, %d at most", got, limit)
		}
	}
	s.log.turned = time.Now().Add(-2 * settleEvery)
	addAll(t, s, []store.Touch{randomTouch(r, keys)})
	if got := s.log.total.Load(); got > 1 {
		t.Errorf("%d touches wait after two minutes, want those of the last second", got)
	}
}

// A list tells of all that was written before, however much of it is in the log.
func TestListsTellWhatIsLogged(t *testing.T) {
	const keys = 30_000
	s := openBound(t, filepath.Join(t.TempDir(), FileName), 0)
	s.log.wait = time.Minute
	var bindings []store.Binding
	var touches []store.Touch
	for n := range keys {
		b := storetest.Binding(n)
		bindings = append(bindings, b)
		touches = append(touches, store.Touch{Hash: b.Hash, LastUsed: logStart, LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 2})
	}
	if _, err := s.ImportBindings(t.Context(), slices.Values(bindings)); err != nil {
		t.Fatal(err)
	}
	addAll(t, s, touches[:1])
	s.log.turned = time.Now().Add(time.Hour) // so that none is settled for its age, however slow this machine is
	addAll(t, s, touches[1:])
	if s.log.total.Load() != keys {
		t.Fatalf("%d touches wait, want %d", s.log.total.Load(), keys)
	}
	page, err := s.FindBindings(t.Context(), store.BindingQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range page.Rows {
		if row.Usage.Hits != 2 {
			t.Fatalf("%d hits in the list, want 2", row.Usage.Hits)
		}
	}
	if len(page.Rows) != 100 {
		t.Errorf("%d rows", len(page.Rows))
	}
}

// While nothing can be written, a query tells what was settled before.
func TestQueriesDoNotWaitForTheLog(t *testing.T) {
	s := openBound(t, filepath.Join(t.TempDir(), FileName), 2)
	s.log.wait = 10 * time.Millisecond
	touch := store.Touch{Hash: storetest.Hash(0), LastUsed: logStart, LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 3}
	hits := func() uint64 {
		t.Helper()
		u, err := s.Usage(t.Context(), touch.Hash)
		if err != nil {
			t.Fatal(err)
		}
		return u.Hits
	}
	listed := func() (n uint64) {
		t.Helper()
		page, err := s.FindBindings(t.Context(), store.BindingQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range page.Rows {
			n += row.Usage.Hits
		}
		return n
	}
	addAll(t, s, []store.Touch{touch})
	if listed() != 3 || hits() != 3 {
		t.Fatal("not settled")
	}
	addAll(t, s, []store.Touch{touch})
	hangs, release := make(chan struct{}), make(chan struct{})
	var hung sync.WaitGroup
	hung.Go(func() {
		_ = s.queue.Ask(t.Context(), request{alone: func() error {
			close(hangs)
			<-release
			return nil
		}})
	})
	<-hangs
	if listed() != 3 || hits() != 3 {
		t.Error("told of what is not settled")
	}
	if _, err := s.Export(ending(t), store.ClassBindings, "", 10); err == nil {
		t.Error("exported without what is not settled")
	}
	close(release)
	hung.Wait()
	if listed() != 6 || hits() != 6 {
		t.Error("not settled when the disk works again")
	}
}

// ending returns a context that ends soon.
func ending(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// What of the log cannot be read holds nothing else up.
func TestDamagedLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	s := openBound(t, path, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	touch := store.Touch{Hash: storetest.Hash(0), LastUsed: logStart, LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 3}
	good := appendTouch(binary.AppendVarint(nil, 0), &touch, 0)
	r := touch.Hash[0]
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		log, err := tx.CreateBucketIfNotExists([]byte(bucketTouches))
		if err != nil {
			return err
		}
		for i, value := range [][]byte{good, good[:20], {}, append(bytes.Clone(good), 1, 2, 3), bytes.Repeat([]byte{0xff}, 60)} {
			if err := log.Put(be.AppendUint64([]byte{r}, uint64(100+i)), value); err != nil {
				return err
			}
		}
		return log.Put([]byte{r}, good) // as no program has written it
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path, Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	u, err := s.Usage(t.Context(), touch.Hash)
	if err != nil || u.Hits != 9 {
		t.Errorf("%d hits, error %v; want those of the three that can be read", u.Hits, err)
	}
	if got := s.log.total.Load(); got != 0 {
		t.Errorf("%d touches still wait", got)
	}
}
