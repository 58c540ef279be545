package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

func isUnavailable(err error) bool { return errors.Is(err, store.ErrUnavailable) }

// RunReopen tests what outlives a store: each call of open opens the store of a
// directory, which is empty at first.
func RunReopen(t *testing.T, open func(tb testing.TB, dir string) store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s store.Store, reopen func() store.Store)
	}{
		{"EverythingIsStillThere", testReread},
		{"SequencesGoOn", testSequences},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			reopen := func() store.Store {
				wantErr(t, "close", s.Close(), nil)
				s = open(t, dir)
				return s
			}
			test.run(t, s, reopen)
			wantErr(t, "close", s.Close(), nil)
		})
	}
}

// contents is all of a small store.
type contents struct {
	bindings   []store.Binding
	count      int
	usage      []store.Usage
	intercepts []store.Intercept
	counters   []store.Counter
	setting    string
}

func read(t testing.TB, s store.Store) contents {
	t.Helper()
	c := contents{
		bindings:   ok(s.ListBindings(t.Context(), store.KeyHash{}, 1_000))(t),
		count:      ok(s.CountBindings(t.Context()))(t),
		intercepts: ok(s.ListIntercepts(t.Context(), store.InterceptFilter{Limit: 1_000}))(t),
		counters:   ok(s.Counters(t.Context(), time.Unix(0, 0), start.Add(time.Hour)))(t),
		setting:    string(ok(s.Setting(t.Context(), "mode"))(t)),
	}
	for _, b := range c.bindings {
		c.usage = append(c.usage, ok(s.Usage(t.Context(), b.Hash))(t))
	}
	return c
}

func testReread(t *testing.T, s store.Store, reopen func() store.Store) {
	for i := range 50 {
		bound(t, s, Binding(i))
		addTouches(t, s, touch(i, i, 1, "10.0.0.1"))
		put(t, s, i)
	}
	deleted := ok(s.Binding(t.Context(), Hash(0)))(t)
	ok(s.DeleteBinding(t.Context(), deleted.Hash, deleted.Revision))(t)
	addCounters(t, s, store.Counter{Hour: hour, Name: "requests", N: 9})
	wantErr(t, "put setting", s.PutSetting(t.Context(), "mode", []byte("observe")), nil)
	before := read(t, s)
	want(t, "bindings", len(before.bindings), 49)
	for range 2 {
		s = reopen()
		want(t, "contents", read(t, s), before)
	}
}

func testSequences(t *testing.T, s store.Store, reopen func() store.Store) {
	b := bound(t, s, Binding(1))
	removal := ok(s.DeleteBinding(t.Context(), b.Hash, b.Revision))(t)
	id := put(t, s, 1)[0].ID
	s = reopen()
	if again := bound(t, s, Binding(1)); again.Revision <= removal {
		t.Errorf("revision %d after %d", again.Revision, removal)
	}
	if next := put(t, s, 1)[0].ID; next <= id {
		t.Errorf("ID %d after %d", next, id)
	}
}
