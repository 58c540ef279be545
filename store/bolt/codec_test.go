package bolt

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// FuzzDecode gives arbitrary bytes to all decoders: they answer with an error,
// or with something that comes back the same when it is encoded.
func FuzzDecode(f *testing.F) {
	binding, err := encodeBinding(storetest.Binding(1))
	if err != nil {
		f.Fatal(err)
	}
	intercept, err := encodeIntercept(storetest.Intercept(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(binding)
	f.Add(intercept)
	for _, seed := range namedSeeds(f) {
		f.Add(seed)
	}
	f.Add(appendUsage(nil, store.Usage{LastUsed: time.Unix(1, 0), LastIP: netip.MustParseAddr("fe80::1%eth0"), Hits: 7}))
	f.Add(encodeHistory(storedUsage()))
	f.Add(encodeHistory(usedFromEverywhere()))
	f.Add(archiveEntry{7, []byte("usage"), []byte("history"), binding}.encode())
	f.Add(newBlock().encode())
	audit, err := encodeAudit(storetest.AuditEntry(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(audit)
	f.Add(appendTouch(binary.AppendVarint(nil, 7), &store.Touch{
		Hash: storetest.Hash(1), LastUsed: time.UnixMilli(9), LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 5, Refused: 2, Elsewhere: 1,
		Addresses: []store.AddressHits{{IP: netip.MustParseAddr("2001:db8::1"), Hits: 3}},
	}, 7))
	f.Add([]byte{})
	hash := storetest.Hash(1)
	f.Fuzz(func(t *testing.T, value []byte) {
		if b, err := decodeBinding(hash[:], value); err == nil && b.Rule.Validate() == nil {
			again, err := encodeBinding(b)
			if err != nil {
				t.Fatal(err)
			}
			setRevision(again, b.Revision)
			if got, err := decodeBinding(hash[:], again); err != nil || !reflect.DeepEqual(got, b) {
				t.Errorf("binding:\n got %+v, %v\nwant %+v", got, err, b)
			}
		}
		if r, err := decodeIntercept(interceptKey(1), value); err == nil {
			again, err := encodeIntercept(r)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decodeIntercept(interceptKey(1), again); err != nil || got != r {
				t.Errorf("intercept:\n got %+v, %v\nwant %+v", got, err, r)
			}
		}
		if u, err := decodeUsage(value); err == nil && value != nil {
			if got, err := decodeUsage(appendUsage(nil, u)); err != nil || !reflect.DeepEqual(got, u) {
				t.Errorf("usage:\n got %+v, %v\nwant %+v", got, err, u)
			}
		}
		fuzzAdministration(t, value)
	})
}

// namedSeeds returns a binding and an intercept with all that format 4 added.
func namedSeeds(f *testing.F) [][]byte {
	f.Helper()
	b, r := storetest.Binding(1), storetest.Intercept(1)
	b.Rule = store.Rule{
		Kind: store.RuleLearn, Prefixes: b.Rule.Prefixes, Networks: []string{"office", "办公室"},
		Learn: store.Learn{Limit: 3, Within: time.Hour, Until: b.CreatedAt},
	}
	r.Reason, r.Basis = store.ReasonBlocked, store.Basis{Kind: store.BasisBlocked, Name: "203.0.113.0/24"}
	binding, err := encodeBinding(b)
	if err != nil {
		f.Fatal(err)
	}
	intercept, err := encodeIntercept(r)
	if err != nil {
		f.Fatal(err)
	}
	return [][]byte{binding, intercept}
}

// fuzzAdministration is FuzzDecode for the records of format 3.
func fuzzAdministration(t *testing.T, value []byte) {
	touches := decodeTouches(value, nil)
	again := binary.AppendVarint(nil, 0)
	for i := range touches {
		again = appendTouch(again, &touches[i], 0)
	}
	if got := decodeTouches(again, nil); !reflect.DeepEqual(got, touches) {
		t.Errorf("logged touches:\n got %+v\nwant %+v", got, touches)
	}
	if h, err := decodeHistory(value); err == nil {
		u := h.complete(store.Usage{Hits: 1 << 40})
		h, err := decodeHistory(encodeHistory(u))
		if got := h.complete(store.Usage{Hits: 1 << 40}); err != nil || !reflect.DeepEqual(got, u) {
			t.Errorf("history:\n got %+v, %v\nwant %+v", got, err, u)
		}
	}
	if e, err := cutEntry(value); err == nil && !bytes.Equal(e.encode(), value) {
		t.Errorf("archive entry %x came back as %x", value, e.encode())
	}
	if b := parseBlock(value); b != nil && !bytes.Equal(b.encode(), value) {
		t.Error("block came back as another")
	}
	if e, err := decodeAudit(interceptKey(1), value); err == nil {
		again, err := encodeAudit(e)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeAudit(interceptKey(1), again); err != nil || !sameAudit(got, e) {
			t.Errorf("audit entry:\n got %+v, %v\nwant %+v", got, err, e)
		}
	}
	if h, err := cutInterceptHead(value); err == nil {
		if r, err := h.decode(interceptKey(1)); err == nil {
			if path, ok := h.path(); ok && string(path) != r.Path {
				t.Errorf("path %q, want %q", path, r.Path)
			}
		}
	}
}

// sameAudit compares, taking no JSON for the same as JSON of length 0.
func sameAudit(a, b store.AuditEntry) bool {
	same := bytes.Equal(a.Before, b.Before) && bytes.Equal(a.After, b.After)
	a.Before, b.Before, a.After, b.After = nil, nil, nil, nil
	return same && reflect.DeepEqual(a, b)
}

// storedUsage returns a usage with a history.
func storedUsage() (u store.Usage) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for i, ip := range []string{"10.0.0.1", "2001:db8::1", "10.0.0.1"} {
		u = u.Add(store.Touch{LastUsed: at.AddDate(0, 0, i), LastIP: netip.MustParseAddr(ip), Hits: 3, Refused: 1})
	}
	return u
}

// usedFromEverywhere returns a usage with more networks than are kept, of which
// some have no address in the history.
func usedFromEverywhere() (u store.Usage) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for i := range store.UsageNetworks + 8 {
		ip := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) // #nosec G115 -- small
		u = u.Add(store.Touch{LastUsed: at.Add(time.Duration(i) * time.Hour), LastIP: ip, Hits: 1})
	}
	return u
}

func TestBindingIsCompact(t *testing.T) {
	value, err := encodeBinding(storetest.Binding(1))
	if err != nil {
		t.Fatal(err)
	}
	if len(value) > 64 {
		t.Errorf("a plain binding takes %d bytes", len(value))
	}
}

// TestTextsOfClientsComeBackAsTheyCame stores what is not UTF-8.
func TestTextsOfClientsComeBackAsTheyCame(t *testing.T) {
	r := storetest.Intercept(1)
	r.At, r.Last = store.StoredTime(r.At), store.StoredTime(r.Last)
	r.ID, r.Path, r.UserAgent = 1, "/\x00\xff", "\xc3\x28"
	value, err := encodeIntercept(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeIntercept(interceptKey(1), value); err != nil || got != r {
		t.Errorf("got %+v, %v, want %+v", got, err, r)
	}
}

// TestPathWithoutDecoding reads the path of records that lack what is before it, and
// of one that is as long as it can be.
func TestPathWithoutDecoding(t *testing.T) {
	full, bare, long := storetest.Intercept(1), store.Intercept{Path: "/v1"}, storetest.Intercept(1)
	long.Path, long.UserAgent = "/"+strings.Repeat("x", 70_000), strings.Repeat("y", 300)
	for _, r := range []store.Intercept{full, bare, long, {}} {
		value, err := encodeIntercept(r)
		if err != nil {
			t.Fatal(err)
		}
		h, err := cutInterceptHead(value)
		if err != nil {
			t.Fatal(err)
		}
		if path, ok := h.path(); !ok || string(path) != r.Path {
			t.Errorf("path of %d bytes, ok %v, want %d", len(path), ok, len(r.Path))
		}
	}
}

// TestHistoryIsCompact has a key that is used from one address, day by day.
func TestHistoryIsCompact(t *testing.T) {
	var u store.Usage
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for i := range 2 * store.UsageDays {
		u = u.Add(store.Touch{LastUsed: at.AddDate(0, 0, i), LastIP: netip.MustParseAddr("10.0.0.1"), Hits: 1_000})
		if i == 0 && len(encodeHistory(u)) > 32 {
			t.Errorf("a history of one day takes %d bytes", len(encodeHistory(u)))
		}
	}
	if n := len(encodeHistory(u)); n > 176 {
		t.Errorf("a full history takes %d bytes", n)
	}
}
