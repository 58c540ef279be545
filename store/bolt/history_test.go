package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// rawOf returns the value of a key as it is stored.
func rawOf(t *testing.T, s *Store, bucket string, hash store.KeyHash) (value []byte) {
	t.Helper()
	err := s.view(t.Context(), func(tx *bbolt.Tx) error {
		value = bytes.Clone(mustBucket(tx, bucket).Get(hash[:]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestHistoryIsSeldomWritten touches a key in the ways that need a new history, and
// in the one that does not, which nearly all touches are of.
func TestHistoryIsSeldomWritten(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	first := store.Touch{Hash: storetest.Hash(1), LastUsed: at, LastIP: a, Hits: 1}
	cases := []struct {
		name   string
		change func(t *store.Touch)
		writes bool
	}{
		{"later", func(t *store.Touch) { t.LastUsed = at.Add(5 * time.Second) }, false},
		{"at the end of the day", func(t *store.Touch) { t.LastUsed = at.Truncate(24 * time.Hour).Add(24*time.Hour - 1) }, false},
		{"many hits", func(t *store.Touch) { t.Hits = 1 << 40 }, false},
		{"the next day", func(t *store.Touch) { t.LastUsed = at.AddDate(0, 0, 1) }, true},
		{"earlier on the day", func(t *store.Touch) { t.LastUsed = at.Add(-time.Second) }, false},
		{"the day before", func(t *store.Touch) { t.LastUsed = at.AddDate(0, 0, -1) }, true},
		{"from another address", func(t *store.Touch) { t.LastIP = b }, true},
		{"from another address as well", func(t *store.Touch) { t.Addresses = []store.AddressHits{{IP: b}} }, true},
		{"from who knows where", func(t *store.Touch) { t.Elsewhere = 1 }, true},
		{"refused as well", func(t *store.Touch) { t.Refused = 1 }, true},
		{"refused only", func(t *store.Touch) { t.Hits, t.Refused = 0, 1 }, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := openTest(t)
			storetestBind(t, s, 1)
			second := first
			c.change(&second)
			var before []byte
			for i, touch := range []store.Touch{first, second} {
				if i == 1 {
					before = rawOf(t, s, bucketHistory, first.Hash)
				}
				if err := s.AddUsage(t.Context(), store.UsageBatch{Touches: []store.Touch{touch}}); err != nil {
					t.Fatal(err)
				}
			}
			if written := !bytes.Equal(before, rawOf(t, s, bucketHistory, first.Hash)); written != c.writes {
				t.Errorf("history written: %v, want %v", written, c.writes)
			}
		})
	}
}

// TestDamagedHistoryIsBegunAnew keeps the usage, and does not hold up others.
func TestDamagedHistoryIsBegunAnew(t *testing.T) {
	s := openTest(t)
	storetestBind(t, s, 1)
	hash := storetest.Hash(1)
	touch := store.Touch{Hash: hash, LastUsed: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 5}
	add := func() {
		t.Helper()
		if err := s.AddUsage(t.Context(), store.UsageBatch{Touches: []store.Touch{touch}}); err != nil {
			t.Fatal(err)
		}
	}
	add()
	if err := s.write(t.Context(), func(w *writeTx) error { return w.put(bucketHistory, hash[:], []byte{historyDays}) }); err != nil {
		t.Fatal(err)
	}
	add()
	u, err := s.Usage(t.Context(), hash)
	if err != nil || u.Hits != 10 || len(u.Days) != 1 || u.Days[0].Allowed != 5 {
		t.Errorf("got %+v, %v, want 10 hits, of which 5 on the day", u, err)
	}
}

// TestHistoryOfFormat3 reads a value from before networks were kept, and goes on
// with it.
func TestHistoryOfFormat3(t *testing.T) {
	s := openTest(t)
	storetestBind(t, s, 1)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	ip := netip.MustParseAddr("10.0.0.1")
	old := store.Usage{LastUsed: at, LastIP: ip, Hits: 9}
	past := []byte{historyDays | historyKnown}
	past = appendDays(past, store.Usage{Hits: 9, Days: []store.DayUse{
		{Day: dayAt(dayNumber(at) - 2), Allowed: 4, Refused: 1}, {Day: dayAt(dayNumber(at)), Allowed: 5},
	}})
	past = append(past, 4, 10, 0, 0, 1)
	past = binary.AppendVarint(past, at.UnixMilli()-1_000)
	past = binary.AppendVarint(past, 1_000)
	hash := storetest.Hash(1)
	err := s.write(t.Context(), func(w *writeTx) error {
		return errors.Join(w.putUsage(hash, appendUsage(nil, old)), w.put(bucketHistory, hash[:], past))
	})
	if err != nil {
		t.Fatal(err)
	}
	old.Addresses = []store.AddressUse{{IP: ip, First: at.Add(-time.Second), Last: at}}
	old.Days = []store.DayUse{
		{Day: dayAt(dayNumber(at) - 2), Allowed: 4, Refused: 1, Elsewhere: 4}, {Day: dayAt(dayNumber(at)), Allowed: 5, Elsewhere: 5},
	}
	for _, later := range []time.Duration{0, time.Second, 2 * time.Second, 24 * time.Hour} {
		if later > 0 {
			touch := store.Touch{Hash: hash, LastUsed: at.Add(later), LastIP: ip, Hits: 3}
			old = old.Add(touch)
			if err := s.AddUsage(t.Context(), store.UsageBatch{Touches: []store.Touch{touch}}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Usage(t.Context(), hash); err != nil || !reflect.DeepEqual(got, old) {
			t.Errorf("after %v:\n got %+v, %v\nwant %+v", later, got, err, old)
		}
	}
}

// TestDamagedNetworks reads values of which the networks cannot be true.
func TestDamagedNetworks(t *testing.T) {
	whole := encodeHistory(storedUsage())
	if _, err := decodeHistory(whole); err != nil {
		t.Fatal(err)
	}
	head := appendDays([]byte{historyDays | historyNetworks}, store.Usage{Hits: 1, Days: []store.DayUse{{Allowed: 1}}})
	for name, networks := range map[string][]byte{
		"cut off":              {},
		"more than can be":     binary.AppendUvarint([]byte{0}, 2*(store.UsageNetworks+1)),
		"a number of none":     {0, 2, 0, 1},
		"one twice":            {1, 32, 10, 0, 0, 1, 4, 0, 1, 0, 1},
		"the same under two":   {2, 32, 10, 0, 0, 1, 32, 10, 0, 0, 1, 4, 0, 1, 1, 1},
		"a table that is long": {200, 1, 32, 10, 0, 0, 1},
	} {
		if h, err := decodeHistory(append(slices.Clip(head), networks...)); err == nil {
			t.Errorf("%s: got %+v", name, h)
		}
	}
}
