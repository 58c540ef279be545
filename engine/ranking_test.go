package engine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

func refusal(key int, ip string) *store.Intercept {
	return &store.Intercept{Hash: hashOf(key), Hint: fmt.Sprintf("sk-%d", key), ClientIP: netip.MustParseAddr(ip)}
}

func TestNetworkOf(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "0.0.0.0": "0.0.0.0/24", "255.255.255.255": "255.255.255.0/24",
		"2001:db8:1:2:3::4": "2001:db8:1::/48", "::1": "::/48",
	} {
		if got := networkOf(netip.MustParseAddr(ip)); got.String() != want {
			t.Errorf("%s: got %v, want %s", ip, got, want)
		}
	}
}

func TestRankingsTurnWithTheHourAndTheDay(t *testing.T) {
	var rs rankings
	at := time.Date(2026, 11, 26, 22, 59, 0, 0, time.UTC)
	for range 4 {
		rs.add(refusal(1, "192.0.2.1"), 2, at)
		at = at.Add(30 * time.Minute)
	}
	ids := map[string]uint64{}
	for _, r := range append(rs.ended, rs.hour, rs.day) {
		ids[r.id] = r.stored().Keys[0].N
	}
	want := map[string]uint64{"2026-11-26T22": 2, "2026-11-26T23": 4, "2026-11-27T00": 2, "2026-11-26": 6, "2026-11-27": 2}
	if !reflect.DeepEqual(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
}

func TestRankingsThatWaitAreBounded(t *testing.T) {
	var rs rankings
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for range 200 {
		rs.add(refusal(1, "192.0.2.1"), 1, at)
		at = at.Add(time.Hour)
	}
	if n := len(rs.ended); n != maxEnded {
		t.Errorf("%d wait, want %d", n, maxEnded)
	}
}

// TestRankingFormat: what is stored stays readable for later versions.
func TestRankingFormat(t *testing.T) {
	r := newRanking("2026-11-26")
	r.add(refusal(1, "192.0.2.1"), 3)
	r.add(refusal(1, "2001:db8::1"), 1)
	body, err := json.Marshal(r.stored())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"keys":[{"hash":"` + hashOf(1).String() + `","hint":"sk-1","n":4}],` +
		`"addresses":[{"address":"192.0.2.1","n":3},{"address":"2001:db8::1","n":1}],` +
		`"networks":[{"network":"192.0.2.0/24","n":3},{"network":"2001:db8::/48","n":1}]}`
	if string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	stored, err := parseRanking(store.Document{Body: body})
	if err != nil {
		t.Fatal(err)
	}
	again := newRanking("2026-11-26")
	again.merge(stored)
	if !reflect.DeepEqual(again.stored(), stored) {
		t.Errorf("read again: %+v", again.stored())
	}
}

func TestOnlyTheFirstAreStored(t *testing.T) {
	r := newRanking("2026-11-26")
	for key := range 300 {
		r.add(refusal(key, fmt.Sprintf("192.0.%d.1", key%200)), uint64(key)+1)
	}
	got := r.stored()
	if len(got.Keys) != rankingStored || len(got.Addresses) != rankingStored || len(got.Networks) != rankingStored {
		t.Fatalf("got %d keys, %d addresses, %d networks", len(got.Keys), len(got.Addresses), len(got.Networks))
	}
	if got.Keys[0].Hash != hashOf(299) || got.Keys[99].Hash != hashOf(200) {
		t.Errorf("got %+v to %+v", got.Keys[0], got.Keys[99])
	}
}

func TestPerSecond(t *testing.T) {
	var p perSecond
	at := time.Unix(1_700_000_000, 0)
	for second := range 3 {
		passed := 0
		for n := range 200 {
			if p.allow(at.Add(time.Duration(second)*time.Second + time.Duration(n)*time.Millisecond)) {
				passed++
			}
		}
		if passed != interceptEvents {
			t.Errorf("second %d: %d passed, want %d", second, passed, interceptEvents)
		}
	}
}
