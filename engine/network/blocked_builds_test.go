package network

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// awayDocuments take no changes.
type awayDocuments struct{ store.Documents }

func (awayDocuments) ChangeDocuments(context.Context, []store.Document, []store.Document) ([]store.Document, error) {
	return nil, store.ErrUnavailable
}

// TestListIsBuiltOnceAfterAnEnd has what is over stay where it is: another node is to
// remove it, or the store is away.
func TestListIsBuiltOnceAfterAnEnd(t *testing.T) {
	for _, test := range []struct {
		name   string
		leads  bool
		failed error
	}{
		{"another node removes it", false, nil},
		{"the store is away", true, store.ErrUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			documents := memory.New()
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			l, err := OpenBlocklist(t.Context(), documents, func() time.Time { return now })
			if err != nil {
				t.Fatal(err)
			}
			lasting, first, second := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24")
			if _, err := l.Add(t.Context(), []Blocked{
				{Prefix: lasting}, {Prefix: first, Until: now.Add(time.Minute)}, {Prefix: second, Until: now.Add(time.Hour)},
			}); err != nil {
				t.Fatal(err)
			}
			l.documents = awayDocuments{documents}
			builds, last := 0, l.list.Load()
			look := func(seconds int) {
				for range seconds {
					now = now.Add(time.Second)
					if _, err := l.End(t.Context(), func(context.Context) bool { return test.leads }); !errors.Is(err, test.failed) {
						t.Fatalf("got %v, want %v", err, test.failed)
					}
					if list := l.list.Load(); list != last {
						builds, last = builds+1, list
					}
				}
			}
			now = now.Add(time.Minute)
			look(10)
			if builds != 1 || blocks(last, first) || !blocks(last, second) || !blocks(last, lasting) {
				t.Errorf("10 looks after an end: built %d times, want once, and without what is over", builds)
			}
			now = now.Add(time.Hour)
			look(10)
			if builds != 2 || blocks(last, second) || !blocks(last, lasting) {
				t.Errorf("after the next end: built %d times, want twice, and without what is over", builds)
			}
			if l.Len() != 3 {
				t.Errorf("got %d entries, want all 3: nobody has removed one", l.Len())
			}
		})
	}
}

func blocks(list *ipset.List, p netip.Prefix) bool { return list.Contains(p.Addr()) }
