package bolt

import (
	"net/netip"
	"reflect"
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
	f.Add(appendUsage(nil, store.Usage{LastUsed: time.Unix(1, 0), LastIP: netip.MustParseAddr("fe80::1%eth0"), Hits: 7}))
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
			if got, err := decodeUsage(appendUsage(nil, u)); err != nil || got != u {
				t.Errorf("usage:\n got %+v, %v\nwant %+v", got, err, u)
			}
		}
	})
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
