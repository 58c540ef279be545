package bindcache

import (
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

// used returns the addresses that a touch says the key was used from.
func used(touch store.Touch) []string {
	list := touch.Addresses
	if touch.Hits > 0 && !slices.Contains(list, touch.LastIP) {
		list = append(slices.Clip(list), touch.LastIP)
	}
	var texts []string
	for _, ip := range list {
		texts = append(texts, ip.String())
	}
	slices.Sort(texts)
	return texts
}

func TestAddressesSinceTheLastTime(t *testing.T) {
	cases := []struct {
		name    string
		rule    string
		periods [][]string // the uses of each
		want    []string   // the addresses of the last one
	}{
		{"one", "192.0.2.0/24", [][]string{{"192.0.2.1", "192.0.2.1"}}, []string{"192.0.2.1"}},
		{"two in turn", "192.0.2.0/24", [][]string{{"192.0.2.1", "192.0.2.2", "192.0.2.1"}}, []string{"192.0.2.1", "192.0.2.2"}},
		{"the same again", "192.0.2.0/24", [][]string{{"192.0.2.1"}, {"192.0.2.1"}}, []string{"192.0.2.1"}},
		{"the last one first", "192.0.2.0/24", [][]string{{"192.0.2.1"}, {"192.0.2.1", "192.0.2.2"}}, []string{"192.0.2.1", "192.0.2.2"}},
		{"the last one not again", "192.0.2.0/24", [][]string{{"192.0.2.1"}, {"192.0.2.2"}}, []string{"192.0.2.2"}},
		{"a single address", "192.0.2.1/32", [][]string{{"192.0.2.1"}}, []string{"192.0.2.1"}},
		{"v6", "2001:db8::/64", [][]string{{"2001:db8::1", "2001:db8::2"}}, []string{"2001:db8::1", "2001:db8::2"}},
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
	if len(touch.Addresses) != store.UsageAddresses || touch.Hits != 200 || touch.LastIP.String() != "192.0.2.199" {
		t.Errorf("got %+v", touch)
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
	var hits uint64
	seen := map[netip.Addr]bool{}
	take := func() {
		touch := e.TakeUsage(time.UnixMilli(1))
		hits += touch.Hits
		for _, ip := range append(touch.Addresses, touch.LastIP) {
			seen[ip] = true
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
	delete(seen, netip.Addr{})
	if hits != addresses*each || len(seen) != addresses {
		t.Errorf("got %d hits from %d addresses, want %d from %d", hits, len(seen), addresses*each, addresses)
	}
}

func newEntry(b store.Binding) (*Entry, error) { return (&Cache{networks: unnamed{}}).NewEntry(b) }
