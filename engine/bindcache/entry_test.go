package bindcache

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/key-ip-sentinel/sentinel/store"
)

func TestAnEntryIsTwoCacheLines(t *testing.T) {
	if n := unsafe.Sizeof(Entry{}); n != 128 {
		t.Errorf("an entry has %d bytes, want 128", n)
	}
}

// hitsOf returns how often a touch says that the key was used from each address.
func hitsOf(touch store.Touch) map[netip.Addr]uint64 {
	hits := map[netip.Addr]uint64{}
	for _, a := range touch.Addresses {
		hits[a.IP] += a.Hits
	}
	if n := touch.FromLast(); n > 0 {
		hits[touch.LastIP] += n
	}
	return hits
}

// used returns the addresses that a touch says the key was used from, with the hits.
func used(touch store.Touch) []string {
	var texts []string
	for ip, hits := range hitsOf(touch) {
		texts = append(texts, fmt.Sprintf("%s %d", ip, hits))
	}
	slices.Sort(texts)
	return texts
}

func TestAddressesSinceTheLastTime(t *testing.T) {
	cases := []struct {
		name    string
		rule    string
		periods [][]string // the uses of each
		want    []string   // the addresses of the last one, with their hits
	}{
		{"one", "192.0.2.0/24", [][]string{{"192.0.2.1", "192.0.2.1"}}, []string{"192.0.2.1 2"}},
		{"two in turn", "192.0.2.0/24", [][]string{{"192.0.2.1", "192.0.2.2", "192.0.2.1"}}, []string{"192.0.2.1 2", "192.0.2.2 1"}},
		{"the same again", "192.0.2.0/24", [][]string{{"192.0.2.1"}, {"192.0.2.1"}}, []string{"192.0.2.1 1"}},
		{"the last one first", "192.0.2.0/24", [][]string{{"192.0.2.1"}, {"192.0.2.1", "192.0.2.2"}}, []string{"192.0.2.1 1", "192.0.2.2 1"}},
		{"the last one not again", "192.0.2.0/24", [][]string{{"192.0.2.1"}, {"192.0.2.2"}}, []string{"192.0.2.2 1"}},
		{"one that was let go", "192.0.2.0/24", [][]string{{"192.0.2.1"}, {"192.0.2.2"}, {"192.0.2.2"}, {"192.0.2.1"}}, []string{"192.0.2.1 1"}},
		{"a single address", "192.0.2.1/32", [][]string{{"192.0.2.1"}}, []string{"192.0.2.1 1"}},
		{"v6", "2001:db8::/64", [][]string{{"2001:db8::1", "2001:db8::2"}}, []string{"2001:db8::1 1", "2001:db8::2 1"}},
		{"none", "192.0.2.0/24", [][]string{{"192.0.2.1"}, {}}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e, err := newEntry(bound(1, c.rule))
			if err != nil {
				t.Fatal(err)
			}
			var last store.Touch
			for _, period := range c.periods {
				for _, ip := range period {
					e.Touch(netip.MustParseAddr(ip))
				}
				last = e.TakeUsage(time.UnixMilli(1))
			}
			if got := used(last); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAddressesAreBounded(t *testing.T) {
	e, err := newEntry(bound(1, "192.0.2.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 200 {
		e.Touch(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}))
	}
	touch := e.TakeUsage(time.UnixMilli(1))
	if len(touch.Addresses) != store.UsageNetworks || touch.Hits != 200 || touch.LastIP.String() != "192.0.2.199" ||
		touch.Elsewhere != 200-store.UsageNetworks || touch.FromLast() != 0 {
		t.Errorf("got %+v", touch)
	}
	e.Touch(netip.MustParseAddr("192.0.2.199"))
	e.Touch(netip.MustParseAddr("192.0.2.0"))
	if got := used(e.TakeUsage(time.UnixMilli(2))); !slices.Equal(got, []string{"192.0.2.0 1"}) {
		t.Errorf("got %v, want the one that is known, while there was no room for the other", got)
	}
	e.Touch(netip.MustParseAddr("192.0.2.199"))
	if got := used(e.TakeUsage(time.UnixMilli(3))); !slices.Equal(got, []string{"192.0.2.199 1"}) {
		t.Errorf("got %v, want the other, now that there is room", got)
	}
}

// TestKnownAddressesAllocateNothing: a key that is used from two addresses in
// turn costs no more than one that is used from one.
func TestKnownAddressesAllocateNothing(t *testing.T) {
	e, err := newEntry(bound(1, "192.0.2.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	e.Touch(a)
	e.Touch(b)
	if n := testing.AllocsPerRun(1000, func() { e.Touch(a); e.Touch(b) }); n != 0 {
		t.Errorf("two addresses in turn allocate %v times", n)
	}
}

func TestRefusalsAddUp(t *testing.T) {
	e, err := newEntry(bound(1, "192.0.2.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	if !e.Refuse() || e.Refuse() {
		t.Error("want the first refusal, and no other, to be reported as the first")
	}
	if got := e.TakeUsage(time.UnixMilli(1)); got.Refused != 2 || got.Hits != 0 || got.Addresses != nil {
		t.Errorf("got %+v", got)
	}
	if got := e.TakeUsage(time.UnixMilli(1)); got.Refused != 0 {
		t.Errorf("got %d a second time", got.Refused)
	}
}

// TestNoUseIsLost touches from many goroutines while usage is taken: every hit
// and every address turns up.
func TestNoUseIsLost(t *testing.T) {
	e, err := newEntry(bound(1, "192.0.2.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	const addresses, each = 8, 20_000
	var users sync.WaitGroup
	for n := range addresses {
		users.Go(func() {
			ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
			for range each {
				e.Touch(ip)
			}
		})
	}
	finished := make(chan struct{})
	go func() { users.Wait(); close(finished) }()
	seen := map[netip.Addr]uint64{}
	take := func() {
		touch := e.TakeUsage(time.UnixMilli(1))
		if touch.Elsewhere > 0 {
			t.Errorf("%d hits from elsewhere", touch.Elsewhere)
		}
		for ip, hits := range hitsOf(touch) {
			seen[ip] += hits
		}
	}
	for running := true; running; {
		select {
		case <-finished:
			running = false
		default:
		}
		take()
	}
	if len(seen) != addresses {
		t.Errorf("used from %d addresses, want %d", len(seen), addresses)
	}
	for ip, hits := range seen {
		if hits != each {
			t.Errorf("%d hits from %v, want %d", hits, ip, each)
		}
	}
}

func newEntry(b store.Binding) (*Entry, error) { return (&Cache{networks: unnamed{}}).NewEntry(b) }
