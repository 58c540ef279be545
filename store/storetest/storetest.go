// Package storetest is the contract of package store as tests, which every
// implementation runs.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Run tests the contract. Each call of open returns an empty store, which Run
// closes.
func Run(t *testing.T, open func(testing.TB) store.Store) {
	groups := []struct {
		name  string
		tests []test
	}{
		{"Bindings", bindingTests},
		{"ListBindings", listTests},
		{"Catalog", catalogTests},
		{"Intercepts", interceptTests},
		{"Usage", usageTests},
		{"Archive", archiveTests},
		{"Rekey", rekeyTests},
		{"Settings", settingTests},
		{"Documents", documentTests},
		{"DocumentsTogether", togetherTests},
		{"Audit", auditTests},
		{"Races", raceTests},
		{"Ends", endTests},
	}
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					s := open(t)
					t.Cleanup(func() {
						if err := s.Close(); err != nil {
							t.Errorf("close: %v", err)
						}
					})
					test.run(t, s)
				})
			}
		})
	}
}

// test is one promise of the contract, tried on an empty store.
type test struct {
	name string
	run  func(t *testing.T, s store.Store)
}

// start is the time of the fixtures; it has more digits than stores keep.
var start = time.Date(2026, 3, 4, 5, 6, 7, 123_456_789, time.FixedZone("UTC+8", 8*60*60))

// Hash returns the n-th of a fixed sequence of key hashes, in no order.
func Hash(n int) store.KeyHash {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))) // #nosec G115 -- any bits will do
}

// Binding returns an active binding of Hash(n) to one IPv4 address.
func Binding(n int) store.Binding {
	ip := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) // #nosec G115 -- cut on purpose
	return store.Binding{
		Hash:      Hash(n),
		Hint:      "sk-ab…9fQ2",
		Status:    store.StatusActive,
		Rule:      store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.PrefixFrom(ip, 32)}},
		FirstIP:   ip,
		CreatedAt: start,
		UpdatedAt: start.Add(time.Duration(n) * time.Second),

		HashedWith: uint32(n) << 8, // #nosec G115 -- any bits will do
	}
}

// prefixes parses prefixes of a fixture.
func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// bound stores a binding that is not there yet.
func bound(t testing.TB, s store.Bindings, b store.Binding) store.Binding {
	t.Helper()
	stored, created, err := s.Bind(t.Context(), b)
	if err != nil || !created {
		t.Fatalf("bind: created %v, %v", created, err)
	}
	return stored
}

// want fails the test unless got and want are deeply equal.
func want[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// wantErr fails the test unless err is target; a nil target means no error.
func wantErr(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got error %v, want %v", what, err, target)
	}
}

// ok makes a value of a call that has to succeed, or ends the test:
// ok(s.Binding(ctx, hash))(t).
func ok[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatalf("unexpected error: %v", err)
		}
		return v
	}
}

// canceled returns a context that is done.
func canceled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
