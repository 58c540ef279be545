package storetest

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

var raceTests = []test{
	{"OneWinnerOfManyBinds", testOneWinner},
	{"NoReplacementIsLost", testNoLostUpdate},
	{"RevisionsAreUnique", testUniqueRevisions},
	{"NoHitIsLost", testNoLostHits},
	{"InterceptIDsAreUnique", testUniqueIDs},
	{"NoDocumentIsLost", testNoLostDocument},
	{"DocumentsChangeTogether", testTransfers},
	{"ArchiveAmongChanges", testArchiveRace},
	{"PagesAmongChanges", testPagesAmongChanges},
}

// together runs f in n goroutines and waits for them.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func testOneWinner(t *testing.T, s store.Store) {
	const keys, racers = 200, 64
	var mu sync.Mutex
	winners := map[store.KeyHash][]store.Binding{}
	answers := map[store.KeyHash][]store.Binding{}
	together(racers, func(racer int) {
		for k := range keys {
			b := Binding(k)
			b.FirstIP = netip.AddrFrom4([4]byte{192, 0, 2, byte(racer)}) // #nosec G115 -- below 64
			got, created, err := s.Bind(t.Context(), b)
			if err != nil {
				t.Errorf("bind: %v", err)
				return
			}
			mu.Lock()
			if created {
				winners[b.Hash] = append(winners[b.Hash], got)
				want(t, "the winner's own binding", got.FirstIP, b.FirstIP)
			}
			answers[b.Hash] = append(answers[b.Hash], got)
			mu.Unlock()
		}
	})
	for k := range keys {
		hash := Hash(k)
		if len(winners[hash]) != 1 {
			t.Fatalf("key %d: %d winners", k, len(winners[hash]))
		}
		stored := ok(s.Binding(t.Context(), hash))(t)
		want(t, "stored", stored, winners[hash][0])
		for _, answer := range answers[hash] {
			want(t, "answer", answer, stored)
		}
	}
	want(t, "count", ok(s.CountBindings(t.Context()))(t), keys)
}

func testNoLostUpdate(t *testing.T, s store.Store) {
	const writers, each = 8, 25
	b := Binding(1)
	b.Label = "0"
	bound(t, s, b)
	together(writers, func(int) {
		for done := 0; done < each; {
			b, err := s.Binding(t.Context(), Hash(1))
			if err != nil {
				t.Errorf("read: %v", err)
				return
			}
			n, _ := strconv.Atoi(b.Label) // what is no number fails the test below
			b.Label = strconv.Itoa(n + 1)
			switch _, err := s.ReplaceBinding(t.Context(), b); {
			case err == nil:
				done++
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("replace: %v", err)
				return
			}
		}
	})
	want(t, "label", ok(s.Binding(t.Context(), Hash(1)))(t).Label, strconv.Itoa(writers*each))
}

// testUniqueRevisions mixes all kinds of changes.
func testUniqueRevisions(t *testing.T, s store.Store) {
	const writers, each = 8, 10
	revisions := make([][]uint64, writers)
	together(writers, func(w int) {
		for i := range each {
			b, created, err := s.Bind(t.Context(), Binding(w*each+i))
			if err != nil || !created {
				t.Errorf("bind: created %v, %v", created, err)
				return
			}
			replaced, err := s.ReplaceBinding(t.Context(), b)
			if err != nil {
				t.Errorf("replace: %v", err)
				return
			}
			removal, err := s.DeleteBinding(t.Context(), b.Hash, replaced.Revision)
			if err != nil {
				t.Errorf("delete: %v", err)
				return
			}
			revisions[w] = append(revisions[w], b.Revision, replaced.Revision, removal)
		}
	})
	all := slices.Concat(revisions...)
	for _, own := range revisions {
		if !slices.IsSorted(own) {
			t.Errorf("revisions of one writer do not rise: %v", own)
		}
	}
	slices.Sort(all)
	want(t, "different revisions", len(slices.Compact(all)), 3*writers*each)
	want(t, "count", ok(s.CountBindings(t.Context()))(t), 0)
}

func testNoLostHits(t *testing.T, s store.Store) {
	const writers, each = 8, 10
	bound(t, s, Binding(1))
	together(writers, func(w int) {
		for i := range each {
			err := s.AddUsage(t.Context(), store.UsageBatch{
				Touches:  []store.Touch{touch(1, w*each+i, 3, "10.0.0.1")},
				Counters: []store.Counter{{Hour: hour, Name: "requests", N: 2}},
			})
			if err != nil {
				t.Errorf("add: %v", err)
			}
		}
	})
	last := touch(1, writers*each-1, 0, "10.0.0.1")
	u := ok(s.Usage(t.Context(), Hash(1)))(t)
	want(t, "hits", u.Hits, 3*writers*each)
	want(t, "last used", u.LastUsed, store.StoredTime(last.LastUsed))
	want(t, "days", u.Days, []store.DayUse{{Day: last.LastUsed.UTC().Truncate(24 * time.Hour), Allowed: 3 * writers * each, Networks: from("10.0.0.1", 3*writers*each)}})
	want(t, "counters", ok(s.Counters(t.Context(), hour, hour.Add(time.Hour)))(t),
		[]store.Counter{{Hour: hour, Name: "requests", N: 2 * writers * each}})
}

func testUniqueIDs(t *testing.T, s store.Store) {
	const writers, each = 8, 5
	got := make([][]uint64, writers)
	together(writers, func(w int) {
		for i := range each {
			recs := []store.Intercept{Intercept(i), Intercept(i + 1)}
			if err := s.PutIntercepts(t.Context(), recs); err != nil {
				t.Errorf("put: %v", err)
			}
			got[w] = append(got[w], recs[0].ID, recs[1].ID)
		}
	})
	all := slices.Concat(got...)
	slices.Sort(all)
	slices.Reverse(all)
	want(t, "IDs", ids(t, s, store.InterceptFilter{Limit: 1_000}), slices.Compact(all))
}

func testNoLostDocument(t *testing.T, s store.Store) {
	const writers, each = 8, 25
	document(t, s, "account", "ada", "0")
	together(writers, func(int) {
		for done := 0; done < each; {
			d, err := s.Document(t.Context(), "account", "ada")
			if err != nil {
				t.Errorf("read: %v", err)
				return
			}
			n, _ := strconv.Atoi(string(d.Body)) // what is no number fails the test below
			d.Body = strconv.AppendInt(nil, int64(n+1), 10)
			switch _, err := s.PutDocument(t.Context(), d); {
			case err == nil:
				done++
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("put: %v", err)
				return
			}
		}
	})
	want(t, "body", string(ok(s.Document(t.Context(), "account", "ada"))(t).Body), strconv.Itoa(writers*each))
}

// testArchiveRace archives keys while others replace, touch and bind them: in the
// end, each key is bound, or archived with the last change that was acknowledged.
func testArchiveRace(t *testing.T, s store.Store) {
	const keys, rounds = 20, 10
	var replaced [keys]string
	for k := range keys {
		bound(t, s, Binding(k))
	}
	together(keys+1, func(k int) {
		if k == keys {
			for range rounds {
				for k := range keys {
					if _, err := s.ArchiveBindings(t.Context(), []store.KeyHash{Hash(k)}, archiveTime, archiveTime); err != nil {
						t.Errorf("archive: %v", err)
					}
				}
			}
			return
		}
		for i := range rounds {
			replaced[k] = replaceUntilArchived(t, s, k, i, replaced[k])
		}
	})
	total := ok(s.CountBindings(t.Context()))(t)
	for k := range keys {
		b, err := s.Binding(t.Context(), Hash(k))
		a, archiveErr := s.Archived(t.Context(), Hash(k))
		switch {
		case err == nil:
			want(t, "label of a binding", b.Label, replaced[k])
		case archiveErr == nil:
			want(t, "label of an entry", a.Binding.Label, replaced[k])
			total++
		default:
			t.Errorf("key %d is nowhere: %v, %v", k, err, archiveErr)
		}
	}
	want(t, "keys that are bound or archived only", total, keys)
}

// replaceUntilArchived gives a binding a new label, or restores it if it was
// archived meanwhile, and returns the label that it has then.
func replaceUntilArchived(t *testing.T, s store.Store, k, i int, label string) string {
	b, err := s.Binding(t.Context(), Hash(k))
	if errors.Is(err, store.ErrNotFound) {
		if _, err := s.RestoreBinding(t.Context(), Hash(k), start); err != nil {
			t.Errorf("restore: %v", err)
		}
		return label
	}
	if err != nil {
		t.Errorf("read: %v", err)
		return label
	}
	b.Label = strconv.Itoa(i)
	switch _, err := s.ReplaceBinding(t.Context(), b); {
	case err == nil:
		return b.Label
	case !errors.Is(err, store.ErrNotFound):
		t.Errorf("replace: %v", err)
	}
	return label
}

// testPagesAmongChanges looks at pages while bindings come, change and go: each
// page is of one moment, and what nobody changes is on it.
func testPagesAmongChanges(t *testing.T, s store.Store) {
	const still, moving, looks = 40, 8, 30
	for n := range still {
		b := Binding(1_000 + n)
		b.Label = "still"
		bound(t, s, b)
	}
	var over atomic.Bool
	together(moving+1, func(n int) {
		if n == moving {
			defer over.Store(true)
			for range looks {
				checkMovingPage(t, s, still)
			}
			return
		}
		for i := 0; !over.Load(); i++ {
			if err := comeAndGo(t, s, n, i); err != nil {
				t.Errorf("change: %v", err)
				return
			}
		}
	})
}

// checkMovingPage looks at a page in the order of labels, behind which the
// bindings that change come.
func checkMovingPage(t *testing.T, s store.Store, still int) {
	q := store.BindingQuery{Sort: store.SortLabel, Descending: true, Limit: store.MaxPage}
	page, err := s.FindBindings(t.Context(), q)
	if err != nil {
		t.Errorf("find: %v", err)
		return
	}
	want(t, "total", page.Total, len(page.Rows))
	if !slices.IsSortedFunc(page.Rows, func(a, b store.BindingRow) int { return q.Sort.Compare(b, a) }) {
		t.Error("page is not in order")
	}
	n := 0
	for _, r := range page.Rows {
		if r.Binding.Label == "still" {
			n++
		}
	}
	want(t, "bindings that stay", n, still)
}

// comeAndGo binds a key, changes it and removes it.
func comeAndGo(t *testing.T, s store.Store, n, i int) error {
	b, _, err := s.Bind(t.Context(), Binding(n))
	if err != nil {
		return err
	}
	b.Label = "zzz " + strconv.Itoa(i%10)
	if b, err = s.ReplaceBinding(t.Context(), b); err != nil {
		return err
	}
	if err := s.AddUsage(t.Context(), store.UsageBatch{Touches: []store.Touch{touch(n, i, 1, "10.0.0.1")}}); err != nil {
		return err
	}
	if i%2 == 0 {
		_, err = s.DeleteBinding(t.Context(), b.Hash, b.Revision)
		return err
	}
	if _, err = s.ArchiveBindings(t.Context(), []store.KeyHash{b.Hash}, archiveTime, archiveTime); err != nil {
		return err
	}
	return nil
}
