package engine

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/key-ip-sentinel/sentinel/store"
)

func TestBindingPrefix(t *testing.T) {
	custom := DefaultPolicy()
	custom.PrefixV4, custom.PrefixV6 = 20, 56
	widest := DefaultPolicy()
	widest.PrefixV4, widest.PrefixV6 = 1, 1
	cases := []struct {
		name   string
		policy Policy
		ip     string
		want   string // empty: an error
	}{
		{"v4", DefaultPolicy(), "203.0.113.77", "203.0.113.77/32"},
		{"v6", DefaultPolicy(), "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"v4, custom", custom, "203.0.113.77", "203.0.112.0/20"},
		{"v6, custom", custom, "2001:db8:1:2ff:3:4:5:6", "2001:db8:1:200::/56"},
		{"v4, widest", widest, "203.0.113.77", "128.0.0.0/1"},
		{"v6, widest", widest, "2001:db8::1", "::/1"},
		{"NAT64", DefaultPolicy(), "64:ff9b::192.0.2.1", "64:ff9b::c000:201/128"},
		{"NAT64, custom", custom, "64:ff9b::192.0.2.1", "64:ff9b::c000:201/128"},
		{"beside NAT64", DefaultPolicy(), "64:ff9b:0:0:1::1", "64:ff9b::/64"},
		{"no address", DefaultPolicy(), "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var ip netip.Addr
			if c.ip != "" {
				ip = netip.MustParseAddr(c.ip)
			}
			got, err := bindingPrefix(&c.policy, ip)
			if c.want == "" {
				if err == nil && got.IsValid() {
					t.Errorf("got %v, want none", got)
				}
				return
			}
			if err != nil || got.String() != c.want || !got.Contains(ip) {
				t.Errorf("got %v, %v, want %s", got, err, c.want)
			}
			if rule := (store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{got}}); rule.Validate() != nil {
				t.Errorf("not a rule: %v", rule.Validate())
			}
		})
	}
}

func TestClip(t *testing.T) {
	cases := []struct {
		name, text string
		most       int
		want       string
	}{
		{"empty", "", 8, ""},
		{"short", "plain", 8, "plain"},
		{"at the limit", "12345678", 8, "12345678"},
		{"beyond it", "123456789", 8, "12345678"},
		{"whole character at the limit", "1234567é", 9, "1234567é"},
		{"half a character", "1234567é", 8, "1234567"},
		{"a third of a character", "123456世", 7, "123456"},
		{"two thirds of a character", "123456世", 8, "123456"},
		{"most of a character", "12345😀", 8, "12345"},
		{"control characters", "a\x00b\r\nc\x7f", 20, "a�b��c�"},
		{"control characters, replaced up to the limit", "a\x00b\r\nc\x7f", 8, "a�b�"},
		{"control characters of C1", "a\u0085b", 8, "a�b"},
		{"direction override", "a\u202eb", 8, "a�b"},
		{"escape sequence", "\x1b[31m", 8, "�[31m"},
		{"broken UTF-8", "a\xffb\xc3(", 9, "a�b�("},
		{"broken UTF-8 at the end", "ab\xff", 8, "ab�"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := clip(c.text, c.most); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzClip: whatever a client writes, what is kept of it is bounded text that
// can be shown.
func FuzzClip(f *testing.F) {
	for _, text := range []string{"", "plain", "1234567é", "a\x00b\r\n", "\xff\xfe", "123456世界", "\x1b[2J😀"} {
		f.Add(text, 8)
	}
	f.Fuzz(func(t *testing.T, text string, most int) {
		if most < 0 || most > 1<<10 {
			return
		}
		got := clip(text, most)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q became %q", text, got)
		}
		if len(got) > most {
			t.Errorf("%q became %d bytes of at most %d", text, len(got), most)
		}
		clean := utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
		if clean && (len(got) > most || !strings.HasPrefix(text, got) || len(text) <= most && got != text || len(got) < min(len(text), most)-utf8.UTFMax+1) {
			t.Errorf("%q became %q of at most %d bytes", text, got, most)
		}
	})
}

func TestCry(t *testing.T) {
	var c cry
	now := time.Unix(1_700_000_000, 0)
	for i, step := range []struct {
		later time.Duration
		heard bool
	}{{0, true}, {0, false}, {complainEvery - 1, false}, {1, true}, {1, false}, {complainEvery * 3, true}} {
		now = now.Add(step.later)
		heard := false
		c.log(now, func() { heard = true })
		if heard != step.heard {
			t.Errorf("step %d: heard %v, want %v", i, heard, step.heard)
		}
	}
}

func hashOf(n int) (h store.KeyHash) {
	binary.BigEndian.PutUint64(h[:], uint64(n)+1)
	return h
}

func TestBacklogAddsUp(t *testing.T) {
	home, away := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	early, late := time.UnixMilli(1000), time.UnixMilli(2000)
	hour := late.Truncate(time.Hour)
	var b backlog
	if !b.empty() {
		t.Error("a new one is not empty")
	}
	add := func(touches ...store.Touch) {
		t.Helper()
		for _, touch := range touches {
			if lost := b.addTouch(touch); lost != 0 {
				t.Errorf("lost %d", lost)
			}
		}
	}
	add(store.Touch{Hash: hashOf(9)}) // no hit, nothing to write
	if !b.empty() {
		t.Error("holds what was not used")
	}
	add(
		store.Touch{Hash: hashOf(1), Hits: 2, LastUsed: late, LastIP: home},
		store.Touch{Hash: hashOf(1), Hits: 3, LastUsed: early, LastIP: away},
		store.Touch{Hash: hashOf(2), Hits: 1, LastUsed: early, LastIP: home},
		store.Touch{Hash: hashOf(2), Hits: 1, LastUsed: late, LastIP: away},
	)
	for _, n := range []uint64{4, 5} {
		b.addCounter(store.Counter{Hour: hour, Name: "allowed", N: n})
	}
	b.addCounter(store.Counter{Hour: hour.Add(time.Hour), Name: "allowed", N: 1})
	b.addCounter(store.Counter{Hour: hour, Name: "bound", N: 1})

	check := func(batch store.UsageBatch) {
		t.Helper()
		touches := map[store.KeyHash]store.Touch{}
		for _, touch := range batch.Touches {
			touches[touch.Hash] = touch
		}
		one := store.Touch{Hash: hashOf(1), Hits: 5, LastUsed: late, LastIP: home, Addresses: []store.AddressHits{{IP: away, Hits: 3}}}
		two := store.Touch{Hash: hashOf(2), Hits: 2, LastUsed: late, LastIP: away, Addresses: []store.AddressHits{{IP: home, Hits: 1}}}
		if len(batch.Touches) != 2 || !reflect.DeepEqual(touches[hashOf(1)], one) || !reflect.DeepEqual(touches[hashOf(2)], two) {
			t.Errorf("got touches %+v", batch.Touches)
		}
		counters := map[store.Counter]bool{}
		for _, c := range batch.Counters {
			counters[c] = true
		}
		if len(batch.Counters) != 3 || !counters[store.Counter{Hour: hour, Name: "allowed", N: 9}] ||
			!counters[store.Counter{Hour: hour.Add(time.Hour), Name: "allowed", N: 1}] || !counters[store.Counter{Hour: hour, Name: "bound", N: 1}] {
			t.Errorf("got counters %+v", batch.Counters)
		}
	}
	batch := b.take()
	check(batch)
	if !b.empty() {
		t.Error("not empty after all was taken")
	}
	if lost := b.putBack(batch); lost != 0 {
		t.Errorf("lost %d", lost)
	}
	check(b.take())
}

// TestMergedTouches: whatever the order, nothing of two touches is lost but
// addresses beyond those that are kept, the older ones first.
func TestMergedTouches(t *testing.T) {
	home, away, third := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::1")
	early, late := time.UnixMilli(1000), time.UnixMilli(2000)
	many := make([]store.AddressHits, store.UsageNetworks)
	for i := range many {
		many[i] = store.AddressHits{IP: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), Hits: 1}
	}
	from := func(list ...store.AddressHits) []store.AddressHits { return list }
	cases := []struct {
		name               string
		older, newer, want store.Touch
	}{
		{
			"addresses", store.Touch{Hits: 9, LastUsed: early, LastIP: home, Addresses: from(store.AddressHits{IP: third, Hits: 2}, store.AddressHits{IP: away, Hits: 3}), Elsewhere: 1},
			store.Touch{Hits: 5, LastUsed: late, LastIP: away, Addresses: from(store.AddressHits{IP: third, Hits: 1})},
			store.Touch{Hits: 14, LastUsed: late, LastIP: away, Addresses: from(store.AddressHits{IP: third, Hits: 3}, store.AddressHits{IP: home, Hits: 3}), Elsewhere: 1},
		},
		{
			"refused later", store.Touch{Hits: 2, LastUsed: early, LastIP: home},
			store.Touch{Refused: 3, LastUsed: late, LastIP: home},
			store.Touch{Hits: 2, Refused: 3, LastUsed: early, LastIP: home},
		},
		{
			"refused before", store.Touch{Refused: 3, LastUsed: early},
			store.Touch{Hits: 2, Refused: 1, LastUsed: late, LastIP: home},
			store.Touch{Hits: 2, Refused: 4, LastUsed: late, LastIP: home},
		},
		{
			"refused only", store.Touch{Refused: 3, LastUsed: early},
			store.Touch{Refused: 1, LastUsed: late},
			store.Touch{Refused: 4, LastUsed: late},
		},
		{
			"more addresses than are kept", store.Touch{Hits: 5, LastUsed: early, LastIP: home, Addresses: from(store.AddressHits{IP: third, Hits: 1})},
			store.Touch{Hits: 40, LastUsed: late, LastIP: away, Addresses: many},
			store.Touch{Hits: 45, LastUsed: late, LastIP: away, Addresses: many, Elsewhere: 5},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := mergeTouches(c.older, c.newer); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if got := mergeTouches(c.newer, c.older); !reflect.DeepEqual(got, c.want) {
				t.Errorf("the other way around: got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestBacklogIsBounded: while the store takes nothing, memory does not grow with
// the number of keys, and what is lost is counted.
func TestBacklogIsBounded(t *testing.T) {
	b := backlog{kept: make(map[store.KeyHash]store.Touch, backlogKeys)}
	for n := range backlogKeys {
		b.kept[hashOf(n)] = store.Touch{Hash: hashOf(n), Hits: 1}
	}
	if lost := b.addTouch(store.Touch{Hash: hashOf(backlogKeys), Hits: 7}); lost != 7 {
		t.Errorf("lost %d hits of a new key, want 7", lost)
	}
	if lost := b.addTouch(store.Touch{Hash: hashOf(3), Hits: 7}); lost != 0 || b.kept[hashOf(3)].Hits != 8 {
		t.Errorf("lost %d hits of a key that waits already", lost)
	}
	if n := len(b.kept); n != backlogKeys {
		t.Errorf("%d keys wait, want %d", n, backlogKeys)
	}
	lost := b.putBack(store.UsageBatch{Touches: []store.Touch{
		{Hash: hashOf(backlogKeys + 1), Hits: 2}, {Hash: hashOf(5), Hits: 3}, {Hash: hashOf(backlogKeys + 2), Hits: 4},
	}})
	if lost != 6 {
		t.Errorf("lost %d of what was put back, want 6", lost)
	}
}

func TestFlights(t *testing.T) {
	fs := newFlights()
	var list [4]flight
	for i := range list {
		list[i] = flight{hash: hashOf(1), key: i}
	}
	other := flight{hash: hashOf(2), key: 99}
	seen := func(hash store.KeyHash) (keys []int) {
		fs.each(hash, func(f *flight) { keys = append(keys, f.key) })
		return keys
	}
	// All orders in which four of one key can end.
	orders := permutations([]int{0, 1, 2, 3})
	for _, order := range orders {
		fs.add(&other)
		for i := range 4 {
			fs.add(&list[i])
		}
		left := map[int]bool{0: true, 1: true, 2: true, 3: true}
		for _, i := range order {
			fs.remove(&list[i])
			delete(left, i)
			keys := seen(hashOf(1))
			if len(keys) != len(left) || fs.count() != len(left)+1 {
				t.Fatalf("order %v: %v are left, want %v", order, keys, left)
			}
			for _, key := range keys {
				if !left[key] {
					t.Fatalf("order %v: %v are left, want %v", order, keys, left)
				}
			}
		}
		if got := seen(hashOf(2)); len(got) != 1 || got[0] != 99 {
			t.Fatalf("of the other key: %v", got)
		}
		fs.remove(&other)
		if n := fs.count(); n != 0 {
			t.Fatalf("order %v: %d are left", order, n)
		}
	}
}

func permutations(of []int) [][]int {
	if len(of) == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for i, first := range of {
		rest := append(append([]int(nil), of[:i]...), of[i+1:]...)
		for _, p := range permutations(rest) {
			all = append(all, append([]int{first}, p...))
		}
	}
	return all
}
