package bolt_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// BenchmarkBuildCatalog finds the first page of a store that was just opened, for
// which the catalog is built, and tells how much memory it takes.
func BenchmarkBuildCatalog(b *testing.B) {
	path := loadedPath(b)
	var bytes float64
	for b.Loop() {
		s := openPath(b, path)
		before := heapBytes()
		page, err := s.FindBindings(b.Context(), store.BindingQuery{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		bytes = (heapBytes() - before) / float64(page.Total)
		mustClose(b, s)
		b.StartTimer()
	}
	b.ReportMetric(bytes, "B/binding")
}

func heapBytes() float64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// benchFilters is what people look for.
var benchFilters = []store.BindingFilter{
	{},
	{Text: "9FQ"},
	{Text: "not there"},
	{Network: netip.MustParsePrefix("10.1.0.0/16")},
	{Status: store.StatusActive, Rule: store.RuleSingle},
	{Status: store.StatusBanned},
	{HitsBelow: 1},
	{IdleSince: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)},
	{Text: "sk-", Network: netip.MustParsePrefix("0.0.0.0/0"), Status: store.StatusActive, HitsBelow: 1 << 40},
}

// BenchmarkFindBindings asks for pages of all filters in all orders, two of the usual
// size and the largest, and tells how long they took in the middle and at worst: all
// that were asked, and of each the best of its rounds, which is what it takes if
// nobody else wants the processor.
func BenchmarkFindBindings(b *testing.B) {
	s := openLoaded(b)
	if _, err := s.FindBindings(b.Context(), store.BindingQuery{}); err != nil { // builds the catalog
		b.Fatal(err)
	}
	var all, best []time.Duration
	for b.Loop() {
		took := benchRound(b, s)
		all = append(all, took...)
		if best == nil {
			best = slices.Clone(took)
		}
		for i := range best {
			best[i] = min(best[i], took[i])
		}
	}
	for name, list := range map[string][]time.Duration{"all": all, "best": best} {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)/2].Microseconds())/1e3, "ms-p50-"+name)
		b.ReportMetric(float64(list[len(list)*99/100].Microseconds())/1e3, "ms-p99-"+name)
		b.ReportMetric(float64(list[len(list)-1].Microseconds())/1e3, "ms-max-"+name)
	}
}

// benchRound times all pages once.
func benchRound(b *testing.B, s *bolt.Store) (took []time.Duration) {
	for _, filter := range benchFilters {
		for _, sort := range store.BindingSorts {
			for _, descending := range []bool{false, true} {
				q := store.BindingQuery{Filter: filter, Sort: sort, Descending: descending}
				for _, limit := range []int{0, 0, store.MaxPage} {
					q.Limit = limit
					began := time.Now()
					page, err := s.FindBindings(b.Context(), q)
					if err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(began))
					q.After = page.Next
				}
			}
		}
	}
	return took
}

// BenchmarkIntercepts asks a log of as many records for pages, each followed until
// it has records or the log ends.
func BenchmarkIntercepts(b *testing.B) {
	s := openIn(b, b.TempDir())
	defer mustClose(b, s)
	rnd := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- repeatable on purpose
	began := time.Now()
	for n := 0; n < *benchBindings; {
		recs := make([]store.Intercept, min(5_000, *benchBindings-n))
		for i := range recs {
			recs[i] = storetest.Intercept(n + i)
			recs[i].Hash = storetest.Hash(rnd.IntN(5_000))
			recs[i].ClientIP = netip.AddrFrom4([4]byte{203, 0, byte(rnd.IntN(256)), byte(rnd.IntN(256))}) // #nosec G115 -- small
		}
		if err := s.PutIntercepts(b.Context(), recs); err != nil {
			b.Fatal(err)
		}
		n += len(recs)
	}
	b.Logf("%d records stored in %v", *benchBindings, time.Since(began))
	oldest := storetest.Intercept(0).At
	filters := map[string]store.InterceptFilter{
		"newest":      {},
		"key":         {Hash: storetest.Hash(7)},
		"unknown key": {Hash: storetest.Hash(1 << 30)},
		"network":     {Network: netip.MustParsePrefix("203.0.7.0/28")},
		"no network":  {Network: netip.MustParsePrefix("198.51.100.0/24")},
		"reason":      {Reason: store.ReasonCut},
		"time":        {Time: store.TimeRange{Since: oldest, Before: oldest.Add(time.Hour)}},
		"path":        {Path: "embeddings"},
		"every path":  {Path: "CHAT", Limit: store.MaxPage},
		"all":         {Limit: store.MaxPage},
	}
	for name, f := range filters {
		b.Run(name, func(b *testing.B) { benchIntercepts(b, s, f) })
	}
}

func benchIntercepts(b *testing.B, s *bolt.Store, f store.InterceptFilter) {
	var worst time.Duration
	pages, found := 0, 0
	for b.Loop() {
		pages, found = 0, 0
		for q, more := f, true; more && found == 0; {
			began := time.Now()
			page, err := s.ListIntercepts(b.Context(), q)
			if err != nil {
				b.Fatal(err)
			}
			worst = max(worst, time.Since(began))
			pages++
			found += len(page.Records)
			q.Before, more = page.Next, page.Next != 0
		}
	}
	b.ReportMetric(float64(worst.Microseconds())/1e3, "ms-worst-page")
	b.ReportMetric(float64(pages), "pages")
	b.ReportMetric(float64(found), "records")
}

// BenchmarkMaintain archives idle bindings, takes a snapshot and compacts, all of
// one store, which is made for it.
func BenchmarkMaintain(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		path := b.TempDir() + "/" + bolt.FileName
		if err := load(path, *benchBindings); err != nil {
			b.Fatal(err)
		}
		s := openPath(b, path)
		b.StartTimer()
		for _, step := range []struct {
			name string
			run  func() error
		}{
			{"archive", func() error { return archiveMany(b, s, *benchBindings/10) }},
			{"snapshot", func() error {
				n, err := s.Snapshot(b.Context(), discard{})
				b.ReportMetric(float64(n)/1e6, "MB-snapshot")
				return err
			}},
			{"compact", func() error {
				before, after, err := s.Compact(b.Context())
				b.ReportMetric(float64(before)/1e6, "MB-before")
				b.ReportMetric(float64(after)/1e6, "MB-after")
				return err
			}},
		} {
			began := time.Now()
			if err := step.run(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(began).Seconds(), "s-"+step.name)
		}
		mustClose(b, s)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// archiveMany archives so many bindings, a chunk at a time.
func archiveMany(b *testing.B, s *bolt.Store, n int) error {
	var hashes []store.KeyHash
	for i := range n {
		hashes = append(hashes, storetest.Hash(i))
	}
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for chunk := range slices.Chunk(hashes, store.ArchiveChunk) {
		moved, err := s.ArchiveBindings(b.Context(), chunk, at, at)
		if err != nil {
			return err
		}
		if len(moved) != len(chunk) {
			return fmt.Errorf("%d of %d moved", len(moved), len(chunk))
		}
	}
	return nil
}
