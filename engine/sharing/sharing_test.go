package sharing_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/sharing"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

var start = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

func hashOf(n int) (h store.KeyHash) {
	binary.BigEndian.PutUint64(h[:], uint64(n)+1) // #nosec G115 -- small
	return h
}

func network(s string) netip.Prefix { return netip.MustParsePrefix(s) }

var home, cafe, away = network("192.0.2.1/32"), network("198.51.100.7/32"), network("2001:db8::/64")

// post watches keys whose bindings it has made.
type post struct {
	*sharing.Watch
	t     testing.TB
	store *memory.Store
	now   time.Time
}

func newPost(t testing.TB, keys int) *post {
	t.Helper()
	p := &post{t: t, store: memory.New(), now: start}
	for n := range keys {
		b := store.Binding{Hash: hashOf(n), Hint: "sk-…", Status: store.StatusActive, Rule: store.Rule{Kind: store.RuleAll}}
		if _, _, err := p.store.Bind(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	p.open()
	return p
}

func (p *post) open() {
	p.t.Helper()
	var err error
	if p.Watch, err = sharing.Open(p.t.Context(), p.store); err != nil {
		p.t.Fatal(err)
	}
	p.end(5)
}

// end ends the minute that is gathered.
func (p *post) end(strikes int) []sharing.Told {
	p.t.Helper()
	told, err := p.End(p.t.Context(), p.now, strikes)
	if err != nil {
		p.t.Fatal(err)
	}
	return told
}

// minute uses a key from networks within a minute, which it ends.
func (p *post) minute(n int, networks ...netip.Prefix) []sharing.Told {
	p.t.Helper()
	for _, from := range networks {
		p.Use(hashOf(n), from)
	}
	p.now = p.now.Add(time.Minute)
	return p.end(5)
}

func (p *post) list() []sharing.Suspicion {
	list, _ := p.List()
	return list
}

func TestStrikesOfOneDay(t *testing.T) {
	p := newPost(t, 1)
	for n := range 4 {
		if told := p.minute(0, home, cafe, home); told != nil || len(p.list()) != 0 {
			t.Fatalf("after strike %d: told %+v, suspects %+v", n+1, told, p.list())
		}
		if told := p.minute(0, home, home); told != nil {
			t.Fatalf("a minute in one place: told %+v", told)
		}
	}
	told := p.minute(0, away, home)
	if len(told) != 1 || told[0].Hash != hashOf(0) || told[0].Hint != "sk-…" || told[0].Minutes != 5 ||
		!told[0].At.Equal(start.Add(8*time.Minute)) || !slices.Equal(told[0].Networks, []netip.Prefix{home, away, cafe}) {
		t.Errorf("told %+v", told)
	}
	list := p.list()
	if len(list) != 1 || !list[0].First.Equal(start) || !list[0].Last.Equal(start.Add(8*time.Minute)) || len(list[0].Evidence) != 5 ||
		!slices.Equal(list[0].Evidence[0].Networks, []netip.Prefix{home, away}) {
		t.Errorf("suspects %+v", list)
	}
	p.now = p.now.Add(48 * time.Hour) // one that is suspected needs one strike more only
	p.end(5)
	if told := p.minute(0, home, cafe); len(told) != 1 || told[0].Minutes != 6 {
		t.Errorf("days later: told %+v", told)
	}
}

func TestStrikesOfTwoDaysDoNotAddUp(t *testing.T) {
	p := newPost(t, 1)
	for range 2 {
		for range 4 {
			p.minute(0, home, cafe)
		}
		p.now = p.now.AddDate(0, 0, 1)
		p.end(5)
	}
	if list := p.list(); len(list) != 0 {
		t.Errorf("suspects %+v", list)
	}
}

func TestNoKeyIsSuspectedWithoutANumber(t *testing.T) {
	p := newPost(t, 1)
	for range 20 {
		p.Use(hashOf(0), home)
		p.Use(hashOf(0), cafe)
		p.now = p.now.Add(time.Minute)
		if told := p.end(0); told != nil {
			t.Fatalf("told %+v", told)
		}
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	p := newPost(t, 1)
	for m := range 40 {
		for n := range 50 {
			p.Use(hashOf(0), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(m), byte(n)}), 32)) // #nosec G115 -- small
		}
		p.minute(0)
	}
	s := p.list()[0]
	if s.Minutes != 40 || len(s.Evidence) != sharing.MaxEvidence || len(s.Evidence[0].Networks) != sharing.MaxNetworks ||
		!s.Evidence[0].Minute.Equal(start.Add(39*time.Minute)) {
		t.Errorf("got %d minutes, %d of evidence, %+v", s.Minutes, len(s.Evidence), s.Evidence[0])
	}
}

func TestSuspicionsAreBounded(t *testing.T) {
	const more = 3
	p := newPost(t, sharing.MaxSuspicions+more)
	for range 5 {
		for n := range sharing.MaxSuspicions + more {
			p.Use(hashOf(n), home)
			p.Use(hashOf(n), cafe)
		}
		p.minute(0)
	}
	list, beyond := p.List()
	if len(list) != sharing.MaxSuspicions || beyond != more {
		t.Errorf("%d suspicions and %d beyond, want %d and %d", len(list), beyond, sharing.MaxSuspicions, more)
	}
	docs, err := p.store.ListDocuments(t.Context(), "suspicion")
	if err != nil || len(docs) != sharing.MaxSuspicions {
		t.Errorf("%d documents, %v", len(docs), err)
	}
	// Long after, a new one takes the place of one that was quiet.
	known := map[store.KeyHash]bool{}
	for _, s := range list {
		known[s.Hash] = true
	}
	fresh := 0
	for known[hashOf(fresh)] {
		fresh++
	}
	p.now = p.now.AddDate(0, 2, 0)
	p.end(5)
	for range 5 {
		p.minute(fresh, home, cafe)
	}
	if list, _ := p.List(); len(list) != sharing.MaxSuspicions || list[0].Hash != hashOf(fresh) {
		t.Errorf("%d suspicions, the newest %+v", len(list), list[0])
	}
}

func TestSuspicionsOutliveARestart(t *testing.T) {
	p := newPost(t, 2)
	for range 6 {
		p.minute(1, home, cafe)
	}
	before := p.list()
	p.open()
	after := p.list()
	if len(after) != 1 || after[0].Minutes != 6 || len(after[0].Evidence) != len(before[0].Evidence) || !after[0].First.Equal(before[0].First) {
		t.Errorf("got %+v, want %+v", after, before)
	}
	if told := p.minute(1, home, cafe); len(told) != 1 || told[0].Minutes != 7 {
		t.Errorf("told %+v", told)
	}
}

func TestDismiss(t *testing.T) {
	p := newPost(t, 1)
	if _, err := p.Dismiss(t.Context(), hashOf(0)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("without a suspicion: %v", err)
	}
	for range 5 {
		p.minute(0, home, cafe)
	}
	if s, err := p.Dismiss(t.Context(), hashOf(0)); err != nil || s.Minutes != 5 {
		t.Errorf("got %+v, %v", s, err)
	}
	p.open()
	if list := p.list(); len(list) != 0 {
		t.Errorf("suspects %+v", list)
	}
	for range 4 {
		if told := p.minute(0, home, cafe); told != nil {
			t.Errorf("told %+v", told)
		}
	}
	if told := p.minute(0, home, cafe); len(told) != 1 {
		t.Error("a key that goes on is not suspected again")
	}
}

func TestKeysWithoutABindingAreForgotten(t *testing.T) {
	p := newPost(t, 0)
	for range 12 {
		if told := p.minute(7, home, cafe); told != nil {
			t.Errorf("told %+v", told)
		}
	}
}

// TestWhatIsNotStoredIsTriedAgain has the store fail for a minute.
func TestWhatIsNotStoredIsTriedAgain(t *testing.T) {
	p := newPost(t, 1)
	for range 5 {
		p.minute(0, home, cafe)
	}
	p.store.Fail(errors.New("medium is broken"))
	p.Use(hashOf(0), home)
	p.Use(hashOf(0), cafe)
	p.now = p.now.Add(time.Minute)
	if told, err := p.End(t.Context(), p.now, 5); !errors.Is(err, store.ErrUnavailable) || len(told) != 1 {
		t.Errorf("told %+v, %v", told, err)
	}
	p.store.Fail(nil)
	p.minute(0)
	p.open()
	if list := p.list(); len(list) != 1 || list[0].Minutes != 6 {
		t.Errorf("got %+v", list)
	}
}
