package storetest

import (
	"iter"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

// CopyStore is a store that can be a copy of an authority.
type CopyStore interface {
	store.Store
	store.Copy
}

// RunCopy tests the contract of store.Copy. Each call of open returns an empty store,
// which RunCopy closes.
func RunCopy(t *testing.T, open func(testing.TB) CopyStore) {
	tests := []struct {
		name string
		run  func(t *testing.T, s CopyStore)
	}{
		{"NoCopyAtFirst", testNoCopy},
		{"EveryKindOfChange", testApplyKinds},
		{"OlderChangesDoNothing", testApplyOlder},
		{"WhatIsAheadStays", testApplyAhead},
		{"LateOnesDoNothing", testApplyLate},
		{"AppliedTellsDifferences", testApplied},
		{"InvalidChangesNothing", testApplyInvalid},
		{"RandomHistories", testCopyHistories},
		{"ReplaceAll", testReplaceAll},
		{"ReplaceAllFails", testReplaceFails},
		{"ReplaceAllAmongReadsAndChanges", testReplaceAmong},
		{"ReplaceAllGoesBack", testReplaceBack},
		{"ForgetAhead", testForgetAhead},
		{"NodeSettingsStay", testNodeSettings},
		{"UsageOfTheUnboundGoes", testReplaceUsage},
		{"OwnChangesEndIt", testOwnChanges},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { wantErr(t, "close", s.Close(), nil) })
			test.run(t, s)
		})
	}
}

// wantCopy fails the test unless s is a copy of the model as it is.
func wantCopy(t *testing.T, what string, s CopyStore, m *feedModel) {
	t.Helper()
	want(t, what, readCopy(t, s), m.contents())
}

func wantPosition(t *testing.T, s CopyStore, position uint64, of string) {
	t.Helper()
	got, gotOf, err := s.CopyPosition(t.Context())
	if err != nil || got != position || gotOf != of {
		t.Errorf("position %d of %q, %v, want %d of %q", got, gotOf, err, position, of)
	}
}

// apply applies changes, and returns the revisions of those that made a difference.
func apply(t *testing.T, s CopyStore, position uint64, changes ...store.Change) (revisions []uint64) {
	t.Helper()
	for _, c := range ok(s.ApplyChanges(t.Context(), changes, position))(t) {
		revisions = append(revisions, c.Revision)
	}
	return revisions
}

// replace makes s a copy of the model as it is.
func replace(t *testing.T, s CopyStore, m *feedModel) {
	t.Helper()
	wantErr(t, "replace all", s.ReplaceAll(t.Context(), m.position(), "here", m.snapshot(nil)), nil)
}

func testNoCopy(t *testing.T, s CopyStore) {
	wantPosition(t, s, 0, "")
	wantErr(t, "no identity", s.ReplaceAll(t.Context(), 1, "", newFeedModel().snapshot(nil)), store.ErrInvalid)
	_, _, err := s.CopyPosition(canceled(t))
	wantErr(t, "canceled", err, canceled(t).Err())
	_, err = s.ApplyChanges(canceled(t), nil, 1)
	wantErr(t, "canceled", err, canceled(t).Err())
	wantErr(t, "canceled", s.ReplaceAll(canceled(t), 1, "here", newFeedModel().snapshot(nil)), canceled(t).Err())
	wantPosition(t, s, 0, "")
}

func testApplyKinds(t *testing.T, s CopyStore) {
	m := newFeedModel()
	replace(t, s, m)
	entry := store.Change{Kind: store.ChangeArchivedPut, Hash: Hash(2), Archived: store.ArchivedBinding{
		Binding: Binding(2).Stored(), ArchivedAt: store.StoredTime(archiveTime), Usage: usageOf(touch(2, 1, 3, "10.0.0.1")),
	}}
	list := []store.Change{bindingChange(1, "one"), entry, documentChange("ada", "1"), settingChange("mode", "observe"), settingChange("empty", "")}
	for _, b := range namedBindings() {
		list = append(list, store.Change{Kind: store.ChangeBindingPut, Hash: b.Hash, Binding: b})
	}
	for _, c := range list {
		m.put(c)
	}
	apply(t, s, m.position(), m.changes(0, 100)...)
	wantCopy(t, "put", s, m)
	wantPosition(t, s, m.position(), "here")
	before := m.position()
	for _, c := range list {
		m.remove(c)
	}
	apply(t, s, m.position(), m.changes(before, 100)...)
	wantCopy(t, "removed", s, m)
	want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 0)
}

func testApplyOlder(t *testing.T, s CopyStore) {
	m := newFeedModel()
	replace(t, s, m)
	old := []store.Change{m.put(bindingChange(1, "old")), m.put(documentChange("ada", "1")), m.put(settingChange("mode", "old"))}
	apply(t, s, 3, old...)
	m.put(bindingChange(1, "new"))
	m.put(documentChange("ada", "2"))
	m.remove(settingChange("mode", ""))
	apply(t, s, 6, m.changes(3, 10)...)
	for range 2 {
		want(t, "applied of what is old", len(apply(t, s, 3, old...)), 0)
		wantCopy(t, "after the old ones again", s, m)
		wantPosition(t, s, 6, "here")
	}
	apply(t, s, 5)
	wantPosition(t, s, 6, "here")
	apply(t, s, 9)
	wantPosition(t, s, 9, "here")
}

// testApplyAhead has changes of the node's own come before those that the feed told a
// moment earlier.
func testApplyAhead(t *testing.T, s CopyStore) {
	m := newFeedModel()
	replace(t, s, m)
	m.put(bindingChange(1, "put"))
	m.put(documentChange("ada", "1"))
	m.put(settingChange("mode", "old"))
	m.put(bindingChange(2, "not banned"))
	told := m.changes(0, 4)
	apply(t, s, 0, m.remove(bindingChange(1, "")), m.remove(documentChange("ada", "")))
	apply(t, s, 0, m.put(settingChange("mode", "new")))
	apply(t, s, 0, m.put(bindingChange(2, "banned")))
	wantPosition(t, s, 0, "here")
	wantCopy(t, "ahead", s, m)
	for _, c := range told {
		apply(t, s, c.Revision, c)
		wantCopy(t, "after change "+strconv.FormatUint(c.Revision, 10)+" as it was", s, m)
	}
	want(t, "applied of what was ahead", len(apply(t, s, 8, m.changes(4, 10)...)), 0)
	m.put(bindingChange(1, "again"))
	apply(t, s, 9, m.changes(8, 10)...)
	wantCopy(t, "level", s, m)
}

// testApplyLate has the node learn of its own changes later than of what came after
// them, which the feed told with a change from before.
func testApplyLate(t *testing.T, s CopyStore) {
	m := newFeedModel()
	replace(t, s, m)
	m.put(bindingChange(1, "first"))
	m.put(documentChange("ada", "1"))
	late := []store.Change{m.put(bindingChange(1, "late")), m.put(documentChange("ada", "2"))}
	m.put(bindingChange(1, "last"))
	m.put(documentChange("ada", "3"))
	apply(t, s, 2, m.changes(0, 2)...)
	wantCopy(t, "told early", s, m)
	want(t, "applied of what is late", len(apply(t, s, 0, late...)), 0)
	wantCopy(t, "after the late ones", s, m)
}

func testApplied(t *testing.T, s CopyStore) {
	m := newFeedModel()
	replace(t, s, m)
	own := m.put(bindingChange(1, "own"))                                       // 1
	m.put(documentChange("ada", "1"))                                           // 2
	m.remove(documentChange("ada", ""))                                         // 3: it never was, here
	m.put(settingChange("mode", "observe"))                                     // 4
	m.put(settingChange("mode", "observe"))                                     // 5: as it is
	m.put(bindingChange(2, "other"))                                            // 6
	want(t, "own", apply(t, s, 0, own), []uint64{1})                            // it is new here
	want(t, "told", apply(t, s, 6, m.changes(0, 10)...), []uint64{4, 6})        // but for one's own
	want(t, "told again", len(apply(t, s, 6, m.changes(0, 10)...)), 0)          // nothing
	m.remove(bindingChange(2, ""))                                              // 7
	want(t, "removed", apply(t, s, 7, m.changes(6, 10)...), []uint64{7})        // it was there
	want(t, "nothing", len(ok(s.ApplyChanges(t.Context(), nil, 0))(t)), 0)      // and no error
	want(t, "bindings", ok(s.CountBindings(t.Context()))(t), 1)                 // the first one
	want(t, "of the feed", ok(s.Binding(t.Context(), Hash(1)))(t), own.Binding) // with its revision
}

func testApplyInvalid(t *testing.T, s CopyStore) {
	m := newFeedModel()
	m.put(bindingChange(1, "one"))
	replace(t, s, m)
	good, bad := m.put(bindingChange(2, "two")), m.put(bindingChange(3, "three"))
	other := bad
	other.Hash = Hash(4)
	unknown := bad
	unknown.Kind = "binding.painted"
	noStatus := bad
	noStatus.Binding.Status = "pending"
	noName := settingChange("", "")
	noName.Revision = 9
	m.remove(good)
	m.remove(bad)
	for _, c := range []store.Change{other, unknown, noStatus, noName, {Revision: 9, Kind: store.ChangeDocumentRemoved}} {
		_, err := s.ApplyChanges(t.Context(), []store.Change{good, c}, 9)
		wantErr(t, "apply "+string(c.Kind), err, store.ErrInvalid)
		wantErr(t, "replace with "+string(c.Kind), s.ReplaceAll(t.Context(), 9, "here", listOf(good, c)), store.ErrInvalid)
		wantCopy(t, "afterwards", s, m)
		wantPosition(t, s, 1, "here")
	}
}

func listOf(changes ...store.Change) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for _, c := range changes {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// testCopyHistories follows random histories in pieces of random sizes, some of them
// told late and again, among changes of the node's own and new copies.
func testCopyHistories(t *testing.T, s CopyStore) {
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- repeatable on purpose
		m := newFeedModel()
		of := "history " + strconv.FormatUint(seed, 10)
		wantErr(t, "begin", s.ReplaceAll(t.Context(), 0, of, m.snapshot(nil)), nil)
		position := uint64(0)
		for range 60 {
			for range rnd.IntN(8) {
				m.random(rnd)
			}
			told := m.changes(position, rnd.IntN(12))
			if rnd.IntN(2) == 0 {
				apply(t, s, 0, m.random(rnd)) // the node's own, before it takes what it was told
			}
			position = takeTold(t, s, rnd, told, position)
			if rnd.IntN(15) == 0 {
				position = m.position()
				wantErr(t, "new copy", s.ReplaceAll(t.Context(), position, of, m.snapshot(nil)), nil)
				wantCopy(t, "new copy", s, m)
			}
		}
		if list := m.changes(position, 1_000); len(list) > 0 {
			position = takeTold(t, s, rnd, list, position)
		}
		wantPosition(t, s, position, of)
		wantCopy(t, of, s, m)
		if t.Failed() {
			return
		}
	}
}

// takeTold applies what a feed told, some of it again, and returns the new position.
func takeTold(t *testing.T, s CopyStore, rnd *rand.Rand, told []store.Change, position uint64) uint64 {
	t.Helper()
	for rest := told; len(rest) > 0; {
		n := 1 + rnd.IntN(len(rest))
		position = rest[n-1].Revision
		for range 1 + rnd.IntN(2) {
			apply(t, s, position, rest[:n]...)
		}
		rest = rest[n:]
	}
	if len(told) > 0 && rnd.IntN(3) == 0 {
		apply(t, s, told[0].Revision, told...)
	}
	return position
}
