package postgres

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// TestHistoryComesBack adds random touches, and has each history come back from its
// encoded form.
func TestHistoryComesBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	addr := func() netip.Addr {
		n := byte(rnd.IntN(80))
		if n%3 == 0 {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: n / 9, 15: n})
		}
		return netip.AddrFrom4([4]byte{10, 0, 0, n})
	}
	var u store.Usage
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for range 2_000 {
		at = at.Add(time.Duration(rnd.IntN(200)-40) * time.Hour / 10)
		u = u.Add(store.Touch{
			LastUsed: at, LastIP: addr(), Hits: uint64(rnd.IntN(4)), Refused: uint64(rnd.IntN(2)),
			Addresses: []store.AddressHits{{IP: addr(), Hits: 1}}, Elsewhere: uint64(rnd.IntN(2)),
		})
		value, err := encodeHistory(u)
		if err != nil {
			t.Fatal(err)
		}
		got := store.Usage{LastUsed: u.LastUsed, LastIP: u.LastIP, Hits: u.Hits}
		if err := decodeHistory(value, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, u) {
			t.Fatalf("got %+v\nwant %+v", got, u)
		}
	}
}

// FuzzDecodeHistory decodes what a database may hold: an error at worst.
func FuzzDecodeHistory(f *testing.F) {
	u := store.Usage{}.Add(store.Touch{LastUsed: time.Unix(1e9, 0), LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 3})
	value, err := encodeHistory(u)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte{})
	f.Add([]byte{0x83, 0x80, 0x81, 0x85, 0, 1, 1, 0, 0x81, 5, 0x80})
	f.Fuzz(func(_ *testing.T, value []byte) {
		var u store.Usage
		_ = decodeHistory(value, &u)
	})
}
