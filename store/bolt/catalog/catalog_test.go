package catalog_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt/catalog"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// model is a catalog, the slow and obvious way.
type model struct {
	rows map[store.KeyHash]store.BindingRow
	rnd  *rand.Rand
}

func newModel(seed uint64) *model {
	return &model{map[store.KeyHash]store.BindingRow{}, rand.New(rand.NewPCG(seed, 1))}
}

// keys is how many different keys the models have: few, so that all of them are
// changed again and again.
const keys = 300

func pick[T any](rnd *rand.Rand, list ...T) T { return list[rnd.IntN(len(list))] }

// binding returns a random binding of a key.
func (m *model) binding(n int) store.Binding {
	b := storetest.Binding(n).Stored()
	b.CreatedAt = b.CreatedAt.Add(time.Duration(m.rnd.IntN(20)) * time.Minute)
	b.Hint = pick(m.rnd, b.Hint, b.Hint, "sk-a…Z", "", "\xff", "İstanbul hint", "a hint that is rather long")
	b.Label = pick(m.rnd, "", "", "", "Team A", "team b", "ÉQUIPE", "team \u212a")
	b.Status = pick(m.rnd, store.StatusActive, store.StatusActive, store.StatusBanned)
	if m.rnd.IntN(5) == 0 {
		b.ArchivedBefore = b.CreatedAt
	}
	b.Rule = m.rule()
	return b
}

func (m *model) rule() store.Rule {
	switch m.rnd.IntN(6) {
	case 0:
		return store.Rule{Kind: store.RuleAll}
	case 1:
		return store.Rule{Kind: store.RuleMultiple, Prefixes: m.prefixes(1 + m.rnd.IntN(6))}
	case 2:
		return store.Rule{Kind: store.RuleMultiple, Prefixes: m.prefixes(m.rnd.IntN(3)), Networks: m.networks(1)}
	case 3:
		learn := store.Learn{Limit: 3, Within: time.Hour}
		return store.Rule{Kind: store.RuleLearn, Prefixes: m.prefixes(m.rnd.IntN(3)), Networks: m.networks(0), Learn: learn}
	}
	return store.Rule{Kind: store.RuleSingle, Prefixes: m.prefixes(1)}
}

// networks returns the names of a few networks, at least so many.
func (m *model) networks(atLeast int) []string {
	names := []string{"office", "vpn", "office-2", "办公室"}
	m.rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:atLeast+m.rnd.IntN(3)]
}

func (m *model) prefixes(n int) (list []netip.Prefix) {
	for range n {
		list = append(list, m.prefix())
	}
	return list
}

// prefix returns one of some that are often within or beside each other.
func (m *model) prefix() netip.Prefix {
	if m.rnd.IntN(3) == 0 {
		ip := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(m.rnd.IntN(2)), 14: 0, 15: byte(m.rnd.IntN(3))})
		return netip.PrefixFrom(ip, pick(m.rnd, 0, 31, 32, 40, 63, 64, 65, 127, 128)).Masked()
	}
	ip := netip.AddrFrom4([4]byte{10, byte(m.rnd.IntN(2)), byte(m.rnd.IntN(3)), byte(m.rnd.IntN(4))})
	return netip.PrefixFrom(ip, pick(m.rnd, 0, 8, 15, 16, 24, 30, 31, 32)).Masked()
}

// change makes one random change, in the model and in the catalog.
func (m *model) change(c *catalog.Catalog) {
	n := m.rnd.IntN(keys)
	hash := storetest.Hash(n)
	row, there := m.rows[hash]
	switch m.rnd.IntN(4) {
	case 0, 1:
		row.Binding = m.binding(n)
		c.Put(row.Binding)
		m.rows[hash] = row
	case 2:
		u := m.usage()
		c.SetUsage(hash, u.LastUsed, u.Hits)
		if there {
			row.Usage = u
			m.rows[hash] = row
		}
	case 3:
		c.Delete(hash)
		delete(m.rows, hash)
	}
}

func (m *model) usage() store.Usage {
	at := storetest.Binding(0).Stored().CreatedAt.Add(time.Duration(m.rnd.IntN(40)) * time.Minute)
	return store.Usage{LastUsed: at, Hits: pick[uint64](m.rnd, 1, 2, 2, 1<<63, 1<<64-1)}
}

// query returns a random one.
func (m *model) query() store.BindingQuery {
	q := store.BindingQuery{Sort: pick(m.rnd, store.BindingSorts...), Descending: m.rnd.IntN(2) == 0, Limit: 1 + m.rnd.IntN(30)}
	at := storetest.Binding(0).CreatedAt.Add(time.Duration(m.rnd.IntN(40)) * time.Minute)
	for range m.rnd.IntN(3) {
		m.narrow(&q.Filter, at)
	}
	return q
}

// narrow sets one random field of a filter.
func (m *model) narrow(f *store.BindingFilter, at time.Time) {
	switch m.rnd.IntN(14) {
	case 0:
		for range m.rnd.IntN(40) {
			f.Hashes = append(f.Hashes, storetest.Hash(m.rnd.IntN(keys+10)))
		}
	case 1:
		f.Text = pick(m.rnd, "SK", "équipe", "k", "hint", "\xff", "nowhere")
	case 2:
		f.Hint = pick(m.rnd, "…", "İ", "i", "LONG")
	case 3:
		f.Label = pick(m.rnd, "team", "É", "K")
	case 4:
		f.Network = m.prefix()
		f.Within = m.networks(0)
	case 5:
		f.Status = pick(m.rnd, store.StatusActive, store.StatusBanned, "other")
	case 6:
		f.Rule = pick(m.rnd, store.RuleAll, store.RuleMultiple, store.RuleSingle, store.RuleLearn, "other")
	case 7:
		f.Created = store.TimeRange{Since: pick(m.rnd, time.Time{}, at), Before: pick(m.rnd, time.Time{}, at.Add(5*time.Minute))}
	case 8:
		f.Used = store.TimeRange{Since: pick(m.rnd, time.Time{}, at), Before: pick(m.rnd, time.Time{}, at.Add(5*time.Minute))}
	case 9:
		f.IdleSince = at
	case 10:
		f.HitsBelow = pick[uint64](m.rnd, 1, 2, 3, 1<<64-1)
	case 11:
		f.Returned = true
	case 12:
		f.Names = pick(m.rnd, "office", "vpn", "办公室", "Office", "none")
	case 13:
		f.Within = m.networks(0) // which alone says nothing
	}
}

// find answers as a catalog has to.
func (m *model) find(q store.BindingQuery) (hashes []store.KeyHash) {
	var rows []store.BindingRow
	for _, r := range m.rows {
		if q.Filter.Matches(r.Binding, r.Usage) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, q.Sort.Compare)
	if q.Descending {
		slices.Reverse(rows)
	}
	for _, r := range rows {
		hashes = append(hashes, r.Binding.Hash)
	}
	return hashes
}

// check compares all pages of a query.
func (m *model) check(t *testing.T, c *catalog.Catalog, q store.BindingQuery) {
	t.Helper()
	wanted := m.find(q)
	var got []store.KeyHash
	for more := true; more; {
		query, err := catalog.NewQuery(q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		page := c.Find(query)
		if page.Total != len(wanted) {
			t.Fatalf("%+v: total %d, want %d", q, page.Total, len(wanted))
		}
		got = append(got, page.Hashes...)
		q.After, more = page.Next, page.Next != ""
	}
	if !slices.Equal(got, wanted) {
		t.Fatalf("%+v: got %d hashes, want %d, or another order", q, len(got), len(wanted))
	}
}

func TestCatalogAgreesWithTheModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m, c := newModel(seed), new(catalog.Catalog)
			for range 150 {
				for range m.rnd.IntN(30) {
					m.change(c)
				}
				if c.Len() != len(m.rows) {
					t.Fatalf("%d bindings, want %d", c.Len(), len(m.rows))
				}
				for range 3 {
					m.check(t, c, m.query())
				}
			}
		})
	}
}

func TestLoader(t *testing.T) {
	m := newModel(1)
	scratch := new(catalog.Catalog)
	for range 2_000 {
		m.change(scratch)
	}
	l := catalog.NewLoader()
	for _, hash := range slices.SortedFunc(maps.Keys(m.rows), func(a, b store.KeyHash) int { return bytes.Compare(a[:], b[:]) }) {
		l.Add(m.rows[hash].Binding, m.rows[hash].Usage)
	}
	c := l.Catalog()
	if c.Len() != len(m.rows) {
		t.Fatalf("%d bindings, want %d", c.Len(), len(m.rows))
	}
	for range 100 {
		m.check(t, c, m.query())
		m.change(c)
	}
}

// FuzzCursor gives arbitrary cursors to all orders: they are refused, or lead to a
// page.
func FuzzCursor(f *testing.F) {
	c := new(catalog.Catalog)
	for n := range 10 {
		c.Put(storetest.Binding(n))
	}
	for _, sort := range store.BindingSorts {
		q := store.BindingQuery{Sort: sort, Limit: 3}
		query, err := catalog.NewQuery(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.Find(query).Next)
	}
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		for _, sort := range store.BindingSorts {
			for _, descending := range []bool{false, true} {
				query, err := catalog.NewQuery(store.BindingQuery{Sort: sort, Descending: descending, After: cursor})
				if err != nil {
					if !errors.Is(err, store.ErrInvalid) {
						t.Errorf("got %v, want ErrInvalid", err)
					}
					continue
				}
				if page := c.Find(query); page.Total != 10 || len(page.Hashes) > 10 {
					t.Errorf("total %d, %d hashes", page.Total, len(page.Hashes))
				}
			}
		}
	})
}

// TestManyWorkers finds among so many bindings that several workers look.
func TestManyWorkers(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 3 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	}
	m, c := newModel(1), new(catalog.Catalog)
	for n := range 45_000 {
		row := store.BindingRow{Binding: m.binding(n)}
		if n%2 == 0 {
			row.Usage = m.usage()
		}
		m.rows[row.Binding.Hash] = row
		c.Put(row.Binding)
		c.SetUsage(row.Binding.Hash, row.Usage.LastUsed, row.Usage.Hits)
	}
	few := store.BindingFilter{Label: "team", HitsBelow: 3} // of which there are still some pages
	for i, sort := range store.BindingSorts {
		m.check(t, c, store.BindingQuery{Filter: few, Sort: sort, Descending: i%2 == 0, Limit: store.MaxPage})
	}
	m.check(t, c, store.BindingQuery{Sort: store.SortHits, Descending: true, Limit: store.MaxPage})
}
